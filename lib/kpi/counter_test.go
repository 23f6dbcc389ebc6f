package kpi

import (
	"encoding/hex"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/insighthub/insighthub/lib/kpi/kpitest"
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
		"bytes, a million at a time":            {readings: []float64{0, 2e6, 4e6, 6e6}, want: 6e6},
		"negative":                              {ideal: s, readings: []float64{-5, -3, 0, 2}, want: 7},
		"a wrong negative":                      {ideal: s, readings: []float64{1000, -1, 1001}, want: 1},
		"16 bits":                               {ideal: s, modulus: 1 << 16, readings: []float64{65530, 4}, want: 10},
		"16 bits without an ideal cycle":        {modulus: 1 << 16, readings: []float64{65530, 4}, want: 10},
		"32 bits":                               {ideal: s, modulus: 1 << 32, readings: []float64{4_294_967_290, 4}, want: 10},
		"32 bits, signed":                       {ideal: s, modulus: 1 << 32, readings: []float64{1<<31 - 1, -1 << 31, 1 - 1<<31}, want: 2},
		"six digits":                            {ideal: s, modulus: 1_000_000, readings: []float64{999_990, 5}, want: 15},
		"two digits":                            {ideal: s, modulus: 100, readings: []float64{98, 3}, want: 5},
		"a slow machine's modulus":              {ideal: time.Hour, modulus: 65536, readings: []float64{65530, 4}, want: 10},
		"16 bits and a dip":                     {ideal: s, modulus: 1 << 16, readings: []float64{1000, 1001, 1000, 1002}, want: 2},
		"16 bits and a dip at the end":          {ideal: s, modulus: 1 << 16, readings: []float64{65533, 65535, 65534, 1}, want: 4},
		"16 bits and a dip across the end":      {ideal: s, modulus: 1 << 16, readings: []float64{65530, 4, 65534, 6}, want: 12},
		"16 bits and a reset":                   {ideal: s, modulus: 1 << 16, readings: []float64{1000, 0, 2}, want: 2},
		"16 bits and a reset far up":            {ideal: s, modulus: 1 << 16, readings: []float64{60_000, 0, 2}, want: 2},
		"a single 0 of a low counter":           {ideal: s, readings: []float64{3, 4, 5, 0, 6, 7, 8}, want: 5},
		"the same, a slow machine":              {ideal: 2 * s, readings: []float64{8, 9, 0, 10, 11}, want: 3},
		"the same, no ideal cycle":              {readings: []float64{8, 9, 0, 10}, want: 2},
		"the same, several zeros":               {ideal: s, readings: []float64{8, 9, 0, 0, 0, 10, 11}, want: 3},
		"the same at 1 and 2":                   {ideal: s, readings: []float64{1, 2, 0, 3, 4}, want: 3},
		"a single 0 that stands still":          {ideal: s, readings: []float64{5, 0, 5, 5, 6}, want: 1},
		"a single 0, sparse readings":           {ideal: s / 10, every: 10 * s, readings: []float64{500, 520, 0, 710}, want: 210},
		"a single 0, sparse, no ideal cycle":    {every: 10 * s, readings: []float64{500, 520, 0, 600}, want: 100},
		"a single 0, sparse, a second's cycle":  {ideal: s, every: 10 * s, readings: []float64{5, 6, 0, 7, 8}, want: 3},
		"a single 0, a reading each minute":     {ideal: s, every: time.Minute, readings: []float64{100, 160, 0, 220, 280}, want: 180},
		"the same, a low counter":               {ideal: s, every: time.Minute, readings: []float64{5, 6, 0, 7, 8}, want: 3},
		"each minute, no ideal cycle":           {every: time.Minute, readings: []float64{5, 6, 0, 7, 8}, want: 3},
		"a single 0 and a dip":                  {ideal: s, readings: []float64{1000, 1001, 0, 1000, 1002}, want: 2},
		"a single 0 after a pause":              {ideal: s, readings: append(minutes(1000, nan), 0, 1001), want: 1},
		"0 for longer than the stale limit":     {ideal: s, readings: append(minutes(1000, 0), 1001, 1002), want: 2},
		"half at a low count":                   {readings: []float64{14, 15, 7, 16}, want: 2},
		"half at a low count, ideal cycle":      {ideal: s, readings: []float64{2, 3, 1, 4}, want: 2},
		"half at a low count, repeated":         {ideal: s, readings: []float64{14, 15, 7, 7, 7, 16}, want: 2},
		"a reset of a low counter":              {ideal: s, readings: []float64{5, 0, 1, 2, 3, 4, 5, 6, 7}, want: 7},
		"a reset of a low counter in a pause":   {ideal: s, every: time.Hour, readings: []float64{3, 0, 1, 2}, want: 2},
		"a reset, then nothing is made":         {ideal: s, readings: minutes(1000, 3), want: 3},
		"resets in a row":                       {ideal: s, readings: []float64{100, 0, 1, 2, 0, 1, 2, 0, 1}, want: 5},
		"a reset after a wrong negative":        {ideal: s, readings: []float64{1000, -1, 0, 1, 2}, want: 2},
		"a reset by a fresh count":              {ideal: s, readings: []float64{1000, 5, 6, 7}, want: 7},
		"pulses":                                {ideal: s, readings: []float64{0, 1, 0, 1, 0, 0, 1, 1}, want: 3},
		"a spike":                               {ideal: s, readings: []float64{1000, 5000, 1001, 1002}, want: 2},
		"a small spike":                         {ideal: s, readings: []float64{1000, 1100, 1001, 1002}, want: 2},
		"a spike, twice":                        {ideal: s, readings: []float64{1000, 5000, 5000, 1001, 1002}, want: 2},
		"a spike of a low counter":              {ideal: s, readings: []float64{3, 250, 4, 5}, want: 2},
		"a spike and a dip":                     {ideal: s, readings: []float64{1000, 1001, 5000, 1000, 1002}, want: 2},
		"a spike, then a single 0":              {ideal: s, readings: []float64{1000, 5000, 0, 1001, 1002}, want: 2},
		"a single 0, then a spike":              {ideal: s, readings: []float64{1000, 0, 5000, 1001, 1002}, want: 2},
		"a spike, sparse readings":              {ideal: s, every: 10 * s, readings: []float64{1000, 5000, 1010, 1020}, want: 20},
		"a spike without an ideal cycle":        {readings: []float64{1000, 900_000, 1001}, want: 1},
		"a smaller one without an ideal cycle":  {readings: []float64{1000, 5000, 1001, 1002}, want: 2},
		"a spike of 16 bits":                    {ideal: s, modulus: 65536, readings: []float64{1000, 9000, 1001, 1002}, want: 2},
		"offline for an hour":                   {ideal: s, every: time.Hour, readings: []float64{1000, 4600}, want: 3600},
		"offline, no ideal cycle":               {every: time.Hour, readings: []float64{1000, 4600, 4600, 4601}, want: 3601},
		"an old value, then the present one":    {ideal: s, readings: append(minutes(1000, 1000), 1300, 1301), want: 301},
		"pieces by the pallet":                  {readings: []float64{0, 0, 480, 480, 480, 960, 960, 1440}, want: 1440},
		"batches of all sizes":                  {readings: []float64{0, 300, 320, 900, 900, 950, 1900, 1901}, want: 1901},
		"large pallets":                         {readings: []float64{100, 100, 5100, 5100, 10_100, 10_100}, want: 10_000},
		"large pallets, ideal cycle":            {ideal: s, readings: []float64{0, 0, 500, 500, 500, 1000, 1001}, want: 1001},
		"a last pallet":                         {ideal: s, readings: minutes(0, 500), want: 500},
		"an ideal cycle 100 times too long":     {ideal: 100 * s, readings: []float64{0, 20, 40, 60, 80}, want: 80},
		"16 bits and a reset near the end":      {ideal: s, modulus: 1 << 16, readings: []float64{65_000, 0, 1, 2}, want: 2},
		"near the end, no ideal cycle":          {modulus: 65536, readings: []float64{65_000, 0, 1, 2}, want: 2},
		"32 bits and a reset near the end":      {ideal: s, modulus: 1 << 32, readings: []float64{4_254_967_296, 0, 1, 2}, want: 2},
		"32 bits and one nearer":                {ideal: s, modulus: 1 << 32, readings: []float64{4_294_964_296, 0, 1, 2}, want: 2},
		"32 bits and one, no ideal cycle":       {modulus: 1 << 32, readings: []float64{4_254_967_296, 0, 1, 2}, want: 2},
		"16 bits and a single 0":                {ideal: s, modulus: 1 << 16, readings: []float64{65000, 65001, 0, 65002, 65003}, want: 3},
		"16 bits, a single 0, no ideal cycle":   {modulus: 1 << 16, readings: []float64{65_000, 65_001, 0, 65_002, 65_003}, want: 3},
		"16 bits and a single 0 at the end":     {ideal: s, modulus: 1 << 16, readings: []float64{65_530, 0, 65_531, 65_535, 1}, want: 7},
		"16 bits and a fresh count":             {ideal: s, modulus: 1 << 16, readings: []float64{65_000, 3, 4}, want: 4},
		"16 bits and a reset in a pause":        {ideal: s, modulus: 1 << 16, every: time.Hour, readings: []float64{40_000, 5, 6}, want: 6},
		"16 bits and a reset, sparse": {
			ideal: s / 10, every: 10 * s, modulus: 65536, readings: []float64{65e3, 0, 100, 200}, want: 200,
		},
		"16 bits passed, sparse": {
			ideal: s / 10, modulus: 65536, every: 10 * s, readings: []float64{65_480, 44, 144}, want: 200,
		},
		"16 bits passed in a pause": {
			ideal: s, modulus: 65536, every: time.Hour, readings: []float64{64e3, 1e3, 2e3}, want: 3536,
		},
		"16 bits, a batch across the end": {modulus: 1 << 16, readings: []float64{65_000, 65_500, 464, 964}, want: 1500},
		"two digits, no ideal cycle":      {modulus: 100, readings: []float64{60, 90, 20, 50}, want: 90},
		"no reading":                      {ideal: s, readings: []float64{1000, nan, nan, 1003}, want: 3},
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

// minutes returns a reading and five minutes of another one.
func minutes(first, then float64) []float64 {
	return slices.Concat([]float64{first}, slices.Repeat([]float64{then}, 300))
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

// TestCountersByBruteForce compares the engine's judgement of random readings, which it sees
// in windows and as runs of one value, with the brute force's.
func TestCountersByBruteForce(t *testing.T) {
	r := rand.New(rand.NewPCG(27, 1))
	jumps := []float64{1, 1, 1, 2, 5, 30, 500, 5000, -1, -3, -30}
	for n := range 20_000 {
		stale := []time.Duration{5 * time.Second, time.Minute}[r.IntN(2)]
		config := MachineConfig{
			CountMetric: "c", StaleLimit: stale, CounterModulus: []int64{0, 0, 100, 65536}[r.IntN(4)],
			IdealCycle: []time.Duration{0, time.Second, 100 * time.Millisecond, 20 * time.Second}[r.IntN(4)],
		}
		machine := newMachine(t, config)
		start, spread := []float64{0, 3, 20, 1000, 65_400}[r.IntN(5)], 1+r.IntN(len(jumps))
		at, count := noon, start
		var readings []kpitest.Count
		for range 40 {
			v := count
			switch r.IntN(12) {
			case 0:
				v = []float64{0, math.Floor(count / 3), count + 300, 1e6, -1}[r.IntN(5)]
			case 1:
				v, count = 0, 0
			case 2, 3, 4, 5:
				count += jumps[r.IntN(spread)]
				v = count
			}
			if config.CounterModulus > 0 && v > 0 {
				v = math.Mod(v, float64(config.CounterModulus))
			}
			readings = append(readings, kpitest.Count{At: int64(at), Value: v})
			at += second * telemetry.Micros([]int{1, 1, 1, 1, 3, 10, 70}[r.IntN(7)])
		}
		var want, got float64
		for _, items := range kpitest.Grown(kpitest.Rates{
			IdealCycle: config.IdealCycle.Microseconds(), StaleLimit: stale.Microseconds(), Modulus: float64(config.CounterModulus),
		}, readings) {
			want += items
		}
		var c counter
		for from, known := 0, false; from < len(readings); known = true {
			w := machineWindow{start: telemetry.Micros(readings[from].At)}
			length := telemetry.Micros(1+r.IntN(200)) * second
			of := counted{times: &timeSet{}}
			for ; from < len(readings) && telemetry.Micros(readings[from].At) < w.start+length; from++ {
				offset := uint32(telemetry.Micros(readings[from].At) - w.start)
				of.times.add(offset, 1000)
				of.line.put(offset, readings[from].Value, of.times, 1000)
			}
			items, _ := w.increase(machine, of, &c, known)
			got += items
		}
		if got != want {
			t.Fatalf("plant %d: %+v: %v: got %v items, want %v", n, config, readings, got, want)
		}
	}
}
