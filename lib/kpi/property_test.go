package kpi

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// fleet is a small plant whose windows are a millisecond long, so that the oracle can
// process it microsecond by microsecond.
type fleet struct {
	config   Config
	machines map[telemetry.DeviceName]MachineConfig
	checked  map[telemetry.DeviceName]*Machine
}

func (f fleet) Machine(_ telemetry.GatewayID, d telemetry.DeviceName) *Machine { return f.checked[d] }

// noon is a Monday, 12:00 UTC.
var noon = telemetry.MicrosOf(time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC))

func drawFleet(t *rapid.T) fleet {
	us := func(from, to int, label string) time.Duration {
		return time.Duration(rapid.IntRange(from, to).Draw(t, label)) * time.Microsecond
	}
	f := fleet{machines: map[telemetry.DeviceName]MachineConfig{}, checked: map[telemetry.DeviceName]*Machine{}}
	f.config = Config{
		Window: time.Millisecond, Lateness: us(1, 2000, "lateness"), Ahead: us(1, 3000, "ahead"),
		Forget: us(1000, 9000, "forget"), Gap: us(1, 3000, "gap"), Machines: f,
	}
	for _, d := range []telemetry.DeviceName{"mill", "press"} {
		c := MachineConfig{
			StateMetric: "state", CountMetric: "cycle_count", GoodMetric: "good_count",
			IdealCycle: us(0, 500, "ideal"), StaleLimit: us(1, 4000, "stale"),
			CounterModulus: rapid.SampledFrom([]int64{0, 0, 0, 100, 65536}).Draw(t, "modulus"),
			States: map[int]State{
				0: {Element: Production}, 1: {Element: Idle}, 2: {Element: Setup},
				3: {Down, "jam"}, 4: {Down, "power"}, 5: {Element: NotPlanned},
			},
		}
		if rapid.IntRange(0, 9).Draw(t, "never") == 0 {
			c.Shifts = []Shift{}
		}
		at := 12*time.Hour - time.Millisecond
		for range rapid.IntRange(0, 3).Draw(t, "shifts") {
			at += us(0, 5000, "pause")
			end := at + us(1, 5000, "shift")
			c.Shifts = append(c.Shifts, Shift{at, end})
			at = end
		}
		drawReports(t, &c)
		m, err := NewMachine(c)
		if err != nil {
			t.Fatal(err)
		}
		f.machines[d], f.checked[d] = c, m
	}
	return f
}

// drawReports draws what the machine is configured to report.
func drawReports(t *rapid.T, c *MachineConfig) {
	seldom := func(label string) bool { return rapid.IntRange(0, 4).Draw(t, label) == 0 }
	c.Own = rapid.Bool().Draw(t, "own")
	if seldom("no state") {
		c.StateMetric = ""
	}
	if seldom("no count") {
		c.CountMetric = ""
	}
	if seldom("no good") {
		c.GoodMetric = ""
		c.AssumeGood = c.CountMetric != "" && rapid.Bool().Draw(t, "assume good")
	}
	if seldom("no ideal") {
		c.IdealCycle = 0
	}
}

