package detect

import (
	"encoding/binary"
	"math"

	"github.com/insighthub/insighthub/lib/anomaly"
)

// Version is the first byte of a serialised State.
const Version = 1

// Flags of a serialised series; the number of its sensor is in the bits above them.
const (
	flagValued = 1 << iota
	flagScored
	flagBits = iota
)

// append appends the whole state to dst.
func (s *State) append(dst []byte) []byte {
	dst = append(dst, Version)
	dst = binary.AppendVarint(dst, int64(s.clock))
	dst = binary.AppendVarint(dst, int64(s.swept))
	dst = binary.AppendUvarint(dst, uint64(len(s.gateways)))
	var scratch []byte
	for _, g := range s.gateways {
		dst = appendText(dst, g.name)
		dst = appendText(dst, g.site)
		dst = binary.AppendUvarint(dst, uint64(len(g.devices)))
		for _, d := range g.devices {
			dst = appendText(dst, d.name)
			dst, scratch = d.append(dst, scratch)
			dst = binary.AppendUvarint(dst, uint64(len(d.series)))
			for _, sr := range d.series {
				dst, scratch = sr.append(dst, scratch)
			}
		}
	}
	return dst
}

func (s *steps) append(dst, scratch []byte) (out, memory []byte) {
	if *s == (steps{}) {
		return append(dst, 0), scratch
	}
	dst = append(dst, 1)
	dst = binary.AppendVarint(dst, int64(s.at))
	for _, n := range [...]int{s.count, s.last, s.inARow, s.sensors} {
		dst = binary.AppendUvarint(dst, uint64(n))
	}
	if s.machine == nil {
		return dst, scratch
	}
	alarmed := byte(0)
	if s.alarmed {
		alarmed = 1
	}
	dst = append(dst, alarmed)
	dst = binary.AppendUvarint(dst, uint64(s.present))
	for i := range s.sensors {
		if s.present&(1<<i) != 0 {
			dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(s.values[i]))
		}
	}
	scratch = s.machine.AppendState(scratch[:0])
	return appendSparse(dst, scratch), scratch
}

func (sr *series) append(dst, scratch []byte) (out, memory []byte) {
	dst = appendText(dst, sr.metric)
	flags := uint64(sr.sensor) << flagBits
	if sr.valued {
		flags |= flagValued
	}
	if sr.detector != nil {
		flags |= flagScored
	}
	dst = binary.AppendUvarint(dst, flags)
	dst = binary.AppendVarint(dst, int64(sr.newest))
	dst = binary.AppendVarint(dst, int64(sr.arrival))
	if sr.valued {
		dst = binary.AppendVarint(dst, int64(sr.valueAt))
		dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(sr.value))
	}
	raised := 0
	for i := range sr.alarms {
		if sr.alarms[i].raised {
			raised++
		}
	}
	dst = binary.AppendUvarint(dst, uint64(raised))
	for i := range sr.alarms {
		if sr.alarms[i].raised {
			dst = appendText(dst, sr.alarms[i].id)
		}
	}
	if sr.detector == nil {
		return dst, scratch
	}
	scratch = sr.detector.AppendState(scratch[:0])
	return appendSparse(dst, scratch), scratch
}

func appendText[S ~string](dst []byte, s S) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}

// maxSparse limits the size of a decoded sparse state: twice the largest of this version.
const maxSparse = 2 * max(anomaly.StateSize, anomaly.MachineStateSize)

// appendSparse appends a state, a byte and 8-byte words, without the words that are
// zero: a new series has seen few hours of the week, and the others are zero.
func appendSparse(dst, state []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(state)))
	dst = append(dst, state[0])
	words := (len(state) - 1) / 8
	bits := len(dst)
	for range (words + 7) / 8 {
		dst = append(dst, 0)
	}
	for i := range words {
		at := 1 + 8*i
		if binary.LittleEndian.Uint64(state[at:]) != 0 {
			dst[bits+i/8] |= 1 << (i % 8)
			dst = append(dst, state[at:at+8]...)
		}
	}
	return append(dst, state[1+8*words:]...)
}
