package kpi

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/insighthub/insighthub/lib/telemetry"
)

func TestCardinalityIsBoundedAndVisible(t *testing.T) {
	s := newShard(t, Config{Limits: Limits{Gateways: 1, Devices: 3, Series: 4}})
	b := &telemetry.Batch{Gateway: "gw", Site: "plant", Received: noon}
	for i := range 10 {
		device, metric := telemetry.DeviceName(fmt.Sprint("d", i%5)), telemetry.MetricName(fmt.Sprint("m", i/5))
		b.Append(telemetry.Event{Device: device, Metric: metric, Time: noon, Value: 1})
	}
	r := s.Observe(b, noon)
	if r.Accepted != 4 || r.Refused != 6 || !r.AtLimit() || s.Series() != 4 {
		t.Fatalf("got %+v and %d series, want 4 accepted, 6 rejected, 4 series", r, s.Series())
	}
	b.Gateway = "another"
	if r := s.Observe(b, noon); r.Refused != 10 {
		t.Fatalf("second gateway: got %+v, want 10 rejected", r)
	}
	s.Advance(noon + 7*second)
	got := collect(s)
	for f, want := range map[Name]float64{Events: 4, RefusedEvents: 6, GatewaySeries: 4, GatewayDevices: 3, SeriesSamples: 1} {
		if v := value(got, f); v != want {
			t.Errorf("%s: got %v, want %v", f, v, want)
		}
	}

	// After a silence of Forget other devices are accepted.
	s.Advance(noon + 2*3600*second)
	s.EmitClosed(func(*Sample) {})
	if s.Series() != 0 || len(s.AppendBinary(nil)) > 40 {
		t.Errorf("after the silence: got %d series in %d bytes, want none", s.Series(), len(s.AppendBinary(nil)))
	}
	b.Reset()
	b.Gateway = "another"
	b.Append(telemetry.Event{Device: "d9", Metric: "m", Time: noon + 2*3600*second})
	if r := s.Observe(b, noon+2*3600*second); r.Accepted != 1 {
		t.Errorf("%+v", r)
	}
}

// TestIrregularTimesAreBounded observes more irregular times than a window's set can
// hold. All of them count, those beyond the limit as unverified, and the state stays small.
func TestIrregularTimesAreBounded(t *testing.T) {
	m := newMachine(t, pressConfig())
	s := newShard(t, Config{Machines: everyDevice{m}})
	r := rand.New(rand.NewPCG(1, 2))
	b := &telemetry.Batch{Gateway: "gw", Site: "plant", Received: noon}
	seen := map[telemetry.Micros]bool{}
	const n = 5000
	for len(seen) < n {
		at := noon + telemetry.Micros(r.IntN(4_999_999))
		if !seen[at] {
			seen[at] = true
			b.Append(telemetry.Event{Device: "press", Metric: "cycle_count", Time: at, Value: float64(r.IntN(1000))})
		}
	}
	report := s.Observe(b, noon)
	if report.Accepted != n || report.Unverified < n/2 || report.Crowded < n/2 || !report.AtLimit() {
		t.Errorf("%+v", report)
	}
	state := s.AppendBinary(nil)
	if len(state) > 2000 {
		t.Errorf("%d bytes", len(state))
	}
	if err := s.Decode(state); err != nil {
		t.Fatal(err)
	}
	s.Advance(noon + 7*second)
	got := collect(s)
	for f, want := range map[Name]float64{
		SeriesSamples: n, Events: n, UnverifiedEvents: float64(report.Unverified), CrowdedEvents: float64(report.Crowded),
	} {
		if v := value(got, f); v != want {
			t.Errorf("%s: got %v, want %v", f, v, want)
		}
	}
}

// TestShuffledRegularTimesFit adds three times as many shuffled regular times as the set
// may have runs: compaction must find the few runs.
func TestShuffledRegularTimesFit(t *testing.T) {
	var set timeSet
	for _, i := range rand.New(rand.NewPCG(1, 2)).Perm(200) {
		if got := set.add(uint32(i)*10_000, 64); got != added {
			t.Fatalf("time %d: got %d", i, got)
		}
	}
	for i := range uint32(200) {
		if got := set.add(i*10_000, 64); got != duplicate {
			t.Errorf("time %d repeated: got outcome %d, want a duplicate", i, got)
		}
	}
	if set.compact(); len(set.runs) != 1 {
		t.Errorf("got %d runs, want 1", len(set.runs))
	}
}

func TestLagBuckets(t *testing.T) {
	var h Lags
	for _, lag := range []time.Duration{
		-time.Second, 0, 976 * time.Microsecond, 977 * time.Microsecond, time.Second, time.Second + time.Microsecond, 30 * time.Hour,
	} {
		h.add(bucketOf(micros(lag)), micros(lag))
	}
	if h.Count != 7 || h.Zero != 3 || h.SumMicros != 108_000_000_000+1_000_000+976+977+1 {
		t.Errorf("%d lags, %d of them zero, sum %d µs", h.Count, h.Zero, h.SumMicros)
	}
	counts := h.Classic()
	for i, bound := range ClassicBounds() {
		want := uint64(4)
		if bound >= 1 {
			want = 5
		}
		if bound >= 2 {
			want = 6
		}
		if counts[i] != want {
			t.Errorf("at most %v s: got %d, want %d", bound, counts[i], want)
		}
	}
}

// TestLateAndEarlyToTheMicrosecond: at clock noon+7 s the window that ends at noon+5 s is
// closed, and the last window that accepts events begins at noon+15 s.
func TestLateAndEarlyToTheMicrosecond(t *testing.T) {
	for _, test := range []struct {
		at   telemetry.Micros
		want Report
	}{
		{5*second - 1, Report{Late: 1}},
		{5 * second, Report{Accepted: 1}},
		{20*second - 1, Report{Accepted: 1}},
		{20 * second, Report{Early: 1}},
	} {
		s := newShard(t, Config{})
		s.Advance(noon + 7*second)
		b := &telemetry.Batch{Gateway: "gw", Site: "plant"}
		b.Append(telemetry.Event{Device: "d", Metric: "m", Time: noon + test.at})
		if got := s.Observe(b, noon); got != test.want { // an older arrival does not turn the clock back
			t.Errorf("%d: got %+v, want %+v", test.at, got, test.want)
		}
	}
}
