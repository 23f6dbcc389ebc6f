// Package drive sends batches to the HTTP API as gateways do, at a fixed rate (open loop)
// or each after the response to the one before (closed loop), and measures the latencies.
//
// A latency counts from the time at which the batch was due, not from when it was sent:
// if the server stalls, the latencies of all batches that wait include the stall (no
// coordinated omission).
package drive

import (
	"slices"
	"time"
)

// Percentiles of a set of latencies, in milliseconds. All are zero for an empty set.
type Percentiles struct {
	P50 float64 `json:"p50"`
	P95 float64 `json:"p95"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

// Sample is the latency of Weight events.
type Sample struct {
	Latency time.Duration
	Weight  int
}

// PercentilesOf returns the weighted nearest-rank percentiles; it sorts samples.
func PercentilesOf(samples []Sample) Percentiles {
	slices.SortFunc(samples, func(a, b Sample) int { return int(a.Latency - b.Latency) })
	total := 0
	for _, s := range samples {
		total += s.Weight
	}
	if total == 0 {
		return Percentiles{}
	}
	at := func(q float64) float64 {
		rank, seen := q*float64(total), 0
		for _, s := range samples {
			seen += s.Weight
			if float64(seen) >= rank {
				return milliseconds(s.Latency)
			}
		}
		return milliseconds(samples[len(samples)-1].Latency)
	}
	return Percentiles{P50: at(0.50), P95: at(0.95), P99: at(0.99), Max: milliseconds(samples[len(samples)-1].Latency)}
}

func milliseconds(d time.Duration) float64 {
	return float64(d.Round(10*time.Microsecond)) / float64(time.Millisecond)
}
