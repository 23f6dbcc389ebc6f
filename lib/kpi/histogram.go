package kpi

import (
	"math"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// The histogram of lags is a Prometheus native histogram with schema 2: bucket k counts
// the lags of more than 2^((k-1)/4) s and at most 2^(k/4) s.
const (
	// LagSchema is the schema of a lag histogram: four buckets for each power of two.
	LagSchema = 2
	// LagZeroThreshold is the width of the zero bucket in seconds, 2^-10: it counts the
	// lags of at most that, including negative ones (a gateway's clock may be fast).
	LagZeroThreshold = 1. / 1024
	// LagFirstBucket is k of the first of the LagBuckets buckets. The last one, whose
	// upper bound is 2^14 s, counts longer lags too.
	LagFirstBucket = -39
	LagBuckets     = 96

	// maxLag, 12.7 days, prevents that the sum of 2^23 lags overflows, whatever the
	// sender's clock.
	maxLag = telemetry.Micros(1) << 40
)

// Lags is a histogram of ingest lags. A lag is the time at which an event was received
// minus the event's own time, at least −maxLag and at most maxLag. Counts and sums in
// whole microseconds make the addition of histograms exact.
type Lags struct {
	Count, Zero uint64
	SumMicros   int64
	// Buckets are the counts of the buckets from LagFirstBucket on, not cumulative.
	Buckets [LagBuckets]uint32
}

// bucketOf returns the bucket of a lag in µs, or -1 for the zero bucket.
func bucketOf(lag telemetry.Micros) int {
	seconds := float64(lag) / 1e6
	if seconds <= LagZeroThreshold {
		return -1
	}
	frac, exp := math.Frexp(seconds)
	k := (exp - 1) * 4
	switch { // the bounds 2^(-3/4), 2^(-1/2), 2^(-1/4), 1
	case frac <= 0.5:
	case frac <= 0.5946035575013605:
		k++
	case frac <= 0.7071067811865475:
		k += 2
	case frac <= 0.8408964152537144:
		k += 3
	default:
		k += 4
	}
	return min(k-LagFirstBucket, LagBuckets-1)
}

// lagOf returns the lag of an event with time t.
func lagOf(received, t telemetry.Micros) telemetry.Micros {
	received = max(0, min(received, maxTime)) // so that the difference does not overflow
	return max(-maxLag, min(received-t, maxLag))
}

func (h *Lags) add(bucket int, lag telemetry.Micros) {
	h.Count++
	h.SumMicros += int64(lag)
	if bucket < 0 {
		h.Zero++
		return
	}
	h.Buckets[bucket]++
}

// Add adds other's lags.
func (h *Lags) Add(other *Lags) {
	h.Count += other.Count
	h.Zero += other.Zero
	h.SumMicros += other.SumMicros
	for i, n := range other.Buckets {
		h.Buckets[i] += n
	}
}

// ClassicBounds returns the upper bounds of the classic histogram in seconds, from 2 ms
// to 1 h 8 min: powers of two, so that each is also the bound of a native bucket.
func ClassicBounds() []float64 {
	var bounds []float64
	for e := -9; e <= 12; e++ {
		bounds = append(bounds, math.Ldexp(1, e))
	}
	return bounds
}

// Classic returns the cumulative counts of ClassicBounds; Count is that of +Inf.
func (h *Lags) Classic() []uint64 {
	var counts []uint64
	total, next := h.Zero, 0
	for e := -9; e <= 12; e++ {
		for ; next <= 4*e-LagFirstBucket; next++ {
			total += uint64(h.Buckets[next])
		}
		counts = append(counts, total)
	}
	return counts
}
