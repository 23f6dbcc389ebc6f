package video_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/insighthub/insighthub/lib/eventually"
	"github.com/insighthub/insighthub/lib/gateway/video"
)

// slow delays every packet of a viewer.
type slow struct {
	interceptor.NoOp

	delay time.Duration
}

func (s *slow) NewInterceptor(string) (interceptor.Interceptor, error) { return s, nil }

func (s *slow) BindLocalStream(_ *interceptor.StreamInfo, next interceptor.RTPWriter) interceptor.RTPWriter {
	return interceptor.RTPWriterFunc(func(h *rtp.Header, payload []byte, a interceptor.Attributes) (int, error) {
		time.Sleep(s.delay)
		return next.Write(h, payload, a)
	})
}

// frameNum reads frame_num of a picture of the test pattern: after first_mb_in_slice 0, slice_type 5 or 7 and pic_parameter_set_id 0.
func frameNum(f received) int {
	u := f.Units[len(f.Units)-1]
	skip := 7 // "1" "00110" "1"
	if f.Key {
		skip = 9 // "1" "0001000" "1"
	}
	bits := int(u[1])<<16 | int(u[2])<<8 | int(u[3])
	return bits >> (24 - skip - 8) & 0xFF
}

// checkReferences fails if a frame refers to one that is not there.
func checkReferences(t *testing.T, frames []received) {
	t.Helper()
	last := -1
	for i, f := range frames {
		n := frameNum(f)
		switch {
		case f.Key:
			last = 0
		case n != (last+1)%256:
			t.Fatalf("frame %d has frame_num %d after reference %d", i, n, last)
		case !f.Disposable:
			last = n
		}
	}
}

func TestASlowViewerDisturbsNoOther(t *testing.T) {
	t.Parallel()
	cams := newCameras(t, pattern(t, "press-01"))
	quick := connect(t, cams, registerViewer)
	held := connectWith(t, cams, registerViewer, &slow{delay: 200 * time.Millisecond})
	for _, p := range []*peer{quick, held} {
		if err := p.viewer.Show("press-01"); err != nil {
			t.Fatal(err)
		}
	}
	eventually.True(t, "the slow viewer skips frames and goes on", func() bool {
		return held.viewer.Stats().Dropped > 10 && held.keys() >= 2 && len(held.received()) > 6
	})
	s := quick.viewer.Stats()
	if s.Dropped > s.Sent/4 {
		// Those of before it was connected.
		t.Errorf("the other viewer was sent %d frames and missed %d", s.Sent, s.Dropped)
	}
	checkReferences(t, quick.received())
	checkReferences(t, held.received())
}

// scripted is a source without key frames on request: one at the start, then frames that refer to it.
type scripted struct {
	info video.Info
	runs atomic.Int32
	live atomic.Int32
	fail error
}

func (s *scripted) Info() video.Info { return s.info }

