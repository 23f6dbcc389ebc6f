// Package figures holds the bridge's figures in Prometheus against those that the
// database makes of the readings: of the same windows, by SQL that shares nothing
// with the bridge.
package figures

import (
	"cmp"
	"math"
	"slices"
)

// Figure names one figure of one window. Device, Metric and Reason are empty where
// it has none.
type Figure struct {
	// Name is the metric's in Prometheus, without "insighthub_".
	Name, Gateway, Device, Metric, Reason string
	// End of the window, in seconds since the Unix epoch.
	End int64
}

// Set is figures and their values.
type Set map[Figure]float64

// Kind says how a figure differs.
type Kind uint8

// The kinds. Surplus: the database has none. LeftOut: the figure says that events
// were not counted in the others (late, early, …), so these can not be equal.
const (
	Missing Kind = iota
	Differing
	Surplus
	LeftOut
)

func (k Kind) String() string {
	return [...]string{"missing", "differing", "surplus", "left out"}[k]
}

// Difference is a figure that is not the same on both sides. What a side does not
// have is NaN.
type Difference struct {
	Figure
	Kind                 Kind
	Database, Prometheus float64
}

// Compare returns what differs, in order of time. Counts and values are equal to the
// last bit, times too, since both sides make them of whole microseconds with one
// rounding, and means up to 1e-12 of their size: the bridge rounds a sum once, the
// database each of its terms.
func Compare(database, prometheus Set) []Difference {
	var out []Difference
	for f, value := range prometheus {
		want, ok := database[f]
		switch f.Name {
		case "window_duplicate_events": // the database keeps nothing of them
			continue
		case "window_late_events", "window_early_events", "window_refused_events", "window_unverified_events", "window_crowded_events":
			if value != 0 {
				out = append(out, Difference{f, LeftOut, math.NaN(), value})
			}
			continue
		}
		switch {
		case !ok:
			out = append(out, Difference{f, Surplus, math.NaN(), value})
		case !f.equal(value, want):
			out = append(out, Difference{f, Differing, want, value})
		}
	}
	for f, want := range database {
		if _, ok := prometheus[f]; !ok {
			out = append(out, Difference{f, Missing, want, math.NaN()})
		}
	}
	slices.SortFunc(out, func(a, b Difference) int {
		return cmp.Or(cmp.Compare(a.End, b.End), cmp.Compare(a.Gateway, b.Gateway), cmp.Compare(a.Name, b.Name),
			cmp.Compare(a.Device, b.Device), cmp.Compare(a.Metric, b.Metric), cmp.Compare(a.Reason, b.Reason))
	})
	return out
}

func (f Figure) equal(a, b float64) bool {
	if f.Name == "series_mean" {
		return math.Abs(a-b) <= 1e-12*max(1, math.Abs(b))
	}
	return a == b
}
