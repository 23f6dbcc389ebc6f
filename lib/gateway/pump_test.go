package gateway

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/insighthub/insighthub/lib/rtc"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// testChannel remembers frames; full says that it has no room.
type testChannel struct {
	mu     sync.Mutex
	frames []rtc.LiveFrame
	beats  int
	full   bool
	err    error
}

func (c *testChannel) Send(frame []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return c.err
	}
	if rtc.FrameKind(frame[0]) == rtc.FrameHeartbeat {
		c.beats++
		return nil
	}
	var f rtc.LiveFrame
	err := rtc.DecodeLive(frame, &f)
	c.frames = append(c.frames, f)
	return err
}

func (c *testChannel) BufferedAmount() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.full {
		return liveWindowBytes
	}
	return 0
}

func (c *testChannel) set(full bool, err error) {
	c.mu.Lock()
	c.full, c.err = full, err
	c.mu.Unlock()
}

func (c *testChannel) heartbeats() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.beats
}

func (c *testChannel) seqs() []uint32 {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []uint32
	for _, f := range c.frames {
		out = append(out, f.Seq)
	}
	return out
}

// running runs a pump under virtual time.
func running(t *testing.T, test func(p *pump, ch *testChannel, publish func(atOnce bool))) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p, err := newPump(time.Now, 500*time.Millisecond, 200*time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		ch, cat := &testChannel{}, newCatalog()
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { p.run(ctx, ch) })
		synctest.Wait()
		test(p, ch, func(atOnce bool) {
			p.push(blockOf(t, cat, reading{"a", 1, telemetry.MicrosOf(time.Now())}), atOnce)
		})
		cancel()
		wg.Wait()
	})
}

// TestAtOnce: with room the caller of Publish has sent when it returns; without room the event waits
// for the channel, and a heartbeat is left out.
func TestAtOnce(t *testing.T) {
	running(t, func(p *pump, ch *testChannel, publish func(bool)) {
		publish(true)
		if n := len(ch.seqs()); n != 0 {
			t.Errorf("%d frames before the subscription", n)
		}
		p.subscribe(nil, 0)
		publish(true)
		if diff := cmp.Diff([]uint32{1}, ch.seqs()); diff != "" {
			t.Errorf("(-want +have)\n%s", diff)
		}
		ch.set(true, nil)
		publish(true)
		publish(true)
		time.Sleep(2 * time.Second)
		if n, beats := len(ch.seqs()), ch.heartbeats(); n != 1 || beats != 1 {
			t.Errorf("%d frames and %d heartbeats on a full channel, want the first of each", n, beats)
		}
		ch.set(false, nil)
		p.signal() // bufferedamountlow
		synctest.Wait()
		if s := p.superseded(); len(ch.seqs()) != 2 || s != 1 {
			t.Errorf("%d frames, %d superseded; want the newer of two events", len(ch.seqs()), s)
		}
		publish(false)
		synctest.Wait()
		if len(ch.seqs()) != 3 {
			t.Error("the pump's goroutine did not send")
		}
	})
}

// TestRefusedSends: what the channel rejects is counted as refused and takes no number.
func TestRefusedSends(t *testing.T) {
	running(t, func(p *pump, ch *testChannel, publish func(bool)) {
		p.subscribe(nil, 0)
		ch.set(false, errors.New("no"))
		publish(true)
		publish(false)
		synctest.Wait()
		ch.set(false, nil)
		publish(true)
		if got := p.counts.refused.Load(); got != 2 || p.counts.events.Load() != 1 {
			t.Errorf("%d refused, %d delivered; want 2 and 1", got, p.counts.events.Load())
		}
		if diff := cmp.Diff([]uint32{1}, ch.seqs()); diff != "" {
			t.Errorf("(-want +have)\n%s", diff)
		}
	})
}

// TestInterval: with max_hz frames are the interval apart, and the last value is not held back longer.
func TestInterval(t *testing.T) {
	running(t, func(p *pump, ch *testChannel, publish func(bool)) {
		p.subscribe(nil, 100*time.Millisecond)
		for range 50 {
			publish(true)
			time.Sleep(10 * time.Millisecond)
		}
		time.Sleep(100 * time.Millisecond)
		if n := len(ch.seqs()); n < 5 || n > 6 {
			t.Errorf("%d frames in 0.6 s at 10 Hz", n)
		}
		if !p.queue.empty() {
			t.Error("the last value was not sent")
		}
	})
}

// TestHeartbeats: at once, and then each interval.
func TestHeartbeats(t *testing.T) {
	running(t, func(_ *pump, ch *testChannel, _ func(bool)) {
		time.Sleep(5100 * time.Millisecond)
		if n := ch.heartbeats(); n != 11 {
			t.Errorf("%d heartbeats in 5.1 s, want 11", n)
		}
	})
}
