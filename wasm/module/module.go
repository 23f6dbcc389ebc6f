// Package module implements the WebAssembly module: a fixed pool of detectors, and the
// buffers for samples and states that it shares with its host. Each export in package wasm
// calls one method, so that the module's behaviour can be tested natively.
package module

import "github.com/insighthub/insighthub/lib/anomaly"

const (
	// ABI is the version of the exports, which a host checks before the first call. It
	// changes whenever the name, signature or meaning of an export changes.
	ABI = 1

	// Slots is the number of series that one instance scores.
	Slots = 256

	// Machines is the number of machines with several sensors that it scores too.
	Machines = 32

	// Block is the number of values in the buffers. A machine with n sensors has room for
	// Block/n samples.
	Block = 4096

	// StateBytes is the length of the state buffer, which holds a state, or the reason why
	// a state was rejected.
	StateBytes = 4096

	// Refused is the result of a method for invalid arguments: a slot outside the pool, or
	// more samples than fit.
	Refused = -1
)

// The least score of a flagged sample, and the greatest number of a machine's sensors.
const (
	Threshold  = anomaly.Threshold
	MaxSensors = anomaly.MaxSensors
)

// Module is the whole memory of the module, of fixed size and without pointers. The zero
// Module is ready to use. It is not safe for concurrent use.
type Module struct {
	Times  [Block]int64      // in: microseconds since 1970
	Values [Block]float64    // in: the series' own unit; all of a machine's sensors for each sample
	Scores [Block]float64    // out: in [0,1]
	Flags  [Block]uint8      // out: 1 where the sample is anomalous
	State  [StateBytes]uint8 // in and out

	detectors [Slots]anomaly.Detector
	machines  [Machines]machine
}

// Reset resets the slot's detector.
func (m *Module) Reset(slot int32) int32 {
	detector := m.at(slot)
	if detector == nil {
		return Refused
	}
	detector.Reset()
	return 0
}

// Push scores the first samples of Times and Values with the slot's detector and writes
// their Scores and Flags. It returns the number of flagged samples.
func (m *Module) Push(slot, samples int32) int32 {
	detector := m.at(slot)
	if detector == nil || samples < 0 || samples > Block {
		return Refused
	}
	return int32(detector.PushBlock(m.Times[:samples], m.Values[:samples], m.Scores[:samples], m.Flags[:samples]))
}

// Save writes the slot's state to State and returns its length.
func (m *Module) Save(slot int32) int32 {
	detector := m.at(slot)
	if detector == nil {
		return Refused
	}
	return int32(len(detector.AppendState(m.State[:0])))
}

// Restore restores the slot's detector from the first bytes of State and returns 0. If they
// are not the saved state of a detector it changes nothing, writes the reason to State and
// returns the length of that text.
func (m *Module) Restore(slot, length int32) int32 {
	detector := m.at(slot)
	if detector == nil || length < 0 || length > StateBytes {
		return Refused
	}
	return m.explain(detector.Restore(m.State[:length]))
}

// Hash returns the hash of the slot's state, 0 for a slot outside the pool.
func (m *Module) Hash(slot int32) uint64 {
	detector := m.at(slot)
	if detector == nil {
		return 0
	}
	return detector.Hash()
}

// Bench resets the slot, pushes samples of a generated series through the buffers, and
// returns the number of flagged samples.
func (m *Module) Bench(slot int32, samples uint32) int32 {
	if m.Reset(slot) == Refused {
		return Refused
	}
	var source generator
	var flagged int32
	for left := samples; left > 0; {
		n := min(left, Block)
		source.fill(m.Times[:n], m.Values[:n])
		flagged += m.Push(slot, int32(n))
		left -= n
	}
	return flagged
}

// explain returns 0 for nil. For an error it writes the text to State and returns the length
// of the text.
func (m *Module) explain(err error) int32 {
	if err == nil {
		return 0
	}
	return int32(copy(m.State[:], err.Error()))
}

func (m *Module) at(slot int32) *anomaly.Detector {
	if slot < 0 || slot >= Slots {
		return nil
	}
	return &m.detectors[slot]
}
