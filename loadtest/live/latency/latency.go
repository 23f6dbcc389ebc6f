// Package latency adds up histograms of latencies that several runs have counted, in cells of
// equal width.
package latency

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/insighthub/insighthub/loadtest/drive"
)

// CellMicros is the width of a cell.
const CellMicros = 10

// Counts is a histogram as the page sends it: [cell, count] pairs, where cell i has latencies
// from i to i+1 times CellMicros, and the exact extremes in µs. A latency below zero, which an
// error of the clocks' offset can cause, has a cell below zero.
type Counts struct {
	Cells [][2]int64 `json:"cells"`
	Min   float64    `json:"min"`
	Max   float64    `json:"max"`
}

// Histogram is the sum of several Counts. The zero value is empty.
type Histogram struct {
	cells    map[int64]int64
	count    int64
	min, max float64 // µs
}

// Add adds counts. The error says that they are not a histogram; nothing is added then.
func (h *Histogram) Add(c Counts) error {
	if len(c.Cells) == 0 {
		return nil
	}
	if math.IsNaN(c.Min) || math.IsNaN(c.Max) || c.Min > c.Max {
		return fmt.Errorf("histogram: extremes %v and %v", c.Min, c.Max)
	}
	for _, cell := range c.Cells {
		if cell[1] < 1 {
			return errors.New("histogram: a cell without a latency")
		}
	}
	if h.cells == nil {
		h.cells, h.min, h.max = make(map[int64]int64), c.Min, c.Max
	}
	h.min, h.max = min(h.min, c.Min), max(h.max, c.Max)
	for _, cell := range c.Cells {
		h.cells[cell[0]] += cell[1]
		h.count += cell[1]
	}
	return nil
}

// Count returns the number of latencies.
func (h *Histogram) Count() int64 { return h.count }

// MinMillis returns the least latency in ms.
func (h *Histogram) MinMillis() float64 { return h.min / 1000 }

// Percentiles returns nearest-rank percentiles in ms: the upper bound of the cell of each, so
// up to a hundredth of a millisecond more than the latency itself, but no more than the maximum.
func (h *Histogram) Percentiles() drive.Percentiles {
	return drive.Percentiles{P50: h.quantile(0.50), P95: h.quantile(0.95), P99: h.quantile(0.99), Max: h.max / 1000}
}

func (h *Histogram) quantile(q float64) float64 {
	if h.count == 0 {
		return 0
	}
	rank := int64(math.Ceil(q * float64(h.count)))
	seen := int64(0)
	for _, cell := range slices.Sorted(maps.Keys(h.cells)) {
		if seen += h.cells[cell]; seen >= rank {
			return min(float64((cell+1)*CellMicros), h.max) / 1000
		}
	}
	return h.max / 1000
}
