package figures_test

import (
	"math"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/insighthub/insighthub/loadtest/figures"
)

func of(name string, end int64) figures.Figure {
	return figures.Figure{Name: name, Gateway: "gw", Device: "press", End: end}
}

func TestCompare(t *testing.T) {
	database := figures.Set{
		of("window_produced", 5): 3, of("window_produced", 10): 4, of("series_mean", 5): 1, of("series_mean", 10): 1, of("series_last", 5): 1,
		of("window_busy_seconds", 5): 2.597478, of("window_busy_seconds", 10): 2.597478, of("window_events", 15): 7,
	}
	prometheus := figures.Set{
		of("window_produced", 5): 3, of("window_produced", 10): 5, of("series_mean", 5): 1 + 1e-13, of("series_mean", 10): 1 + 1e-11, of("series_last", 5): 1 + 1e-13,
		of("window_busy_seconds", 5): 2.597478, of("window_busy_seconds", 10): 2.5974779999999997,
		of("window_produced", 20): 0, of("window_late_events", 5): 0, of("window_late_events", 10): 1, of("window_duplicate_events", 5): 9,
	}
	want := []figures.Difference{
		{of("series_last", 5), figures.Differing, 1, 1 + 1e-13},
		{of("series_mean", 10), figures.Differing, 1, 1 + 1e-11},
		{of("window_busy_seconds", 10), figures.Differing, 2.597478, 2.5974779999999997},
		{of("window_late_events", 10), figures.LeftOut, math.NaN(), 1},
		{of("window_produced", 10), figures.Differing, 4, 5},
		{of("window_events", 15), figures.Missing, 7, math.NaN()},
		{of("window_produced", 20), figures.Surplus, math.NaN(), 0},
	}
	if diff := cmp.Diff(want, figures.Compare(database, prometheus), cmpopts.EquateNaNs()); diff != "" {
		t.Error(diff)
	}
}

func TestQueryErrors(t *testing.T) {
	for name, answer := range map[string]string{
		"an error":              `{"status":"error","error":"no such function"}`,
		"no JSON":               `<html>`,
		"a value that is none":  `{"data":{"result":[{"metric":{},"value":[1,"x"]}]}}`,
		"a sample without time": `{"data":{"result":[{"metric":{},"values":[["x","1"]]}]}}`,
		"a sample twice":        `{"data":{"result":[{"metric":{},"values":[[5,"1"],[5,"1"]]}]}}`,
	} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(answer)) }))
			defer s.Close()
			if got, err := figures.Server(s.URL).Query(t.Context(), "up"); err == nil {
				t.Errorf("%+v, and no error", got)
			}
		})
	}
}

func FuzzQuery(f *testing.F) {
	f.Add([]byte(`{"data":{"result":[{"metric":{"gateway":"gw"},"values":[[5,"1"],[10.5,"NaN"]]}]}}`))
	f.Add([]byte(`{"data":{"result":[{"metric":{},"value":[1e300,"1"]}]}}`))
	f.Fuzz(func(t *testing.T, answer []byte) {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(answer) }))
		defer s.Close()
		if all, err := figures.Server(s.URL).Query(t.Context(), "up"); err != nil && all != nil {
			t.Error("series with an error")
		}
	})
}
