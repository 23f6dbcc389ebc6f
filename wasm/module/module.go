// Package module is what the WebAssembly module holds and does: a fixed pool of
// detectors and the buffers through which its host hands over samples and states.
// The exports in package wasm are its methods, one line each, so that the module's
// behaviour is tested natively too.
package module

import "github.com/insighthub/insighthub/lib/anomaly"

const (
	// ABI is the version of the exports: a host checks it before the first call. It
	// changes whenever an export changes its name, its shape or its meaning.
	ABI = 1

	// Slots is the number of series that one instance scores.
	Slots = 256

	// Machines is the number of machines with several sensors that it scores background.
	Machines = 32

	// Block is the number of values that the buffers hold: of a machine's samples, as
	// many as its sensors leave room for.
	Block = 4096

	// StateBytes is the length of the state buffer: it takes a state, or the text
	// that says why a state was refused.
	StateBytes = 4096

	// Refused is what a method returns for arguments that no host may send: a slot
	// outside the pool, or more samples than a block.
	Refused = -1
)

// What the module says of the detector: the score from which a sample is flagged,
// and the greatest number of a machine's sensors.
const (
	Threshold  = anomaly.Threshold
	MaxSensors = anomaly.MaxSensors
)

// Module is all memory of the module: of fixed size, without pointers. The zero
// Module is ready. It is not safe for concurrent use.
type Module struct {
	Times  [Block]int64      // in: microseconds since 1970
	Values [Block]float64    // in: the series' own unit; all of a machine's sensors for each sample
	Scores [Block]float64    // out: in [0,1]
	Flags  [Block]uint8      // out: 1 where the sample is anomalous
	State  [StateBytes]uint8 // in and out

	detectors [Slots]anomaly.Detector
	machines  [Machines]machine
}

// Reset makes the slot's detector forget its series.
func (m *Module) Reset(slot int32) int32 {
	detector := m.at(slot)
	if detector == nil {
		return Refused
	}
	detector.Reset()
	return 0
}

// Push scores the first samples of Times and Values as the slot's series and
// writes their Scores and Flags. It returns how many it flagged.
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

// Restore makes the slot's detector what it was when the state, the first bytes
// of State, was saved, and returns 0. Of a state that no detector saved it changes
// nothing, writes the reason to State and returns the length of that text.
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

// Bench resets the slot, pushes samples of a made-up series through it and the
// buffers, and returns how many were flagged.
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

// explain returns 0 without an error, else writes its text to State and returns the
// text's length.
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
