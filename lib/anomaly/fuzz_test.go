package anomaly_test

import (
	"encoding/binary"
	"errors"
	"math"
	"testing"

	"github.com/insighthub/insighthub/lib/anomaly"
)

// FuzzPush pushes arbitrary times and values: scores stay in [0,1], and the state can be
// saved, restored and continued.
func FuzzPush(f *testing.F) {
	f.Add([]byte{}, uint16(0))
	f.Add(binary.LittleEndian.AppendUint64(nil, math.Float64bits(math.NaN())), uint16(3))
	seed := []byte{}
	for _, value := range []float64{0, 1, -1e308, 5e-324, math.Inf(1), 1e12, 1e-12, 3} {
		seed = binary.LittleEndian.AppendUint64(seed, math.Float64bits(value))
		seed = binary.LittleEndian.AppendUint64(seed, math.Float64bits(value*3))
	}
	f.Add(seed, uint16(500))
	f.Fuzz(func(t *testing.T, data []byte, warmth uint16) {
		var d anomaly.Detector
		micros, values := wave(int(warmth % 2000))
		for i := range values {
			d.Push(micros[i], values[i])
		}
		for len(data) >= 16 {
			at := int64(binary.LittleEndian.Uint64(data))
			value := math.Float64frombits(binary.LittleEndian.Uint64(data[8:]))
			data = data[16:]
			var copied anomaly.Detector
			if err := copied.Restore(d.AppendState(nil)); err != nil {
				t.Fatalf("restore a saved state: %v", err)
			}
			score, anomalous := d.Push(at, value)
			if !(score >= 0 && score <= 1) || anomalous != (score >= anomaly.Threshold) {
				t.Fatalf("got score %v, anomalous %v", score, anomalous)
			}
			got, _ := copied.Push(at, value)
			if math.Float64bits(got) != math.Float64bits(score) || copied.Hash() != d.Hash() {
				t.Fatalf("after a restore: got score %v, want %v", got, score)
			}
		}
	})
}

// FuzzRestore overwrites words of a saved state, each given by two bytes for the position
// and eight for the value, with a correct checksum: a state that is accepted must work. An
// odd number of bytes selects a state of the first version.
func FuzzRestore(f *testing.F) {
	micros, values := wave(1000)
	var d anomaly.Detector
	for i := range values {
		d.Push(micros[i], values[i])
	}
	saved := d.AppendState(nil)
	f.Add([]byte{})
	f.Add([]byte{1})
	for _, value := range []float64{math.NaN(), math.Inf(1), -1e300, 1e150} {
		f.Add(binary.LittleEndian.AppendUint64([]byte{10, 0}, math.Float64bits(value)))
	}
	f.Fuzz(func(t *testing.T, edits []byte) {
		body := append([]byte(nil), saved[1:anomaly.StateSize-8]...)
		for ; len(edits) >= 10; edits = edits[10:] {
			at := int(binary.LittleEndian.Uint16(edits)) % (len(body) / 8)
			copy(body[8*at:], edits[2:10])
		}
		state, first := sealed(saved[0], body), len(edits)%2 == 1
		if first {
			state = sealedFirst(body)
		}
		var restored anomaly.Detector
		if err := restored.Restore(state); err != nil {
			if !errors.As(err, new(*anomaly.StateError)) {
				t.Fatalf("error %v is not a *StateError", err)
			}
			if restored != (anomaly.Detector{}) {
				t.Fatal("a rejected state changed the detector")
			}
			return
		}
		if saved := restored.AppendState(nil); string(saved) != string(state) && !first {
			t.Fatal("a restored state is saved with other bytes")
		}
		for i := range values[:100] {
			score, _ := restored.Push(micros[i]*100, values[i]*1e6)
			if !(score >= 0 && score <= 1) {
				t.Fatalf("sample %d: got score %v, want one in [0,1]", i, score)
			}
		}
		if err := new(anomaly.Detector).Restore(restored.AppendState(nil)); err != nil {
			t.Fatalf("restore a state that was saved after a restore: %v", err)
		}
	})
}

// sealedFirst returns a state of the first version: no strides, and FNV-1a over bytes.
func sealedFirst(body []byte) []byte {
	const strides, end = 8 * 32, 8 * 36
	state := append([]byte{1}, body[:strides]...)
	state = append(state, body[end:]...)
	sum := uint64(0xcbf29ce484222325)
	for _, b := range state {
		sum = (sum ^ uint64(b)) * 0x100000001b3
	}
	return binary.LittleEndian.AppendUint64(state, sum)
}

// sealed returns a state with the version, body and checksum.
func sealed(version byte, body []byte) []byte {
	state := append([]byte{version}, body...)
	sum := uint64(0xcbf29ce484222325)
	mix := func(word uint64) {
		sum = (sum ^ word) * 0x100000001b3
		sum ^= sum >> 32
	}
	mix(uint64(version))
	for at := 0; at < len(body); at += 8 {
		mix(binary.LittleEndian.Uint64(body[at:]))
	}
	return binary.LittleEndian.AppendUint64(state, sum)
}
