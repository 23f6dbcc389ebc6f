package detect

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/shardstate"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// saved returns the encoded state after all records of a stream.
func saved(tb testing.TB, stream *testStream) []byte {
	tb.Helper()
	f := newFixture(tb, stream, rules()...)
	f.all(20)
	lease, err := f.config.States.Load(tb.Context(), "s")
	if err != nil {
		tb.Fatal(err)
	}
	return lease.State.append(nil)
}

func TestCodec(t *testing.T) {
	encoded := saved(t, plant(rand.New(rand.NewPCG(11, 12)), 100))
	codec, err := NewCodec(Limits{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := codec.Decode(encoded)
	if err != nil {
		t.Fatal(err)
	}
	if s.series != 16+1 { // one unscored series has a rule
		t.Errorf("got %d series, want 17", s.series)
	}
	again, err := codec.Append([]byte("x"), s)
	if err != nil || !bytes.Equal(again[1:], encoded) {
		t.Errorf("got %d other bytes, %v, want the same %d", len(again)-1, err, len(encoded))
	}
	for n := range encoded {
		if _, err := codec.Decode(encoded[:n]); !errors.Is(err, telemetry.ErrInvalid) {
			t.Fatalf("first %d of %d bytes: got %v, want an error that wraps telemetry.ErrInvalid", n, len(encoded), err)
		}
	}
	if _, err := codec.Decode(append(bytes.Clone(encoded), 0)); !errors.Is(err, telemetry.ErrInvalid) {
		t.Errorf("one byte more: got %v, want an error that wraps telemetry.ErrInvalid", err)
	}
}

// TestDetectorsOfAnotherVersion changes the version in the states of the detectors, and
// expects that decoding resets them.
func TestDetectorsOfAnotherVersion(t *testing.T) {
	stream := plant(rand.New(rand.NewPCG(13, 14)), 60)
	f := newFixture(t, stream, rules()...)
	if err := f.invoke("s", 0, len(stream.records)-1); err != nil {
		t.Fatal(err)
	}
	lease, err := f.config.States.Load(t.Context(), "s")
	if err != nil {
		t.Fatal(err)
	}
	encoded := lease.State.append(nil)
	for _, g := range lease.State.gateways {
		for _, d := range g.devices {
			for _, sr := range d.series {
				if sr.detector != nil {
					encoded = changeVersion(encoded, sr.detector.AppendState(nil))
				}
			}
			if d.machine == nil {
				t.Fatalf("device %s: got no Machine, want one", d.name)
			}
			encoded = changeVersion(encoded, d.machine.AppendState(nil))
		}
	}
	s, err := (&Codec{Limits{}.withDefaults()}).Decode(encoded)
	if err != nil {
		t.Fatal(err)
	}
	if s.resets != 16+4 || s.series != 17 {
		t.Errorf("got %d resets, %d series, want 20 and 17", s.resets, s.series)
	}
	for _, g := range s.gateways {
		for _, d := range g.devices {
			if d.machine != nil || d.sensors != 0 || d.series[0].sensor != 0 {
				t.Errorf("device %s: got a Machine, want none", d.name)
			}
		}
	}
}

// changeVersion changes the version of a detector's state within an encoded State.
func changeVersion(encoded, detector []byte) []byte {
	before := appendSparse(nil, detector)
	after := bytes.Clone(before)
	after[2] += 100 // the version follows two bytes of length
	return bytes.Replace(encoded, before, after, 1)
}

func TestLimits(t *testing.T) {
	stream := &testStream{}
	for i := range telemetry.Micros(3) {
		for _, g := range []string{"a", "b", "c"} {
			b := batch(g, event("d", "state", start+i, 1))
			for m := range 5 {
				b.Append(event("d", fmt.Sprint("m", m), start+i, 1))
			}
			stream.add(start+i, b)
		}
	}
	f := newFixture(t, stream)
	f.limits = Limits{Series: 7, GatewaySeries: 4}
	f.restart()
	f.all(4)
	if n := f.counter("insighthub_detect_series", "s"); n != 7 {
		t.Errorf("got %v series, want 7", n)
	}
	// Series: 4 of 5 of gateway a, 3 of b, none of c.
	if n := f.counter("insighthub_detect_events_total", "refused"); n != 3*8 {
		t.Errorf("got %v events refused, want 24", n)
	}
	if log := f.log.String(); !strings.Contains(log, "not all series are scored") || !strings.Contains(log, "gateway=c") {
		t.Errorf("got log %s, want a warning about gateway c", log)
	}
	f.limits = Limits{Series: 5, GatewaySeries: 3}
	f.restart()
	if err := f.invoke("s", 8, 9); err != nil { // gateway c has no series
		t.Fatal(err)
	}
	if n := f.counter("insighthub_detect_series", "s"); n != 5 {
		t.Errorf("after the limit was lowered: got %v series, want 5", n)
	}
}

func TestIdleSeriesAreRemoved(t *testing.T) {
	day := 24 * 3600 * second
	stream := &testStream{}
	stream.add(start, batch("a", event("d", "m", start, 1), event("d", "n", start, 1)), batch("b", event("d", "m", start, 1)))
	stream.add(start+10*day, batch("a", event("d", "m", start+10*day, 1)))
	stream.add(start+15*day, batch("c", event("d", "m", start+15*day, 1)))
	for _, size := range []int{1, 3} {
		f := newFixture(t, stream)
		f.limits = Limits{Series: 3}
		f.restart()
		f.all(size)
		lease, err := f.config.States.Load(t.Context(), "s")
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		lease.State.each(func(sr *series) {
			names = append(names, fmt.Sprintf("%s/%s", sr.gateway.name, sr.metric))
		})
		if got := strings.Join(names, " "); got != "a/m c/m" || lease.State.series != 2 {
			t.Errorf("invocations of %d records: got %s, %d series, want a/m c/m", size, got, lease.State.series)
		}
	}
}

// TestAnomaliesOfIdleSeriesEnd has a series that falls silent after an anomaly, and ticks.
func TestAnomaliesOfIdleSeriesEnd(t *testing.T) {
	random := rand.New(rand.NewPCG(21, 22))
	stream := &testStream{}
	at := start
	for n := range 1200 {
		var events []telemetry.Event
		for _, metric := range []string{"flow", "heat", "power"} {
			value := random.NormFloat64()
			if n >= 1000 {
				value += 12
			}
			if n == 1199 {
				value += 1000
			}
			events = append(events, event("press", metric, at, value))
		}
		stream.add(at, batch("a", events...))
		at += second
	}
	stream.add(at, batch("a", event("press", "state", at, 1), event("press", "other", at, 1))) // ends the moment
	last := at - second
	for at = last + hour/2; at < last+3*hour; at += hour / 2 {
		stream.add(at)
	}
	for _, size := range []int{1, 7, 2000} {
		f := newFixture(t, stream)
		f.all(size)
		kinds := map[directory.AnomalyKind]int{}
		for _, a := range f.anomalies.stored {
			want := last + hour
			if a.Kind == directory.ByMachine {
				want += second // that of the event which ended the moment
			}
			if a.EndReason == directory.EndUnwatched && a.EndedAt == want {
				kinds[a.Kind]++
			} else if a.EndReason != directory.EndCleared && a.EndReason != directory.EndSuperseded {
				t.Errorf("got the end %s at %d of %s, want unwatched at %d", a.EndReason, a.EndedAt, describe(a), want)
			}
		}
		if kinds[directory.ByScore] != 3 || kinds[directory.ByMachine] != 1 {
			t.Errorf("invocations of %d records: got %v ended as unwatched, want 3 of series and that of the machine", size, kinds)
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
		t.Errorf("got %+v, %v, want gateway a and 2 dropped series", s, err)
	}
	parents[1].State.gateways[0].name = "b"
	if _, err := codec.Inherit(shardstate.Shard{Hashes: shardstate.WholeRange()}, parents); err == nil {
		t.Error("gateway in both parents: got no error")
	}
}

func TestLimitsNotValid(t *testing.T) {
	for _, c := range []struct {
		limits Limits
		want   string
	}{
		{Limits{Series: -1}, "series -1, of a gateway 5000: less than 1"},
		{Limits{GatewaySeries: -1}, "series 20000, of a gateway -1: less than 1"},
		{Limits{MaxIdle: time.Second}, "idle time 1s: less than an hour"},
		{Limits{Series: -1, MaxIdle: time.Second}, "less than 1\nidle time 1s"},
	} {
		if _, err := NewCodec(c.limits); !errors.Is(err, telemetry.ErrInvalid) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: got %v, want it to contain %q", c.limits, err, c.want)
		}
	}
}

// FuzzDecode wants telemetry.ErrInvalid, or a state that encodes and decodes to itself.
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
			t.Fatalf("got %x, %v, want %x", second, err, first)
		}
	})
}
