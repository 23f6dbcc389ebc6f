package telemetry

import (
	"encoding/binary"
	"math"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// metricScale is the scale of a metric, and the statistics that select it.
type metricScale struct {
	exponent int
	power    float64 // 10^exponent; 0: raw
	events   int
	// The metric's bytes in decimals, absolute and as differences.
	absoluteBytes, deltaBytes int
}

func (s *metricScale) raw() bool { return s.power == 0 }

func (s *metricScale) delta() bool { return s.deltaBytes < s.absoluteBytes }

func (s *metricScale) wire() uint8 {
	switch {
	case s.raw():
		return scaleRaw
	case s.delta():
		return scaleDelta + uint8(s.exponent)
	default:
		return scaleDecimal + uint8(s.exponent)
	}
}

// exactLimit bounds the decimals of the encoder. It is below maxDecimal so that a sum with
// rounder has no fraction bits, and that a k that is exact for an exponent is exact for
// the larger ones within the limit, too.
const exactLimit = 1 << 50

// rounder is 1.5·2^52: a float64 in [2^52, 2^53) has no fraction bits, so that
// adding it rounds to the nearest integer, which is then in the low bits.
const rounder = 3 << 51

// asDecimal returns the integer k nearest to v·power, and whether k/power has the bits of v.
func asDecimal(v, power float64) (int64, bool) {
	// The conversion keeps the product from being fused with the sum.
	x := float64(v * power)
	if !(x < exactLimit && x > -exactLimit) {
		return 0, false
	}
	k := int64(math.Float64bits(x+rounder)) - int64(math.Float64bits(rounder))
	return k, math.Float64bits(float64(k)/power) == math.Float64bits(v)
}

// appendValues appends values, scales and decimals.
func (e *Encoder) appendValues(dst []byte, values []float64) []byte {
	e.chooseExponents(values)
	e.toDecimals(values)
	decimalBytes, rawEvents := 0, 0
	for i := range e.scales {
		if s := &e.scales[i]; s.raw() {
			rawEvents += s.events
		} else {
			decimalBytes += min(s.absoluteBytes, s.deltaBytes)
		}
	}
	if rawEvents > 0 {
		dst = e.appendRaw(dst, values, rawEvents)
	}
	if rawEvents == len(values) {
		return dst
	}
	dst = appendPackedHeader(dst, fieldScales, len(e.scales))
	for i := range e.scales {
		dst = append(dst, e.scales[i].wire())
	}
	return e.appendDecimals(dst, decimalBytes)
}

// chooseExponents finds for each metric the smallest exponent that is exact for
// all its values, or none.
func (e *Encoder) chooseExponents(values []float64) {
	e.scales = slices.Grow(e.scales[:0], len(e.metrics.used))[:len(e.metrics.used)]
	for i := range e.scales {
		e.scales[i] = metricScale{power: 1}
	}
	for i, v := range values {
		s := &e.scales[e.series.series[e.event[i]].metric]
		s.events++
		for !s.raw() {
			if _, exact := asDecimal(v, s.power); exact {
				break
			}
			if s.exponent++; s.exponent > maxExponent || math.IsNaN(v) || math.IsInf(v, 0) {
				s.power = 0
				break
			}
			s.power = pow10(s.exponent)
		}
	}
}

// toDecimals fills e.decimal and each metric's size. A value that exceeds
// exactLimit with its metric's final exponent makes the metric raw.
func (e *Encoder) toDecimals(values []float64) {
	e.decimal = slices.Grow(e.decimal[:0], len(values))[:len(values)]
	e.resetLast()
	for i, v := range values {
		x := e.event[i]
		s := &e.scales[e.series.series[x].metric]
		if s.raw() {
			continue
		}
		k, exact := asDecimal(v, s.power)
		if !exact {
			s.power = 0
			continue
		}
		e.decimal[i] = k
		s.absoluteBytes += varintSize(zigzag(k))
		s.deltaBytes += varintSize(zigzag(k - e.last[x]))
		e.last[x] = k
	}
}

func (e *Encoder) resetLast() {
	n := len(e.series.series)
	e.last = slices.Grow(e.last[:0], n)[:n]
	clear(e.last)
}

func (e *Encoder) appendRaw(dst []byte, values []float64, events int) []byte {
	dst = appendPackedHeader(dst, fieldValues, 8*events)
	dst = slices.Grow(dst, 8*events)
	for i, v := range values {
		if e.scales[e.series.series[e.event[i]].metric].raw() {
			dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(v))
		}
	}
	return dst
}

func (e *Encoder) appendDecimals(dst []byte, sizeBytes int) []byte {
	dst = protowire.AppendTag(dst, protowire.Number(fieldDecimals), protowire.BytesType)
	dst = protowire.AppendVarint(dst, uint64(sizeBytes))
	at := len(dst)
	dst = slices.Grow(dst, sizeBytes+8)[:at+sizeBytes+8] // putVarint56 writes 8 bytes
	e.resetLast()
	for i, x := range e.event {
		s := &e.scales[e.series.series[x].metric]
		if s.raw() {
			continue
		}
		k := e.decimal[i]
		if s.delta() {
			k, e.last[x] = k-e.last[x], k
		}
		at += putVarint56(dst[at:], zigzag(k))
	}
	return dst[:at]
}
