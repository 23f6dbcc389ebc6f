package parity

import (
	"bytes"
	"math"
	"os"
	"testing"

	"github.com/insighthub/insighthub/lib/anomaly"
	"github.com/insighthub/insighthub/wasm/module"
)

// maxModuleBytes is the greatest size of the module, which a page has to load.
const maxModuleBytes = 20 << 10

func TestModuleIsSmall(t *testing.T) {
	info, err := os.Stat(builtModule(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d bytes", info.Size())
	if info.Size() > maxModuleBytes {
		t.Errorf("got a module of %d bytes, want at most %d", info.Size(), maxModuleBytes)
	}
}

func TestModuleConstants(t *testing.T) {
	h := newHost(t, builtModule(t)) // which also checks that there are no imports
	for name, want := range map[string]uint64{
		"abi": module.ABI, "slots": module.Slots, "block": module.Block,
		"machines": module.Machines, "max_sensors": module.MaxSensors,
		"threshold": math.Float64bits(module.Threshold),
	} {
		if got := h.mustCall(t, name); got != want {
			t.Errorf("%s() = %d, want %d", name, got, want)
		}
	}
}

// TestMemoryStays fills every slot and makes every call that is rejected: the memory must not
// grow.
func TestMemoryStays(t *testing.T) {
	h := newHost(t, builtModule(t))
	before := h.module.Memory().Size()
	for slot := range int32(module.Slots) {
		h.mustCall(t, "bench", slot, 5000)
	}
	for range 5000 {
		h.mustCall(t, "restore", 0, 3)
		h.mustCall(t, "machine_reset", 0, module.MaxSensors)
		h.mustCall(t, "machine_restore", 0, anomaly.MachineStateSize)
		h.mustCall(t, "machine_reset", 0, module.MaxSensors+1)
	}
	if after := h.module.Memory().Size(); after != before {
		t.Errorf("the memory grew from %d to %d bytes", before, after)
	}
}

// TestStatesTravel starts a series in this process and continues it in the module, and the
// other way round.
func TestStatesTravel(t *testing.T) {
	h := newHost(t, builtModule(t))
	for _, s := range Generated() {
		half := len(s.Micros) / 2
		first := &Series{Name: s.Name, Sensors: s.Sensors, Micros: s.Micros[:half], Values: s.Values[:half*s.Sensors]}
		second := &Series{Name: s.Name, Sensors: s.Sensors, Micros: s.Micros[half:], Values: s.Values[half*s.Sensors:]}

		native := newNative(t, s.Sensors)
		guest, err := h.scorer(s.Sensors)
		if err != nil {
			t.Fatal(err)
		}
		mustDigest(t, first, native)
		mustDigest(t, first, guest)
		_, begun, err := native.state()
		if err != nil {
			t.Fatal(err)
		}
		_, beganGuest, err := guest.state()
		if err != nil {
			t.Fatal(err)
		}
		beganGuest = bytes.Clone(beganGuest)

		native, guest = newNative(t, s.Sensors), mustReset(t, h, s.Sensors)
		if err := native.restore(beganGuest); err != nil {
			t.Fatalf("%s: the module's state: %v", s.Name, err)
		}
		if err := guest.restore(begun); err != nil {
			t.Fatalf("%s: this process's state: %v", s.Name, err)
		}
		if got, want := mustDigest(t, second, guest), mustDigest(t, second, native); !bytes.Equal(got, want) {
			t.Errorf("%s ends differently:\n got %s\nwant %s", s.Name, got, want)
		}
	}
}

type restorer interface {
	scorer
	restore(state []byte) error
}

func newNative(t *testing.T, sensors int) restorer {
	t.Helper()
	by, err := newScorer(sensors)
	if err != nil {
		t.Fatal(err)
	}
	return by.(restorer)
}

func mustReset(t *testing.T, h *host, sensors int) *slot {
	t.Helper()
	s, err := h.scorer(sensors)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func mustDigest(t *testing.T, s *Series, by scorer) []byte {
	t.Helper()
	digest, err := appendDigest(nil, s, by)
	if err != nil {
		t.Fatal(err)
	}
	return digest
}

func (d *detector) restore(state []byte) error { return d.detector.Restore(state) }

func (m *machine) restore(state []byte) error { return m.machine.Restore(state) }

func BenchmarkWazero(b *testing.B) {
	h := newHost(b, builtModule(b))
	b.ResetTimer()
	h.mustCall(b, "bench", 0, int32(b.N))
}

func FuzzParseSeries(f *testing.F) {
	f.Add([]byte{})
	f.Add(AppendSeries(nil, &Series{Sensors: 1, Micros: []int64{-1}, Values: []float64{math.Inf(1)}}))
	f.Add(AppendSeries(nil, &Series{Sensors: 2, Micros: []int64{1, 2}, Values: []float64{1, 2, 3, 4}}))
	f.Add(bytes.Repeat([]byte{0xff}, 24))
	f.Fuzz(func(t *testing.T, file []byte) {
		s, err := ParseSeries("fuzzed", file)
		if err != nil {
			return
		}
		if again := AppendSeries(nil, s); !bytes.Equal(again, file) {
			t.Errorf("%x came back as %x", file, again)
		}
	})
}
