package kpi

import (
	"encoding/hex"
	"math"
	"testing"
	"time"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// TestCountersByHand has the readings of a counter, one a second unless a time is given,
// and the items that a reader of docs/adr/0027-counters.md expects.
func TestCountersByHand(t *testing.T) {
	const s = time.Second
	nan := math.NaN() // no reading in that second
	for name, tc := range map[string]struct {
		ideal    time.Duration
		modulus  int64
		every    time.Duration // default 1 s
		readings []float64
		want     float64
	}{
		"grows":                                 {ideal: s, readings: []float64{1000, 1001, 1003}, want: 3},
		"a dip":                                 {ideal: s, readings: []float64{1000, 1001, 1000, 1002}, want: 2},
		"a dip without an ideal cycle":          {readings: []float64{1000, 1001, 1000, 1002}, want: 2},
		"a dip of several readings":             {ideal: s, readings: []float64{1000, 1005, 1001, 1003, 1004, 1006}, want: 6},
		"dips in a row":                         {ideal: s, readings: []float64{10, 11, 10, 11, 10, 11, 12}, want: 2},
		"a dip of a small counter":              {ideal: s, readings: []float64{2, 3, 2, 4}, want: 2},
		"a dip of a fraction":                   {ideal: s, readings: []float64{10.5, 10.75, 10.5, 11}, want: 0.5},
		"a dip after a pause":                   {ideal: s, every: time.Hour, readings: []float64{1000, 999, 1001}, want: 1},
		"a fast machine's dip":                  {ideal: 10 * time.Millisecond, readings: []float64{500, 450, 600}, want: 100},
		"a reset to 0":                          {ideal: s, readings: []float64{1000, 0, 1, 2}, want: 2},
		"a reset, seen later":                   {ideal: s, readings: []float64{1000, 3, 4}, want: 4},
		"a reset without an ideal cycle":        {readings: []float64{1000, 0, 5, 10}, want: 10},
		"a reset of a small counter":            {readings: []float64{7, 1, 2}, want: 2},
		"a reset from 1":                        {ideal: s, readings: []float64{0, 1, 0, 1}, want: 2},
		"a reset, the machine faster than said": {ideal: 10 * s, readings: []float64{1000, 8, 16}, want: 16},
		"a reset in a pause":                    {ideal: s, every: time.Hour, readings: []float64{1000, 900, 1800}, want: 1800},
		"a reset in a pause, no ideal cycle":    {every: time.Hour, readings: []float64{5000, 620, 700}, want: 700},
		"a single 0":                            {ideal: s, readings: []float64{1000, 0, 1001, 1002}, want: 2},
		"a single 0 without an ideal cycle":     {readings: []float64{1000, 0, 1001, 1002}, want: 2},
		"single zeros":                          {ideal: s, readings: []float64{1000, 0, 1001, 0, 0, 1002}, want: 2},
		"a reset and a quick second shift":      {ideal: s, readings: []float64{20, 0, 5, 10, 15, 20, 25}, want: 25},
		"a reading far above":                   {ideal: s, readings: []float64{1000, 99_999_999, 1001}, want: 1},
		"far above, no ideal cycle":             {readings: []float64{1000, 99_999_999, 1001}, want: 1},
		"far above, repeated":                   {ideal: s, readings: []float64{1000, 99_999_999, 99_999_999, 1001}, want: 1},
		"set to a higher value":                 {ideal: s, readings: []float64{1000, 50_000, 50_001}, want: 49_001},
		"bytes, a million at a time":            {readings: []float64{0, 2e6, 4e6, 6e6}, want: 4e6}, // the last is held
		"negative":                              {ideal: s, readings: []float64{-5, -3, 0, 2}, want: 7},
		"a wrong negative":                      {ideal: s, readings: []float64{1000, -1, 1001}, want: 1},
		"16 bits":                               {ideal: s, modulus: 65536, readings: []float64{65530, 4}, want: 10},
		"16 bits without an ideal cycle":        {modulus: 65536, readings: []float64{65530, 4}, want: 10},
		"32 bits":                               {ideal: s, modulus: 1 << 32, readings: []float64{4_294_967_290, 4}, want: 10},
		"32 bits, signed":                       {ideal: s, modulus: 1 << 32, readings: []float64{1<<31 - 1, -1 << 31, 1 - 1<<31}, want: 2},
		"six digits":                            {ideal: s, modulus: 1_000_000, readings: []float64{999_990, 5}, want: 15},
		"two digits":                            {ideal: s, modulus: 100, readings: []float64{98, 3}, want: 5},
		"a slow machine's modulus":              {ideal: time.Hour, modulus: 65536, readings: []float64{65530, 4}, want: 10},
		"16 bits and a dip":                     {ideal: s, modulus: 65536, readings: []float64{1000, 1001, 1000, 1002}, want: 2},
		"16 bits and a dip at the end":          {ideal: s, modulus: 65536, readings: []float64{65533, 65535, 65534, 1}, want: 4},
		"16 bits and a dip across the end":      {ideal: s, modulus: 65536, readings: []float64{65530, 4, 65534, 6}, want: 12},
		"16 bits and a reset":                   {ideal: s, modulus: 65536, readings: []float64{1000, 0, 2}, want: 2},
		"16 bits and a reset far up":            {ideal: s, modulus: 65536, readings: []float64{60_000, 0, 2}, want: 2},
		"no reading":                            {ideal: s, readings: []float64{1000, nan, nan, 1003}, want: 3},
	} {
		t.Run(name, func(t *testing.T) {
			c := pressConfig()
			c.IdealCycle, c.CounterModulus = tc.ideal, tc.modulus
			every := tc.every
			if every == 0 {
				every = s
			}
			shard := newShard(t, Config{Machines: everyDevice{newMachine(t, c)}, Forget: 24 * time.Hour})
			got := map[Name]float64{}
			add := func(sample *Sample) { got[sample.Name] += sample.Value }
			now := noon
			for i, v := range tc.readings {
				if v == v { // both counters report the same
					now = noon + telemetry.Micros(i)*micros(every)
					b := one("press", "cycle_count", now, v)
					b.Append(telemetry.Event{Device: "press", Metric: "good_count", Time: now, Value: v})
					shard.Observe(b, now)
				}
				shard.EmitClosed(add)
				if err := shard.Decode(shard.AppendBinary(nil)); err != nil {
					t.Fatal(err)
				}
			}
			shard.Advance(now + 12*second)
			shard.EmitClosed(add)
			if got[Produced] != tc.want || got[Good] != tc.want {
				t.Errorf("got %v produced and %v good, want %v", got[Produced], got[Good], tc.want)
			}
		})
	}
}

// TestCounterSetToALowerValue: a counter that stays below its mark for the stale limit goes on
// from there, and what it counted meanwhile counts then.
func TestCounterSetToALowerValue(t *testing.T) {
	shard := newShard(t, Config{Machines: everyDevice{newMachine(t, pressConfig())}})
	var got float64
	for i := range telemetry.Micros(200) {
		v := 10_000 + float64(i)
		if i >= 10 {
			v -= 6000
		}
		now := noon + i*second
		shard.Observe(one("press", "cycle_count", now, v), now)
		shard.EmitClosed(func(s *Sample) {
			if s.Name == Produced {
				got += s.Value
			}
		})
	}
	shard.Advance(noon + 210*second)
	shard.EmitClosed(func(s *Sample) {
		if s.Name == Produced {
			got += s.Value
		}
	})
	if got != 198 { // all but the item at the time of the setting
		t.Errorf("got %v items, want 198", got)
	}
}

// TestCountersOfTwoMetricsAreNotCompared changes the metric of a machine's counter.
func TestCountersOfTwoMetricsAreNotCompared(t *testing.T) {
	before, after := pressConfig(), pressConfig()
	after.CountMetric, after.StateMetric = "parts", "mode"
	machines := &everyDevice{newMachine(t, before)}
	shard := newShard(t, Config{Machines: machines})
	produced, failures := 0.0, 0.0
	for i := range telemetry.Micros(40) {
		now := noon + i*second
		if i == 15 {
			machines.machine = newMachine(t, after)
		}
		b := one("press", "cycle_count", now, 1000+float64(i))
		for metric, v := range map[telemetry.MetricName]float64{"parts": 5000 + float64(i), "state": 0, "mode": 3} {
			b.Append(telemetry.Event{Device: "press", Metric: metric, Time: now, Value: v})
		}
		shard.Observe(b, now)
		shard.EmitClosed(func(s *Sample) {
			switch s.Name { //nolint:exhaustive // of all samples
			case Produced:
				produced += s.Value
			case Failures:
				failures += s.Value
			}
		})
	}
	if produced < 20 || produced > 40 || failures != 0 {
		t.Errorf("got %v produced and %v failures, want about 30 and none", produced, failures)
	}
}

// TestStateOfVersion1 decodes a state that the version before wrote: a press that is down,
// with 1,000 items, 900.5 of them good. Nothing of it is lost.
func TestStateOfVersion1(t *testing.T) {
	const saved = "0101c096b1028084a9ae859e980380ede3d98abcb0060102677705706c616e74c08db7010100010570726573730fc08db701" +
		"00000000000008400000000000408f400000000000248c4003000b6379636c655f636f756e7401000a676f6f645f636f756e74010005737461746501"
	state, err := hex.DecodeString(saved)
	if err != nil {
		t.Fatal(err)
	}
	shard := newShard(t, Config{Machines: everyDevice{newMachine(t, pressConfig())}})
	if err := shard.Decode(state); err != nil {
		t.Fatal(err)
	}
	b := one("press", "cycle_count", noon+8*second, 1003)
	for metric, v := range map[telemetry.MetricName]float64{"good_count": 902, "state": 3} {
		b.Append(telemetry.Event{Device: "press", Metric: metric, Time: noon + 8*second, Value: v})
	}
	shard.Observe(b, noon+8*second)
	shard.Advance(noon + 12*second)
	got := collect(shard)
	for name, want := range map[Name]float64{Produced: 3, Good: 1.5, DownSeconds: 5, Failures: 0} {
		if v := value(got, name); v != want {
			t.Errorf("%s: got %v, want %v", name, v, want)
		}
	}
}
