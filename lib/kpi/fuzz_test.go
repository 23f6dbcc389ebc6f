package kpi

import (
	"errors"
	"testing"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// FuzzDecode decodes arbitrary bytes. A state that is accepted must survive encoding and
// decoding, and work.
func FuzzDecode(f *testing.F) {
	p := newPlant(f, 200)
	s := newShard(f, Config{Machines: p})
	f.Add(s.AppendBinary(nil))
	for i := range 7 {
		p.step()
		for _, b := range p.batches {
			b.Quality[i] = telemetry.Bad
			b.Value[100*i] = 1e300
			s.Observe(b, p.at)
		}
	}
	s.Retain(func(g telemetry.GatewayID) bool { return g == "gateway-001" })
	f.Add(s.AppendBinary(nil))
	small := newShard(f, Config{})
	b := &telemetry.Batch{Gateway: "g", Site: "s", Received: noon}
	b.Append(telemetry.Event{Device: "d", Metric: "m", Time: noon, Value: -1e-300})
	b.Append(telemetry.Event{Device: "d", Metric: "m", Time: noon + 7, Value: 2, Quality: telemetry.Bad})
	small.Observe(b, noon)
	f.Add(small.AppendBinary(nil))
	f.Fuzz(func(t *testing.T, in []byte) {
		s := newShard(t, Config{Machines: p})
		if err := s.Decode(in); err != nil {
			if !errors.Is(err, telemetry.ErrInvalid) {
				t.Errorf("got %v, want ErrInvalid", err)
			}
			return
		}
		first := s.AppendBinary(nil)
		again := newShard(t, Config{Machines: p})
		if err := again.Decode(first); err != nil {
			t.Fatalf("decode an encoded state: %v", err)
		}
		if second := again.AppendBinary(nil); string(first) != string(second) {
			t.Fatalf("encoded again: got\n%x\nwant\n%x", second, first)
		}
		if s.clock-s.emitted > 100*s.window {
			return // many empty windows
		}
		b := &telemetry.Batch{Gateway: "gateway-001", Site: "s", Received: s.clock}
		for i := range 20 {
			at := s.clock + telemetry.Micros(i*i*977%500*1000)
			b.Append(telemetry.Event{Device: "press-01", Metric: "state", Time: at, Value: float64(i % 4)})
		}
		s.Observe(b, s.clock)
		s.Advance(s.clock + 10*s.window)
		s.EmitClosed(func(*Sample) {})
	})
}

func TestTruncatedStateIsInvalid(t *testing.T) {
	p := newPlant(t, 100)
	s := newShard(t, Config{Machines: p})
	for range 3 {
		p.step()
		p.observe(s, func(*Sample) {})
	}
	state := s.AppendBinary(nil)
	for n := range len(state) {
		if err := s.Decode(state[:n]); !errors.Is(err, telemetry.ErrInvalid) {
			t.Fatalf("first %d of %d bytes: got %v", n, len(state), err)
		}
	}
	if s.Series() != 100 {
		t.Errorf("after failed calls of Decode: got %d series, want the 100 of before", s.Series())
	}
}
