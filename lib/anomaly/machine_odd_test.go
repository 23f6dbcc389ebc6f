package anomaly

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"testing"
)

// alarms pushes rows and returns the numbers of raised alarms and of flagged rows.
func alarms(m *Machine, rows int, row func(i int) []float64) (raised, flagged int) {
	before := false
	for i := range rows {
		_, anomalous := m.Push(int64(i), row(i))
		if anomalous {
			flagged++
			if !before {
				raised++
			}
		}
		before = anomalous
	}
	return raised, flagged
}

func TestMachineIsQuietOnNoise(t *testing.T) {
	t.Parallel()
	for _, sensors := range []int{1, 4, MaxSensors} {
		random := rand.New(rand.NewPCG(uint64(sensors), 1))
		values := make([]float64, sensors)
		raised, flagged := alarms(newMachine(t, sensors), 100_000, func(int) []float64 {
			for i := range values {
				values[i] = float64(i) + random.NormFloat64()
			}
			return values
		})
		if flagged > 1000 {
			t.Errorf("%d sensors of noise: %d alarms, %d of 100,000 rows flagged; want at most 1 %%", sensors, raised, flagged)
		}
	}
}

func TestMachineFollowsADrift(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(3, 1))
	_, flagged := alarms(newMachine(t, 2), 50_000, func(i int) []float64 {
		return []float64{float64(i) / 5000 * random.Float64(), 20 + float64(i)/2000 + random.NormFloat64()}
	})
	if flagged > 1500 {
		t.Errorf("%d of 50,000 rows of a slow drift flagged; want at most 3 %%", flagged)
	}
}

// The means of its blocks are all equal, its samples are not.
func TestMachineKnowsASensorThatBeats(t *testing.T) {
	t.Parallel()
	if raised, _ := alarms(newMachine(t, 1), 10_000, func(i int) []float64 {
		return []float64{float64(i%4/3) + float64(i/1000)/1000}
	}); raised != 0 {
		t.Errorf("got %d alarms, want none", raised)
	}
}

func TestMachineAcceptsALastingChange(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(4, 1))
	m := newMachine(t, 3)
	row := func(level float64) func(int) []float64 {
		return func(int) []float64 {
			return []float64{level + random.NormFloat64(), random.NormFloat64(), 7}
		}
	}
	if _, flagged := alarms(m, 2000, row(0)); flagged != 0 {
		t.Errorf("%d rows flagged before the change", flagged)
	}
	raised, flagged := alarms(m, 5000, row(5))
	if raised != 1 || flagged < machineLimit-1 || flagged > machineLimit {
		t.Errorf("change: %d alarms, %d rows flagged; want one of %d rows", raised, flagged, machineLimit)
	}
	// After a change of the unit by twelve orders of magnitude the sensor warms up again.
	huge := func(level float64) func(int) []float64 {
		return func(int) []float64 {
			return []float64{1e12 * (level + random.NormFloat64()), random.NormFloat64(), 7}
		}
	}
	if raised, _ = alarms(m, 5000, huge(5)); raised != 1 {
		t.Errorf("step to 1e12: %d alarms; want 1", raised)
	}
	if raised, _ = alarms(m, 500, huge(13)); raised != 1 {
		t.Errorf("step of 8e12: %d alarms; want 1", raised)
	}
}

func TestMachineJudgesNoSensorThatNeverMoved(t *testing.T) {
	t.Parallel()
	m := newMachine(t, 2)
	random := rand.New(rand.NewPCG(8, 1))
	level := 22.1
	row := func(int) []float64 { return []float64{level, random.NormFloat64()} }
	if raised, _ := alarms(m, 5000, row); raised != 0 {
		t.Errorf("got %d alarms of a constant sensor, want none", raised)
	}
	level = 22.2
	if raised, _ := alarms(m, 2000, row); raised != 0 {
		t.Errorf("got %d alarms of its first step, want none", raised)
	}
	level = 0
	if raised, _ := alarms(m, 500, row); raised == 0 {
		t.Error("got no alarm when it fell to 0 after that, want one")
	}
}

func TestMachineEndsAnAlarmThatLeavesATrace(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(9, 1))
	m := newMachine(t, 2)
	row := func(level float64) func(int) []float64 {
		return func(int) []float64 { return []float64{level + random.NormFloat64(), random.NormFloat64()} }
	}
	alarms(m, 1000, row(0))
	if _, flagged := alarms(m, 300, row(12)); flagged < 290 {
		t.Errorf("got %d of 300 rows flagged, want at least 290", flagged)
	}
	if _, flagged := alarms(m, 1000, row(2)); flagged > 40 {
		t.Errorf("%d rows flagged after the machine came back most of the way; want at most 40", flagged)
	}
}

