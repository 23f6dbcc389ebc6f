package module_test

import (
	"bytes"
	"math"
	"testing"

	"github.com/insighthub/insighthub/lib/anomaly"
	"github.com/insighthub/insighthub/wasm/module"
)

// fill puts n samples of noise with a spike at the end into the buffers.
func fill(m *module.Module, n int) {
	for i := range n {
		m.Times[i] = int64(i) * 1_000_000
		m.Values[i] = float64(i * 7919 % 101)
	}
	m.Values[n-1] = 1e6
}

func TestPushScoresAsTheDetectorDoes(t *testing.T) {
	m := new(module.Module)
	fill(m, module.Block)
	var d anomaly.Detector
	var scores [module.Block]float64
	var flags [module.Block]uint8
	want := d.PushBlock(m.Times[:], m.Values[:], scores[:], flags[:])

	if got := m.Push(7, module.Block); got != int32(want) {
		t.Errorf("flagged %d, want %d", got, want)
	}
	if m.Scores != scores || m.Flags != flags {
		t.Error("other scores or flags than the detector's")
	}
	if m.Hash(7) != d.Hash() {
		t.Error("another state than the detector's")
	}
	if m.Hash(6) == d.Hash() {
		t.Error("another slot was pushed as well")
	}
	if m.Scores[module.Block-1] == 0 {
		t.Error("the spike has no score")
	}
}

func TestSaveAndRestoreMoveASeries(t *testing.T) {
	m := new(module.Module)
	fill(m, 1000)
	m.Push(0, 1000)
	length := m.Save(0)
	if length != anomaly.StateSize {
		t.Fatalf("saved %d bytes, want %d", length, anomaly.StateSize)
	}
	if got := m.Restore(module.Slots-1, length); got != 0 {
		t.Fatalf("restore: %s", m.State[:got])
	}
	if m.Hash(module.Slots-1) != m.Hash(0) {
		t.Error("the restored state differs")
	}
	m.Reset(0)
	if m.Hash(0) != new(anomaly.Detector).Hash() {
		t.Error("reset left something")
	}
}

func TestRestoreSaysWhatIsWrong(t *testing.T) {
	m := new(module.Module)
	fill(m, 500)
	m.Push(0, 500)
	before := m.Hash(0)
	length := m.Save(0)
	m.State[length/2] ^= 1
	got := m.Restore(0, length)
	if got <= 0 || !bytes.Contains(m.State[:got], []byte("state")) {
		t.Errorf("restore of a corrupt state returned %d: %q", got, m.State[:max(got, 0)])
	}
	if m.Hash(0) != before {
		t.Error("a rejected state changed the detector")
	}
}

func TestMachine(t *testing.T) {
	const sensors = 3
	m := new(module.Module)
	if m.MachinePush(0, 1) != module.Refused || m.MachineSave(0) != module.Refused || m.MachineHash(0) != 0 {
		t.Error("got results of a machine that was never reset, want Refused")
	}
	if got := m.MachineReset(0, sensors); got != 0 {
		t.Fatalf("reset returned %d", got)
	}
	var want anomaly.Machine
	if err := want.Reset(sensors); err != nil {
		t.Fatal(err)
	}
	const samples = module.Block / sensors
	var flagged int32
	fill(m, module.Block)
	for i := range samples {
		if _, anomalous := want.Push(m.Times[i], m.Values[i*sensors:(i+1)*sensors]); anomalous {
			flagged++
		}
	}
	if got := m.MachinePush(0, samples); got != flagged {
		t.Errorf("flagged %d, want %d", got, flagged)
	}
	if m.MachineHash(0) != want.Hash() {
		t.Error("another state than the machine's")
	}
	length := m.MachineSave(0)
	m.MachineReset(1, sensors)
	if got := m.MachineRestore(1, length); got != 0 {
		t.Fatalf("restore: %s", m.State[:got])
	}
	if m.MachineHash(1) != want.Hash() {
		t.Error("the restored state differs")
	}
	if got := m.MachineRestore(1, 1); got <= 0 {
		t.Errorf("restore of one byte returned %d", got)
	}
}

// TestArgumentsOutOfRange calls everything as no host may.
func TestArgumentsOutOfRange(t *testing.T) {
	m := new(module.Module)
	m.MachineReset(0, 16)
	for _, c := range []struct {
		name string
		got  int32
	}{
		{"Reset below", m.Reset(-1)},
		{"Reset above", m.Reset(module.Slots)},
		{"Push slot", m.Push(module.Slots, 1)},
		{"Push negative", m.Push(0, -1)},
		{"Push too many", m.Push(0, module.Block+1)},
		{"Save", m.Save(math.MinInt32)},
		{"Restore slot", m.Restore(-1, 0)},
		{"Restore negative", m.Restore(0, -1)},
		{"Restore too long", m.Restore(0, module.StateBytes+1)},
		{"Bench", m.Bench(-1, 1)},
		{"MachineReset slot", m.MachineReset(module.Machines, 1)},
		{"MachineReset none", m.MachineReset(1, 0)},
		{"MachineReset too many", m.MachineReset(1, module.MaxSensors+1)},
		{"MachinePush slot", m.MachinePush(-1, 1)},
		{"MachinePush too many", m.MachinePush(0, module.Block/16+1)},
		{"MachineSave", m.MachineSave(module.Machines)},
		{"MachineRestore", m.MachineRestore(0, module.StateBytes+1)},
	} {
		if c.got != module.Refused {
			t.Errorf("%s returned %d, want %d", c.name, c.got, module.Refused)
		}
	}
	if m.Hash(-1) != 0 || m.MachineHash(-1) != 0 {
		t.Error("a slot outside the pool has a hash")
	}
}

// TestStateFits guards what the module reserves for a state.
func TestStateFits(t *testing.T) {
	if anomaly.StateSize > module.StateBytes || anomaly.MachineStateSize > module.StateBytes {
		t.Errorf("states of %d and %d bytes do not fit into %d", anomaly.StateSize, anomaly.MachineStateSize, module.StateBytes)
	}
}

func TestBenchFlagsItsSpikes(t *testing.T) {
	m := new(module.Module)
	if got := m.Bench(0, 100_001); got < 5 || got > 100 {
		t.Errorf("flagged %d of a series with 10 spikes", got)
	}
}

func BenchmarkBench(b *testing.B) {
	m := new(module.Module)
	b.ReportAllocs()
	m.Bench(0, uint32(b.N))
}

func BenchmarkPush(b *testing.B) {
	m := new(module.Module)
	fill(m, module.Block)
	b.ReportAllocs()
	for n := b.N; n > 0; n -= module.Block {
		m.Push(0, int32(min(n, module.Block)))
	}
}
