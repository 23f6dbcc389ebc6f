package latency_test

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/insighthub/insighthub/loadtest/drive"
	"github.com/insighthub/insighthub/loadtest/live/latency"
)

// counts is what the page makes of latencies in µs.
func counts(all []float64) latency.Counts {
	cells := map[int64]int64{}
	for _, v := range all {
		cells[int64(math.Floor(v/latency.CellMicros))]++
	}
	c := latency.Counts{Min: slices.Min(all), Max: slices.Max(all)}
	for cell, n := range cells {
		c.Cells = append(c.Cells, [2]int64{cell, n})
	}
	return c
}

// The percentiles of several histograms are those of all latencies together, by nearest rank,
// rounded up by at most a cell.
func TestPercentilesOfSums(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var all []float64
		var h latency.Histogram
		for range rapid.IntRange(1, 4).Draw(t, "parts") {
			part := rapid.SliceOfN(rapid.Float64Range(-500, 50_000), 1, 200).Draw(t, "latencies")
			all = append(all, part...)
			if err := h.Add(counts(part)); err != nil {
				t.Fatal(err)
			}
		}
		slices.Sort(all)
		p := h.Percentiles()
		for q, got := range map[float64]float64{0.5: p.P50, 0.95: p.P95, 0.99: p.P99} {
			want := all[int(math.Ceil(q*float64(len(all))))-1] / 1000
			if got < want-1e-9 || got > want+float64(latency.CellMicros)/1000+1e-9 {
				t.Errorf("quantile %v: got %v, want %v or up to a cell more", q, got, want)
			}
		}
		if p.Max != all[len(all)-1]/1000 || h.MinMillis() != all[0]/1000 || h.Count() != int64(len(all)) {
			t.Errorf("got max %v, min %v of %d; want %v, %v of %d",
				p.Max, h.MinMillis(), h.Count(), all[len(all)-1]/1000, all[0]/1000, len(all))
		}
	})
}

func TestNotAHistogram(t *testing.T) {
	var h latency.Histogram
	if err := h.Add(latency.Counts{}); err != nil || h.Percentiles() != (drive.Percentiles{}) {
		t.Errorf("empty: got %v, %v", h.Percentiles(), err)
	}
	for name, c := range map[string]latency.Counts{
		"a cell without a latency": {Cells: [][2]int64{{1, 0}}},
		"a negative count":         {Cells: [][2]int64{{1, 2}, {2, -1}}},
		"extremes":                 {Cells: [][2]int64{{1, 1}}, Min: 2, Max: 1},
		"NaN":                      {Cells: [][2]int64{{1, 1}}, Min: math.NaN(), Max: 1},
	} {
		if err := h.Add(c); err == nil || h.Count() != 0 {
			t.Errorf("%s: got error %v and %d latencies, want an error and none", name, err, h.Count())
		}
	}
}