// drawOffers draws events of a few series in the order in which they arrive.
func drawOffers(t *rapid.T, n int) []offer {
	metrics := []telemetry.MetricName{"cycle_count", "good_count", "state", "temperature"}
	devices := []telemetry.DeviceName{"mill", "press", "sensor"}
	at, arrival := noon, noon+1000
	regular := rapid.IntRange(1, 300).Draw(t, "regular")
	var out []offer
	count := 0
	for range rapid.IntRange(1, n).Draw(t, "events") {
		switch rapid.IntRange(0, 9).Draw(t, "step") {
		case 0:
			at += telemetry.Micros(rapid.IntRange(-2500, 2500).Draw(t, "jump"))
		case 1:
			at += telemetry.Micros(rapid.IntRange(0, 5).Draw(t, "little"))
		case 2:
			arrival += telemetry.Micros(rapid.IntRange(0, 600).Draw(t, "wait"))
		case 3:
			if rapid.IntRange(0, 5).Draw(t, "pause?") == 0 {
				d := telemetry.Micros(rapid.IntRange(0, 14000).Draw(t, "pause"))
				at, arrival = at+d, arrival+d
			}
		default:
			at += telemetry.Micros(regular)
			arrival = max(arrival, at)
		}
		e := telemetry.Event{
			Device: rapid.SampledFrom(devices).Draw(t, "device"), Metric: rapid.SampledFrom(metrics).Draw(t, "metric"),
			Time: at, Quality: rapid.SampledFrom([]telemetry.Quality{0, 0, 0, 0, 0, 0, 1, 2}).Draw(t, "quality"),
		}
		switch e.Metric {
		case "state":
			e.Value = float64(rapid.IntRange(0, 6).Draw(t, "state"))
		case "temperature":
			e.Value = rapid.SampledFrom([]float64{
				0.1, -0.3, 71.25, 1e-9, 5e-324, -1e300, 1e17, 1e15 + 0.5, math.Pi, math.NaN(), math.Inf(1), 0,
			}).Draw(t, "value")
			if rapid.Bool().Draw(t, "random") {
				e.Value = rapid.Float64Range(-1e30, 1e30).Draw(t, "value")
			}
		default:
			count += rapid.IntRange(0, 3).Draw(t, "count")
			e.Value = float64(count)
			switch rapid.IntRange(0, 25).Draw(t, "fault") {
			case 0, 1:
				count = rapid.IntRange(0, 2).Draw(t, "reset")
				e.Value = float64(count)
			case 2:
				e.Value -= float64(rapid.IntRange(0, 30).Draw(t, "dip"))
			case 3:
				e.Value += rapid.SampledFrom([]float64{0.5, 900, 65530, 3e6, 1e12}).Draw(t, "spike")
			case 4:
				e.Value = 0
			case 5:
				count = rapid.SampledFrom([]int{95, 500, 65533, 2_000_000}).Draw(t, "set")
				e.Value = float64(count)
			default:
			}
		}
		gateway := rapid.SampledFrom([]telemetry.GatewayID{"a", "b"}).Draw(t, "gateway")
		out = append(out, offer{gateway, e, e.Time + telemetry.Micros(rapid.IntRange(-100, 3_000_000).Draw(t, "lag")), arrival})
		if rapid.IntRange(0, 7).Draw(t, "again") == 0 {
			again := rapid.SampledFrom(out).Draw(t, "which")
			again.arrival = arrival
			if rapid.Bool().Draw(t, "conflict") {
				again.event.Value++
			}
			out = append(out, again)
		}
	}
	return out
}

// feed adds the offers to the shard in batches. A batch ends when cut returns true, and
// the state is encoded and decoded when save does.
func feed(t *rapid.T, s *Shard, offers []offer, cut, save func() bool, emit func(*Sample)) {
	var b telemetry.Batch
	var arrival telemetry.Micros
	flush := func() {
		if b.Len() > 0 {
			s.Observe(&b, arrival)
			if emit != nil && cut() {
				s.EmitClosed(emit)
			}
		}
		b.Reset()
		if save() {
			reload(t, s)
		}
	}
	for _, of := range offers {
		if b.Gateway != of.gateway || b.Received != of.received || arrival != of.arrival || cut() {
			flush()
		}
		b.Gateway, b.Site, b.Received, arrival = of.gateway, "plant", of.received, of.arrival
		b.Append(of.event)
	}
	flush()
}

// reload encodes the state and decodes it into s.
func reload(t *rapid.T, s *Shard) {
	p := s.AppendBinary(nil)
	if err := s.Decode(p); err != nil {
		t.Fatal(err)
	}
	if again := s.AppendBinary(nil); string(again) != string(p) {
		t.Fatalf("state after decoding and encoding:\n%x\nwant\n%x", again, p)
	}
}

