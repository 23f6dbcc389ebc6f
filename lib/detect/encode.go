package detect

import (
	"encoding/binary"
	"math"

	"github.com/insighthub/insighthub/lib/anomaly"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// Version is the first byte of a serialised State; version 1 is still decoded.
const Version = 2

// Flags of a serialised series; the number of its sensor is in the bits above them.
// Version 1 has the first two.
const (
	flagValued = 1 << iota
	flagScored
	flagOdd
	flagEarly
	flagTaken
	flagBits  = iota
	flagBits1 = 2
)

// Flags of a serialised alarm; the side that is raised is in the bits above them.
const (
	alarmChange = 1 << iota
	alarmAhead
	alarmPast
	alarmBits = iota
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
			dst = appendTaken(dst, d.taken)
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
	if s.alarmed {
		dst = binary.AppendVarint(append(dst, 1), int64(s.since))
	} else {
		dst = append(dst, 0)
	}
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
	if sr.odd {
		flags |= flagOdd
	}
	if sr.early != nil {
		flags |= flagEarly
	}
	if len(sr.taken) > 0 {
		flags |= flagTaken
	}
	dst = binary.AppendUvarint(dst, flags)
	dst = appendMicros(dst, sr.newest, sr.arrival, sr.useful)
	if sr.valued {
		dst = appendPoint(dst, point{sr.valueAt, sr.value, true})
	}
	saved := 0
	for i := range sr.alarms {
		if sr.alarms[i].flags() != 0 {
			saved++
		}
	}
	dst = binary.AppendUvarint(dst, uint64(saved))
	for i := range sr.alarms {
		dst = sr.alarms[i].append(dst)
	}
	if sr.odd {
		dst = appendPoint(dst, point{sr.oddAt, sr.oddScore, true})
	}
	if e := sr.early; e != nil {
		dst = appendMicros(dst, e.last, e.since)
		for _, p := range [...]point{e.held, e.value, e.present} {
			dst = appendOptional(dst, p)
		}
		dst = binary.AppendUvarint(dst, uint64(len(e.judged)))
		for _, p := range e.judged {
			dst = appendPoint(dst, p)
		}
	}
	if flags&flagTaken != 0 {
		dst = appendTaken(dst, sr.taken)
	}
	if sr.detector == nil {
		return dst, scratch
	}
	scratch = sr.detector.AppendState(scratch[:0])
	return appendSparse(dst, scratch), scratch
}

// flags returns the flags of a serialised alarm; those of one with nothing to save are 0.
func (a *alarm) flags() uint64 {
	flags := uint64(a.raised) << alarmBits
	if a.change.current.known {
		flags |= alarmChange
	}
	if a.ahead.current.known {
		flags |= alarmAhead
	}
	if a.past != nil {
		flags |= alarmPast
	}
	return flags
}

// append appends an alarm, unless it has nothing to save.
func (a *alarm) append(dst []byte) []byte {
	flags := a.flags()
	if flags == 0 {
		return dst
	}
	dst = appendText(appendText(appendText(dst, a.id), a.kind), a.severity)
	dst = binary.LittleEndian.AppendUint64(dst, a.print)
	dst = binary.AppendUvarint(dst, flags)
	if a.raised != none {
		dst = appendMicros(dst, a.since)
	}
	if flags&alarmChange != 0 {
		dst = appendPoint(dst, a.change.current)
		dst = appendOptional(dst, a.change.previous)
	}
	if flags&alarmAhead != 0 {
		dst = appendPoint(dst, a.ahead.current)
		dst = appendOptional(dst, a.ahead.previous)
	}
	p := a.past
	if p == nil {
		return dst
	}
	dst = binary.AppendUvarint(dst, uint64(len(p.episodes)))
	for _, e := range p.episodes {
		dst = appendEpisode(dst, e)
	}
	dst = appendMicros(dst, p.arrival)
	dst = binary.AppendUvarint(dst, uint64(len(p.values)))
	for _, v := range p.values {
		dst = appendPoint(append(dst, byte(v.side)), v.point)
	}
	return dst
}

func appendEpisode(dst []byte, e episode) []byte {
	side := byte(e.side) << 1
	if e.late {
		side |= 1
	}
	return appendMicros(append(dst, side), e.since, e.from, e.to)
}

func appendTaken(dst []byte, times taken) []byte {
	return appendMicros(binary.AppendUvarint(dst, uint64(len(times))), times...)
}

func appendMicros(dst []byte, times ...telemetry.Micros) []byte {
	for _, t := range times {
		dst = binary.AppendVarint(dst, int64(t))
	}
	return dst
}

func appendPoint(dst []byte, p point) []byte {
	return binary.LittleEndian.AppendUint64(appendMicros(dst, p.at), math.Float64bits(p.value))
}

func appendOptional(dst []byte, p point) []byte {
	if !p.known {
		return append(dst, 0)
	}
	return appendPoint(append(dst, 1), p)
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
