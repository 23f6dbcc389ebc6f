package video_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/rtp"

	"github.com/insighthub/insighthub/lib/eventually"
	"github.com/insighthub/insighthub/lib/gateway/video"
)

// narrow is a link of a rate with a queue: a packet waits for those before it, and is dropped if that takes too long.
type narrow struct {
	interceptor.NoOp

	bits float64 // per second
	wait sync.WaitGroup

	mu   sync.Mutex
	free time.Time
}

func (n *narrow) NewInterceptor(string) (interceptor.Interceptor, error) { return n, nil }

func (n *narrow) BindLocalStream(_ *interceptor.StreamInfo, next interceptor.RTPWriter) interceptor.RTPWriter {
	packets := make(chan func(), 10_000)
	n.wait.Go(func() {
		for send := range packets {
			send()
		}
	})
	return interceptor.RTPWriterFunc(func(h *rtp.Header, payload []byte, a interceptor.Attributes) (int, error) {
		size := h.MarshalSize() + len(payload)
		now := time.Now()
		n.mu.Lock()
		if n.free.Before(now) {
			n.free = now
		}
		due := n.free
		full := due.Sub(now) > 200*time.Millisecond
		if !full {
			n.free = due.Add(time.Duration(float64(size*8) / n.bits * float64(time.Second)))
		}
		n.mu.Unlock()
		if full {
			return size, nil
		}
		header, data := h.Clone(), append([]byte(nil), payload...)
		select {
		case packets <- func() {
			time.Sleep(time.Until(due))
			_, _ = next.Write(&header, data, a)
		}:
		default:
		}
		return size, nil
	})
}

// heavy is a source of 3 Mbit/s: key frames each second, every second frame disposable and of twice the size of the others.
type heavy struct{}

func (heavy) Info() video.Info { return video.Info{Name: "yard", Codec: video.H264, Profile: "42e01f"} }

func (heavy) Run(ctx context.Context, deliver func(*video.Frame)) error {
	ticker := time.NewTicker(time.Second / 30)
	defer ticker.Stop()
	random := rand.New(rand.NewPCG(1, 2))
	for i := 0; ; i++ {
		slice := make([]byte, 8_000)
		for j := range slice {
			slice[j] = byte(random.Uint32()) | 1
		}
		units := [][]byte{slice}
		switch {
		case i%30 == 0:
			slice[0] = 0x65
			units = [][]byte{{0x67, 0x42, 0xe0, 0x1f}, {0x68, 1}, slice}
		case i%2 == 1:
			slice[0] = 0x01
			units[0] = append(slice, slice...)
		default:
			slice[0] = 0x41
		}
		f, _ := video.NewFrame(video.H264, units, time.Now())
		deliver(f)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}

func TestAViewerOnANarrowLinkGetsFewerFrames(t *testing.T) {
	t.Parallel()
	cams := newCameras(t, heavy{})
	link := &narrow{bits: 1_400_000}
	behind := connectWith(t, cams, registerViewer, link)
	free := connect(t, cams, registerViewer)
	for _, p := range []*peer{behind, free} {
		if err := p.viewer.Show("yard"); err != nil {
			t.Fatal(err)
		}
	}
	eventually.True(t, "disposable frames are left out", func() bool { return behind.viewer.Stats().LeftOut > 30 })
	t.Logf("behind the link: %+v", behind.viewer.Stats())
	t.Logf("the other: %+v", free.viewer.Stats())
	if n := free.viewer.Stats().LeftOut; n > 0 {
		t.Errorf("the other viewer went without %d frames", n)
	}
}
