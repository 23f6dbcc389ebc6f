package live

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/loadtest/drive"
	"github.com/insighthub/insighthub/loadtest/live/delay"
	"github.com/insighthub/insighthub/loadtest/live/relay"
)

// The source reads all series at its rate, with the time at which it read them, which grows for
// each series; and says how many it sent, and what the sink did not take.
func TestSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := newSource(t.Context(), "bench", 1, 10, 10_000)
		if err != nil {
			t.Fatal(err)
		}
		defer s.close()
		reads, series, last := 0, map[string]bool{}, telemetry.Micros(0)
		broken := errors.New("broken")
		start := time.Now()
		s.direct(func(b *telemetry.Batch, read []telemetry.Micros) error {
			now := telemetry.MicrosOf(time.Now())
			if b.Len() != 100 || len(read) != 100 {
				t.Errorf("got %d events and %d times, want 100", b.Len(), len(read))
			}
			for i := range b.Len() {
				e := b.Event(i)
				if series[string(e.Device)+"."+string(e.Metric)] = true; read[i] != now || e.Time != now || now <= last {
					t.Errorf("event %d: time %d, read at %d, want both %d, after %d", i, e.Time, read[i], now, last)
				}
			}
			last = now
			if reads++; reads == 50 {
				return broken
			}
			return nil
		})
		time.Sleep(time.Until(start.Add(time.Second - time.Millisecond)))
		events, late, err := s.end()
		if p := drive.PercentilesOf(late); len(late) != 100 || p.Max != 0 {
			t.Errorf("%d reads were late by %+v, want 100 by nothing: the time is virtual", len(late), p)
		}
		if events != 10_000 || !errors.Is(err, broken) || len(series) != 100 {
			t.Errorf("got %d events of %d series in a second, error %v; want 10,000 of 100, and that of the sink", events, len(series), err)
		}
		s.direct(nil)
		time.Sleep(time.Second)
		s.direct(nil)
		time.Sleep(time.Second)
		if events, _, err := s.end(); events != 0 || err != nil {
			t.Errorf("without a sink: got %d events, %v", events, err)
		}
	})
}

// A relay behind the proxy is twice the delay away.
func TestRoundTrip(t *testing.T) {
	const each = 20 * time.Millisecond
	s, err := relay.Start(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	proxy, err := delay.Start(t.Context(), "127.0.0.1:0", s.Addr(), each)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = proxy.Close() }()
	p, err := roundTrip(t.Context(), proxy.Addr())
	if least := float64(2*each) / float64(time.Millisecond); err != nil || p.P50 < least {
		t.Errorf("got %+v, %v; want %v ms or more", p, err, least)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := roundTrip(t.Context(), s.Addr()); err == nil {
		t.Error("without a relay: want an error")
	}
}