func (s *scripted) Run(ctx context.Context, deliver func(*video.Frame)) error {
	s.runs.Add(1)
	s.live.Add(1)
	defer s.live.Add(-1)
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for i := 0; ; i++ {
		var units [][]byte
		switch {
		case s.info.Codec == video.VP8 && i%100 == 0:
			units = [][]byte{{0x10, 2, 0, 0x9d, 1, 0x2a, 0x40, 1, 0xf0, 0}} // 320 x 240
		case s.info.Codec == video.VP8:
			units = [][]byte{{0x11, 2, 0, byte(i)}}
		case i == 0:
			units = [][]byte{{0x67, 0x42, 0xe0, 0x1f}, {0x68, 1}, {0x65, 0x88, 0}}
		default:
			units = [][]byte{{0x41, 0x9A, byte(i)}}
		}
		f, _ := video.NewFrame(s.info.Codec, units, time.Now())
		deliver(f)
		if s.fail != nil && i == 5 {
			return s.fail
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}

func TestWhoComesInBetweenCatchesUp(t *testing.T) {
	t.Parallel()
	source := &scripted{info: video.Info{Name: "dome", Codec: video.H264}}
	cams := newCameras(t, source)
	first := connect(t, cams, registerViewer)
	if err := first.viewer.Show("dome"); err != nil {
		t.Fatal(err)
	}
	eventually.True(t, "frames", func() bool { return len(first.received()) > 20 })
	second := connect(t, cams, registerViewer)
	if err := second.viewer.Show("dome"); err != nil {
		t.Fatal(err)
	}
	eventually.True(t, "frames", func() bool { return len(second.received()) > 40 })
	got := second.received()
	if !got[0].Key {
		t.Fatal("the first frame is no key frame")
	}
	for i := 1; i < len(got); i++ {
		if u := got[i].Units[0]; got[i].Key || u[2] != byte(i) {
			t.Fatalf("frame %d holds %x: frames are missing or not in order", i, u)
		}
		if d := int32(got[i].timestamp - got[i-1].timestamp); d <= 0 {
			t.Errorf("frame %d: the RTP timestamp moves by %d", i, d)
		}
	}
	if n := source.runs.Load(); n != 1 {
		t.Errorf("the source ran %d times for two viewers, want once", n)
	}
}

func TestSourceRunsWhileSomeoneWatches(t *testing.T) {
	t.Parallel()
	source := &scripted{info: video.Info{Name: "dome", Codec: video.H264}}
	cams := newCameras(t, source)
	p := connect(t, cams, registerViewer)
	if source.runs.Load() != 0 {
		t.Error("the source runs without a viewer")
	}
	for run := int32(1); run <= 2; run++ {
		if err := p.viewer.Show("dome"); err != nil {
			t.Fatal(err)
		}
		eventually.True(t, "the source runs", func() bool { return source.live.Load() == 1 && source.runs.Load() == run })
		if err := p.viewer.Show(""); err != nil {
			t.Fatal(err)
		}
		eventually.True(t, "the source stops", func() bool { return source.live.Load() == 0 })
	}
	// Who comes back at once finds it running.
	for range 3 {
		if err := errors.Join(p.viewer.Show("dome"), p.viewer.Show("")); err != nil {
			t.Fatal(err)
		}
	}
	eventually.True(t, "the source ran and stopped", func() bool { return source.runs.Load() == 3 && source.live.Load() == 0 })
}

func TestFailedSourceIsStartedAgain(t *testing.T) {
	t.Parallel()
	source := &scripted{info: video.Info{Name: "dome", Codec: video.H264}, fail: errors.New("cable")}
	registry := prometheus.NewRegistry()
	cams := video.NewCameras(video.Config{Registerer: registry})
	t.Cleanup(func() { _ = cams.Close() })
	if err := cams.Add(source); err != nil {
		t.Fatal(err)
	}
	p := connect(t, cams, registerViewer)
	if err := p.viewer.Show("dome"); err != nil {
		t.Fatal(err)
	}
	eventually.True(t, "a second run reaches the viewer", func() bool { return source.runs.Load() >= 2 && p.keys() >= 1 })
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	failures := 0.0
	for _, f := range families {
		if f.GetName() == "insighthub_gateway_video_source_failures_total" {
			failures = f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	if failures < 1 {
		t.Errorf("%v failures were counted", failures)
	}
}

func TestTrackChangesItsCamera(t *testing.T) {
	t.Parallel()
	vp8 := &scripted{info: video.Info{Name: "yard", Codec: video.VP8}}
	cams := newCameras(t, pattern(t, "press-01"), vp8)
	p := connect(t, cams, registerViewer)
	for _, name := range []string{"press-01", "yard", "press-01"} {
		p.mu.Lock()
		p.packets = nil
		p.mu.Unlock()
		if err := p.viewer.Show(name); err != nil {
			t.Fatal(err)
		}
		want := webrtc.MimeTypeH264
		if name == "yard" {
			want = webrtc.MimeTypeVP8
		}
		eventually.True(t, want, func() bool { return p.packetsOf(want) > 5 })
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gaps > 0 || len(p.ssrcs) != 1 {
		t.Errorf("%d gaps in the sequence numbers, %d SSRCs; want none, one", p.gaps, len(p.ssrcs))
	}
	for _, info := range cams.Infos() {
		if info.Name == "yard" && (info.Width != 320 || info.Height != 240) {
			t.Errorf("%+v: the size is in its key frames", info)
		}
	}
}

func TestShowFails(t *testing.T) {
	t.Parallel()
	high := &scripted{info: video.Info{Name: "dome", Codec: video.H264, Profile: "640028"}}
	cams := newCameras(t, pattern(t, "press-01"), high)
	// As Debian's Chromium: no high profile.
	p := connect(t, cams, func(m *webrtc.MediaEngine, _ *interceptor.Registry) error {
		return m.RegisterCodec(webrtc.RTPCodecParameters{RTPCodecCapability: webrtc.RTPCodecCapability{
			MimeType: webrtc.MimeTypeH264, ClockRate: 90_000, SDPFmtpLine: "packetization-mode=1;profile-level-id=42e01f",
		}, PayloadType: 102}, webrtc.RTPCodecTypeVideo)
	})
	if err := p.viewer.Show("press-1"); !errors.Is(err, video.ErrUnknownCamera) {
		t.Errorf("error %v, want %v", err, video.ErrUnknownCamera)
	}
	if err := p.viewer.Show("press-01"); err != nil {
		t.Fatal(err)
	}
	eventually.True(t, "frames", func() bool { return len(p.received()) > 5 })
	if err := p.viewer.Show("dome"); !errors.Is(err, video.ErrCodec) {
		t.Errorf("error %v, want %v", err, video.ErrCodec)
	}
	if got := p.viewer.Stats().Camera; got != "press-01" {
		t.Errorf("after the error the track carries %q", got)
	}
	if err := cams.Add(pattern(t, "press-01")); !errors.Is(err, video.ErrDuplicate) {
		t.Errorf("error %v, want %v", err, video.ErrDuplicate)
	}
	if err := p.viewer.Close(); err != nil {
		t.Fatal(err)
	}
	if err := p.viewer.Show("press-01"); !errors.Is(err, video.ErrClosed) {
		t.Errorf("error %v, want %v", err, video.ErrClosed)
	}
}

func TestCloseEndsAllGoroutines(t *testing.T) {
	cams := video.NewCameras(video.Config{})
	if err := cams.Add(pattern(t, "press-01")); err != nil {
		t.Fatal(err)
	}
	connected := connect(t, cams, registerViewer)
	connecting := connect(t, cams, registerViewer)
	for _, p := range []*peer{connected, connecting} {
		if err := p.viewer.Show("press-01"); err != nil {
			t.Fatal(err)
		}
	}
	eventually.True(t, "frames", func() bool { return len(connected.received()) > 5 })
	if err := cams.Close(); err != nil {
		t.Fatal(err)
	}
	eventually.True(t, "no goroutine of the package is left", func() bool {
		stacks := make([]byte, 1<<20)
		text := string(stacks[:runtime.Stack(stacks, true)])
		return !strings.Contains(text, "lib/gateway/video.(*Viewer)") && !strings.Contains(text, "lib/gateway/video.(*camera)")
	})
	if _, err := cams.Attach(connected.far, nil); !errors.Is(err, video.ErrClosed) {
		t.Errorf("error %v, want %v", err, video.ErrClosed)
	}
	if err := cams.Add(pattern(t, "press-02")); !errors.Is(err, video.ErrClosed) {
		t.Errorf("error %v, want %v", err, video.ErrClosed)
	}
}