// split returns a child of s with the gateways for which retain returns true.
func split(t *rapid.T, c Config, s *Shard, retain func(telemetry.GatewayID) bool) *Shard {
	child, err := NewShard(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Decode(s.AppendBinary(nil)); err != nil {
		t.Fatal(err)
	}
	child.Retain(retain)
	return child
}

// result is the emitted samples, in a form that is compared bit by bit.
type result map[key]string

func (r result) add(t *rapid.T, s *Sample) {
	k := keyOf(s)
	if _, ok := r[k]; ok {
		t.Fatalf("%+v: emitted twice", k)
	}
	r[k] = text(s.Value, s.Lags)
}

func text(v float64, l *Lags) string {
	if l != nil {
		return fmt.Sprint(v, *l)
	}
	return fmt.Sprintf("%v %x", v, math.Float64bits(v))
}

func compare(t *rapid.T, want, got result) {
	for k, v := range want {
		if h, ok := got[k]; !ok || h != v {
			t.Errorf("%+v: got %q, want %q", k, h, v)
		}
	}
	for k, v := range got {
		if _, ok := want[k]; !ok {
			t.Errorf("%+v: got %q, want none", k, v)
		}
	}
}

const testRuns = 1 << 10

func TestTimesAreASet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var set timeSet
		want := map[uint32]bool{}
		grid := rapid.Uint32Range(1, 5).Draw(t, "grid")
		for range rapid.IntRange(1, 60).Draw(t, "times") {
			at := rapid.Uint32Range(0, 40).Draw(t, "at") * grid
			if got := set.add(at, testRuns); (got == duplicate) != want[at] {
				t.Fatalf("add %d: got outcome %d, duplicate: want %v", at, got, want[at])
			}
			want[at] = true
			if rapid.IntRange(0, 9).Draw(t, "compact") == 0 {
				set.compact()
			}
		}
		for at := range 41 * grid {
			before, after := at, at
			for other := range want {
				if other < at && (before == at || other > before) {
					before = other
				}
				if other > at && (after == at || other < after) {
					after = other
				}
			}
			if b, a := set.neighbours(at); b != before || a != after {
				t.Errorf("neighbours of %d: got %d and %d, want %d and %d; %v", at, b, a, before, after, set.runs)
			}
		}
	})
}

func TestSamplesAreThoseOfTheOracle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := drawFleet(t)
		f.config.Limits = Limits{Runs: testRuns, Changes: testRuns}
		offers := drawOffers(t, 150)
		s, err := NewShard(f.config)
		if err != nil {
			t.Fatal(err)
		}
		got := result{}
		end := telemetry.Micros(math.MinInt64)
		emit := func(sample *Sample) {
			if sample.Time < end {
				t.Errorf("emitted a sample of %d after one of %d", sample.Time, end)
			}
			end = sample.Time
			got.add(t, sample)
		}
		often := rapid.IntRange(0, 9).Draw(t, "often")
		chance := func() bool { return rapid.IntRange(0, 9).Draw(t, "chance") < often }
		feed(t, s, offers, chance, chance, emit)
		last := noon + telemetry.Micros(rapid.IntRange(0, 60_000).Draw(t, "last"))
		s.Advance(last)
		s.EmitClosed(emit)

		o := oracle{c: f.config, machines: f.machines}
		o.reduce(offers, last)
		want := result{}
		for k, v := range o.out {
			want[k] = text(v, nil)
			if l, ok := o.lags[k]; ok {
				want[k] = text(v, &l)
			}
		}
		compare(t, want, got)
	})
}

// within changes the offers so that all arrive while their windows are open, and so that
// no duplicate has another value.
func within(offers []offer) []offer {
	first := map[key]offer{}
	var out []offer
	for _, of := range offers {
		of.arrival = noon + 1000
		of.event.Time = noon + 1000 + ((of.event.Time-noon)%4000+4000)%4000
		k := key{gateway: of.gateway, device: of.event.Device, metric: of.event.Metric, end: of.event.Time}
		if before, ok := first[k]; ok {
			of = before
		}
		first[k] = of
		out = append(out, of)
	}
	return out
}

func TestOrderSplitAndDuplicationChangeNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := drawFleet(t)
		f.config.Ahead = 5 * time.Millisecond
		f.config.Limits = Limits{Runs: testRuns, Changes: testRuns}
		offers := within(drawOffers(t, 120))
		run := func(offers []offer, chance func() bool) result {
			s, err := NewShard(f.config)
			if err != nil {
				t.Fatal(err)
			}
			s.Advance(noon + 1000)
			feed(t, s, offers, chance, chance, nil)
			got := result{}
			s.Advance(noon + 20_000)
			s.EmitClosed(func(sample *Sample) { got.add(t, sample) })
			return got
		}
		want := run(offers, func() bool { return false })
		chance := func() bool { return rapid.IntRange(0, 9).Draw(t, "chance") == 0 }
		compare(t, want, run(rapid.Permutation(offers).Draw(t, "order"), chance))

		// With every offer repeated, in another order, only the count of duplicates grows.
		more := rapid.Permutation(append(slices.Clone(offers), offers...)).Draw(t, "more")
		got := run(more, chance)
		for _, r := range []result{want, got} {
			for k := range r {
				if k.name == DuplicateEvents {
					delete(r, k)
				}
			}
		}
		compare(t, want, got)
	})
}

// TestMergeIsThatOfOneShard distributes the events to three shards, by identity, and
// merges these in two ways.
func TestMergeIsThatOfOneShard(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := drawFleet(t)
		f.config.Ahead = 5 * time.Millisecond
		f.config.Limits = Limits{Runs: testRuns, Changes: testRuns}
		offers := within(drawOffers(t, 120))
		never := func() bool { return false }
		shard := func(offers []offer) *Shard {
			s, err := NewShard(f.config)
			if err != nil {
				t.Fatal(err)
			}
			s.Advance(noon + 1000)
			feed(t, s, offers, never, never, nil)
			return s
		}
		finish := func(s *Shard) result {
			got := result{}
			reload(t, s)
			s.Advance(noon + 20_000)
			s.EmitClosed(func(sample *Sample) { got.add(t, sample) })
			return got
		}
		want := finish(shard(offers))
		parts := make([][]offer, 3)
		dealt := map[key]int{}
		for _, of := range offers {
			k := key{gateway: of.gateway, device: of.event.Device, metric: of.event.Metric, end: of.event.Time}
			if _, ok := dealt[k]; !ok {
				dealt[k] = rapid.IntRange(0, 2).Draw(t, "part")
			}
			parts[dealt[k]] = append(parts[dealt[k]], of)
		}
		merge := func(a, b *Shard) *Shard {
			if err := a.Merge(b); err != nil {
				t.Fatal(err)
			}
			return a
		}
		compare(t, want, finish(merge(merge(shard(parts[0]), shard(parts[1])), shard(parts[2]))))
		compare(t, want, finish(merge(shard(parts[2]), merge(shard(parts[1]), shard(parts[0])))))
	})
}

// TestShardsSplitAndMergeUnderWay splits the shard by gateway between records and merges
// the parts; the samples are those of an unsplit shard.
func TestShardsSplitAndMergeUnderWay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := drawFleet(t)
		f.config.Limits = Limits{Runs: testRuns, Changes: testRuns}
		offers := drawOffers(t, 100)
		never := func() bool { return false }
		run := func(reshard bool) result {
			got := result{}
			emit := func(sample *Sample) { got.add(t, sample) }
			s, err := NewShard(f.config)
			if err != nil {
				t.Fatal(err)
			}
			at := rapid.IntRange(0, len(offers)).Draw(t, "at")
			feed(t, s, offers[:at], func() bool { return true }, never, emit)
			if reshard {
				left := split(t, f.config, s, func(g telemetry.GatewayID) bool { return g == "a" })
				right := split(t, f.config, s, func(g telemetry.GatewayID) bool { return g != "a" })
				for _, child := range []*Shard{left, right} {
					child.EmitClosed(emit)
				}
				if err := left.Merge(right); err != nil {
					t.Fatal(err)
				}
				s = left
			}
			feed(t, s, offers[at:], func() bool { return true }, never, emit)
			s.Advance(noon + 30_000)
			s.EmitClosed(emit)
			return got
		}
		compare(t, run(false), run(true))
	})
}