func TestMachineLearnsThatASensorSwings(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(10, 1))
	m := newMachine(t, 1)
	swing := func(i int) []float64 {
		return []float64{3*float64(i/1000%2) + random.NormFloat64()}
	}
	alarms(m, 1000, swing)
	first, _ := alarms(m, 4000, func(i int) []float64 { return swing(i + 1000) })
	alarms(m, 20_000, func(i int) []float64 { return swing(i + 1000) })
	last, _ := alarms(m, 20_000, func(i int) []float64 { return swing(i + 1000) })
	if first < 2 || last > 1 {
		t.Errorf("%d alarms at the first 4 swings, then %d at 20; want some, then none", first, last)
	}
}

func TestMachineKnowsTheRegimeItComesBackTo(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(11, 1))
	m := newMachine(t, 3)
	switched := func(i int) []float64 {
		on := float64(i / 2000 % 2)
		return []float64{40*on - 13 + random.NormFloat64(), 7 + on + 0.01*random.NormFloat64(), 50 + 4*on + random.NormFloat64()}
	}
	alarms(m, 2000, switched)
	if raised, flagged := alarms(m, 2000, func(i int) []float64 { return switched(i + 2000) }); raised != 1 || flagged < machineLimit-1 {
		t.Errorf("switched on first: %d alarms, %d rows flagged; want one of %d rows", raised, flagged, machineLimit)
	}
	raised, flagged := alarms(m, 40_000, switched)
	if raised > 20 || flagged > 20*100 {
		t.Errorf("switched 20 times: %d alarms, %d rows flagged; want at most one of 100 rows each time", raised, flagged)
	}
	fault := func(int) []float64 { return []float64{random.NormFloat64() - 13, 7.5, 50 + random.NormFloat64()} }
	if _, flagged = alarms(m, 300, fault); flagged < 250 {
		t.Errorf("got %d of 300 rows of a fault flagged after that, want at least 250", flagged)
	}
}

func TestMachineForgetsAnUnquietWarmUp(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(12, 1))
	m := newMachine(t, 1)
	noise := func(spread, level float64) func(int) []float64 {
		return func(int) []float64 { return []float64{level + spread*random.NormFloat64()} }
	}
	alarms(m, 400, noise(10, 0))
	if raised, _ := alarms(m, 500, noise(1, 3)); raised != 0 {
		t.Errorf("got %d alarms of a step within the noise of the warm-up, want none", raised)
	}
	alarms(m, 600_000, noise(1, 0))
	if raised, _ := alarms(m, 500, noise(1, 3)); raised != 1 {
		t.Errorf("%d alarms of the same step after 600,000 quiet rows; want 1", raised)
	}
}

func TestMachineIgnoresOneOutlier(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(5, 1))
	calm, wild := newMachine(t, 2), newMachine(t, 2)
	for i := range 3000 {
		values := []float64{random.NormFloat64(), 3 + random.NormFloat64()}
		calm.Push(int64(i), values)
		if i == 1000 {
			values[0] = 1e12
		}
		if _, anomalous := wild.Push(int64(i), values); anomalous {
			t.Errorf("row %d flagged", i)
		}
	}
	if a, b := calm.sensor[0], wild.sensor[0]; math.Abs(a.level-b.level) > 0.05 || b.spread > 1.1*a.spread {
		t.Errorf("2,000 rows later level %v and spread %v; without the wild reading %v and %v", b.level, b.spread, a.level, a.spread)
	}
}

func TestMachineTreatsNonFiniteReadingsAsMissing(t *testing.T) {
	t.Parallel()
	m := newMachine(t, 3)
	odd := [][]float64{
		nil,
		{},
		{math.NaN(), math.Inf(1), math.Inf(-1)},
	}
	for _, values := range odd {
		before := m.Hash()
		if score, anomalous := m.Push(0, values); score != 0 || anomalous || m.Hash() != before {
			t.Errorf("%v: score %v, anomalous %v, or the state changed", values, score, anomalous)
		}
	}
	random := rand.New(rand.NewPCG(6, 1))
	// A sensor without readings, and one whose readings stop during an alarm.
	alarms(m, 1000, func(int) []float64 { return []float64{random.NormFloat64(), math.NaN(), random.NormFloat64()} })
	if _, flagged := alarms(m, 300, func(int) []float64 { return []float64{9, math.NaN(), random.NormFloat64()} }); flagged < 250 {
		t.Errorf("with a silent sensor: got %d of 300 rows flagged, want at least 250", flagged)
	}
	_, flagged := alarms(m, 300, func(int) []float64 { return []float64{math.NaN(), math.NaN(), random.NormFloat64()} })
	if flagged > 100 {
		t.Errorf("after the sensor went silent: got %d rows flagged, want at most 100", flagged)
	}
	var unset Machine
	if score, anomalous := unset.Push(0, []float64{1}); score != 0 || anomalous {
		t.Error("a Machine without sensors flagged something")
	}
}

