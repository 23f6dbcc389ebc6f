package detect

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/insighthub/insighthub/lib/shardstate"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// saved runs a tape and returns the state's bytes.
func saved(tb testing.TB, p *tape) []byte {
	tb.Helper()
	b := newBench(tb, p, rules()...)
	b.all(20)
	lease, err := b.config.States.Load(tb.Context(), "s")
	if err != nil {
		tb.Fatal(err)
	}
	return lease.State.append(nil)
}

func TestStateSurvives(t *testing.T) {
	encoded := saved(t, plant(rand.New(rand.NewPCG(11, 12)), 100))
	codec, err := NewCodec(Limits{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := codec.Decode(encoded)
	if err != nil {
		t.Fatal(err)
	}
	if s.series != 16+1 { // and a state that a rule watches
		t.Errorf("%d series", s.series)
	}
	again, err := codec.Append([]byte("x"), s)
	if err != nil || !bytes.Equal(again[1:], encoded) {
		t.Errorf("%d bytes became %d, %v", len(encoded), len(again)-1, err)
	}
	for n := range encoded {
		if _, err := codec.Decode(encoded[:n]); !errors.Is(err, telemetry.ErrInvalid) {
			t.Fatalf("the first %d of %d bytes: %v", n, len(encoded), err)
		}
	}
	if _, err := codec.Decode(append(bytes.Clone(encoded), 0)); !errors.Is(err, telemetry.ErrInvalid) {
		t.Errorf("a byte more: %v", err)
	}
}

// TestDetectorsOfAnotherVersion damages the states of the detectors: they begin
// anew, and the shard goes on.
func TestDetectorsOfAnotherVersion(t *testing.T) {
	p := plant(rand.New(rand.NewPCG(13, 14)), 60)
	b := newBench(t, p, rules()...)
	if err := b.invoke("s", 0, len(p.records)-1); err != nil {
		t.Fatal(err)
	}
	lease, err := b.config.States.Load(t.Context(), "s")
	if err != nil {
		t.Fatal(err)
	}
	encoded := lease.State.append(nil)
	for _, g := range lease.State.gateways {
		for _, d := range g.devices {
			for _, sr := range d.series {
				if sr.detector != nil {
					own := appendSparse(nil, sr.detector.AppendState(nil))
					other := bytes.Clone(own)
					other[2] += 100 // the version, after two bytes of length
					encoded = bytes.Replace(encoded, own, other, 1)
				}
			}
			if d.machine == nil {
				t.Fatal("no machine to damage")
			}
			own := appendSparse(nil, d.machine.AppendState(nil))
			other := bytes.Clone(own)
			other[2] += 100
			encoded = bytes.Replace(encoded, own, other, 1)
		}
	}
	s, err := (&Codec{Limits{}.withDefaults()}).Decode(encoded)
	if err != nil {
		t.Fatal(err)
	}
	if s.resets != 16+4 || s.series != 17 {
		t.Errorf("%d begin anew, %d series", s.resets, s.series)
	}
	for _, g := range s.gateways {
		for _, d := range g.devices {
			if d.machine != nil || d.sensors != 0 || d.series[0].sensor != 0 {
				t.Errorf("%s still has a machine", d.name)
			}
		}
	}
}

func TestLimits(t *testing.T) {
	p := &tape{}
	for i := range telemetry.Micros(3) {
		for _, g := range []string{"a", "b", "c"} {
			b := batch(g, event("d", "state", start+i, 1))
			for m := range 5 {
				b.Append(event("d", fmt.Sprint("m", m), start+i, 1))
			}
			p.add(start+i, b)
		}
	}
	b := newBench(t, p)
	b.limits = Limits{Series: 7, GatewaySeries: 4}
	b.cold()
	b.all(4)
	if n := b.counter("insighthub_detect_series", "s"); n != 7 {
		t.Errorf("%v series, want 7", n)
	}
	// a has 4 of 5, b 3, c none.
	if n := b.counter("insighthub_detect_events_total", "refused"); n != 3*8 {
		t.Errorf("%v events refused, want 24", n)
	}
	if log := b.log.String(); !strings.Contains(log, "not all series are scored") || !strings.Contains(log, "gateway=c") {
		t.Errorf("log %s", log)
	}
	b.limits = Limits{Series: 5, GatewaySeries: 3}
	b.cold()
	if err := b.invoke("s", 8, 9); err != nil { // nothing new
		t.Fatal(err)
	}
	if n := b.counter("insighthub_detect_series", "s"); n != 5 {
		t.Errorf("%v series after the limit was lowered, want 5", n)
	}
}

func TestSilentSeriesAreForgotten(t *testing.T) {
	day := 24 * 3600 * second
	p := &tape{}
	p.add(start, batch("a", event("d", "m", start, 1), event("d", "n", start, 1)), batch("b", event("d", "m", start, 1)))
	p.add(start+10*day, batch("a", event("d", "m", start+10*day, 1)))
	p.add(start+15*day, batch("c", event("d", "m", start+15*day, 1)))
	for _, size := range []int{1, 3} {
		b := newBench(t, p)
		b.limits = Limits{Series: 3}
		b.cold()
		b.all(size)
		lease, err := b.config.States.Load(t.Context(), "s")
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		lease.State.each(func(sr *series) {
			names = append(names, fmt.Sprintf("%s/%s", sr.gateway.name, sr.metric))
		})
		if got := strings.Join(names, " "); got != "a/m c/m" || lease.State.series != 2 {
			t.Errorf("by %d: %s are left, %d, want a/m c/m", size, got, lease.State.series)
		}
	}
}

func TestMergeWithinLimits(t *testing.T) {
	codec, err := NewCodec(Limits{Series: 3})
	if err != nil {
		t.Fatal(err)
	}
	var parents []shardstate.Parent[*State]
	for _, name := range []telemetry.GatewayID{"b", "a"} {
		s := newState(codec.limits)
		s.clock = start
		s.add(&gateway{name: name, series: 2})
		parents = append(parents, shardstate.Parent[*State]{State: s})
	}
	s, err := codec.Inherit(shardstate.Shard{Hashes: shardstate.WholeRange()}, parents)
	if err != nil || len(s.gateways) != 1 || s.gateways[0].name != "a" || s.dropped != 2 || s.clock != start {
		t.Errorf("%+v, %v", s, err)
	}
	parents[1].State.gateways[0].name = "b"
	if _, err := codec.Inherit(shardstate.Shard{Hashes: shardstate.WholeRange()}, parents); err == nil {
		t.Error("one gateway in two parents")
	}
}

func TestCodecWantsSense(t *testing.T) {
	for _, l := range []Limits{{Series: -1}, {GatewaySeries: -1}, {MaxIdle: time.Second}} {
		if _, err := NewCodec(l); !errors.Is(err, telemetry.ErrInvalid) {
			t.Errorf("%+v: %v", l, err)
		}
	}
}

// FuzzDecode wants an error that says so, or a state that can be written and read again.
func FuzzDecode(f *testing.F) {
	f.Add([]byte{Version, 0, 0, 0})
	f.Add(saved(f, plant(rand.New(rand.NewPCG(15, 16)), 1)))
	f.Add(saved(f, plant(rand.New(rand.NewPCG(17, 18)), 12)))
	codec, err := NewCodec(Limits{Series: 100})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, encoded []byte) {
		s, err := codec.Decode(encoded)
		if err != nil {
			if !errors.Is(err, telemetry.ErrInvalid) {
				t.Fatal(err)
			}
			return
		}
		first, err := codec.Append(nil, s)
		if err != nil {
			t.Fatal(err)
		}
		again, err := codec.Decode(first)
		if err != nil {
			t.Fatal(err)
		}
		if second, err := codec.Append(nil, again); err != nil || !bytes.Equal(first, second) {
			t.Fatalf("%x became %x, %v", first, second, err)
		}
	})
}
