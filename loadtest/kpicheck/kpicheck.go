// Package kpicheck compares the KPI samples that the bridge wrote to Prometheus with
// those that SQL computes from the stored readings. The SQL shares no code with the bridge.
package kpicheck

import (
	"cmp"
	"math"
	"slices"
)

// Key identifies one sample of one window. Device, Metric and Reason are empty where
// the series has no such label.
type Key struct {
	// Name is that of the Prometheus metric, without "insighthub_".
	Name, Gateway, Device, Metric, Reason string
	// End of the window, in seconds since the Unix epoch.
	End int64
}

// Samples holds the values of samples.
type Samples map[Key]float64

// Kind says how a sample differs.
type Kind uint8

// The kinds. Surplus: Prometheus has the sample, the database does not. LeftOut: the
// sample counts events that no KPI includes (late, early, …), so the KPIs of its window
// cannot be equal.
const (
	Missing Kind = iota
	Differing
	Surplus
	LeftOut
)

func (k Kind) String() string {
	return [...]string{"missing", "differing", "surplus", "left out"}[k]
}

// Difference is a sample that is not the same on both sides. The value is NaN on the
// side that does not have it.
type Difference struct {
	Key
	Kind                 Kind
	Database, Prometheus float64
}

// Compare returns the differences, ordered by time. Values must be equal to the last
// bit; times too, because both sides derive them from whole microseconds with one
// rounding. Means may differ by 1e-12 of their size: the bridge rounds a sum once, the
// database each term.
func Compare(database, prometheus Samples) []Difference {
	var out []Difference
	for k, value := range prometheus {
		want, ok := database[k]
		switch k.Name {
		case "window_duplicate_events": // the database does not store duplicates
			continue
		case "window_late_events", "window_early_events", "window_refused_events", "window_unverified_events", "window_crowded_events":
			if value != 0 {
				out = append(out, Difference{k, LeftOut, math.NaN(), value})
			}
			continue
		}
		switch {
		case !ok:
			out = append(out, Difference{k, Surplus, math.NaN(), value})
		case !k.equal(value, want):
			out = append(out, Difference{k, Differing, want, value})
		}
	}
	for k, want := range database {
		if _, ok := prometheus[k]; !ok {
			out = append(out, Difference{k, Missing, want, math.NaN()})
		}
	}
	slices.SortFunc(out, func(a, b Difference) int {
		return cmp.Or(cmp.Compare(a.End, b.End), cmp.Compare(a.Gateway, b.Gateway), cmp.Compare(a.Name, b.Name),
			cmp.Compare(a.Device, b.Device), cmp.Compare(a.Metric, b.Metric), cmp.Compare(a.Reason, b.Reason))
	})
	return out
}

func (k Key) equal(a, b float64) bool {
	if k.Name == "series_mean" {
		return math.Abs(a-b) <= 1e-12*max(1, math.Abs(b))
	}
	return a == b
}