func TestMachineScalesWithItsUnits(t *testing.T) {
	t.Parallel()
	for _, unit := range []float64{1e-140, 1e-9, 1, 1e9, 1e140} {
		random := rand.New(rand.NewPCG(7, 1))
		m := newMachine(t, 1)
		row := func(level float64) func(int) []float64 {
			return func(int) []float64 { return []float64{unit * (level + random.NormFloat64())} }
		}
		_, early := alarms(m, 1500, row(0))
		_, inside := alarms(m, 300, row(4))
		if early != 0 || inside < 280 {
			t.Errorf("unit %g: %d rows flagged before, %d of 300 within", unit, early, inside)
		}
	}
}

func TestMachineAllocatesNothing(t *testing.T) {
	m, p := newMachine(t, 6), newPump(8)
	state := make([]byte, 0, MachineStateSize)
	values := p.next(0)
	if n := testing.AllocsPerRun(1000, func() {
		m.Push(1, values)
		state = m.AppendState(state[:0])
		if m.Restore(state) != nil || m.Hash() == 0 {
			t.Error("not restored")
		}
	}); n != 0 {
		t.Errorf("got %v allocations, want none", n)
	}
}

// FuzzMachine interprets its input as steps of nine bytes: how often to push, and the next
// reading of one of the sensors, in turn.
func FuzzMachine(f *testing.F) {
	program := func(steps ...float64) []byte {
		var out []byte
		for i, value := range steps {
			out = binary.LittleEndian.AppendUint64(append(out, byte(60*i)), math.Float64bits(value))
		}
		return out
	}
	f.Add(uint8(1), program(1, 2, 3))
	f.Add(uint8(3), program(1e150, -1e308, math.NaN(), math.Inf(1), 5e-324, 0, 1e12))
	f.Add(uint8(16), program(0, 0, 0, 1e300, 1, -1))
	f.Fuzz(func(t *testing.T, sensors uint8, data []byte) {
		var m Machine
		if err := m.Reset(int(sensors)); err != nil {
			return
		}
		values := make([]float64, sensors)
		for step := 0; len(data) >= 9 && step < 200; step++ {
			values[step%len(values)] = math.Float64frombits(binary.LittleEndian.Uint64(data[1:]))
			for range 5 * int(data[0]) {
				if score, anomalous := m.Push(0, values); !(score >= 0 && score <= 1) || anomalous != (score >= Threshold) {
					t.Fatalf("score %v, anomalous %v", score, anomalous)
				}
			}
			data = data[9:]
		}
		var other Machine
		if err := other.Restore(m.AppendState(nil)); err != nil || other != m || other.Hash() != m.Hash() {
			t.Fatalf("not restored: %v", err)
		}
	})
}

// FuzzMachineRestore gives arbitrary states a correct checksum; a state that is accepted must
// work.
func FuzzMachineRestore(f *testing.F) {
	m, p := newMachine(f, 6), newPump(9)
	f.Add(m.AppendState(nil))
	for i := range 1000 {
		m.Push(int64(i), p.next(float64(i/600)*9, 2))
	}
	f.Add(m.AppendState(nil))
	f.Fuzz(func(t *testing.T, state []byte) {
		if len(state) == MachineStateSize {
			state = append(state[:0:0], state...)
			binary.LittleEndian.PutUint64(state[MachineStateSize-8:], checksum(state[:MachineStateSize-8]))
		}
		var m Machine
		if m.Restore(state) != nil {
			return
		}
		if got := m.AppendState(nil); string(got) != string(state) {
			t.Fatal("saved differently")
		}
		for i := range 2000 {
			values := []float64{float64(i), -1e150, 1e150, 0, 1e-150, 1, 2, 3}
			if score, _ := m.Push(0, values); !(score >= 0 && score <= 1) {
				t.Fatalf("score %v", score)
			}
		}
		if field := m.invalid(); field != "" {
			t.Fatalf("%s is out of its range", field)
		}
	})
}

func BenchmarkMachine(b *testing.B) {
	m, p := newMachine(b, 8), newPump(10)
	const rows = 1024
	readings := make([][]float64, rows)
	for i := range readings {
		readings[i] = append(append([]float64(nil), p.next(0)...), p.random.NormFloat64(), p.random.NormFloat64())
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		m.Push(int64(i), readings[i%rows])
	}
	b.ReportMetric(float64(b.N)*8/b.Elapsed().Seconds()/1e6, "Mreadings/s")
}
