package kpicheck_test

import (
	"math"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/insighthub/insighthub/loadtest/kpicheck"
)

func key(name string, end int64) kpicheck.Key {
	return kpicheck.Key{Name: name, Gateway: "gw", Device: "press", End: end}
}

func TestCompare(t *testing.T) {
	database := kpicheck.Samples{
		key("window_produced", 5): 3, key("window_produced", 10): 4,
		key("series_mean", 5): 1, key("series_mean", 10): 1, key("series_last", 5): 1,
		key("window_busy_seconds", 5): 2.597478, key("window_busy_seconds", 10): 2.597478, key("window_events", 15): 7,
	}
	prometheus := kpicheck.Samples{
		key("window_produced", 5): 3, key("window_produced", 10): 5,
		key("series_mean", 5): 1 + 1e-13, key("series_mean", 10): 1 + 1e-11, key("series_last", 5): 1 + 1e-13,
		key("window_busy_seconds", 5): 2.597478, key("window_busy_seconds", 10): 2.5974779999999997,
		key("window_produced", 20): 0, key("window_late_events", 5): 0, key("window_late_events", 10): 1,
		key("window_duplicate_events", 5): 9,
	}
	want := []kpicheck.Difference{
		{key("series_last", 5), kpicheck.Differing, 1, 1 + 1e-13},
		{key("series_mean", 10), kpicheck.Differing, 1, 1 + 1e-11},
		{key("window_busy_seconds", 10), kpicheck.Differing, 2.597478, 2.5974779999999997},
		{key("window_late_events", 10), kpicheck.LeftOut, math.NaN(), 1},
		{key("window_produced", 10), kpicheck.Differing, 4, 5},
		{key("window_events", 15), kpicheck.Missing, 7, math.NaN()},
		{key("window_produced", 20), kpicheck.Surplus, math.NaN(), 0},
	}
	if diff := cmp.Diff(want, kpicheck.Compare(database, prometheus), cmpopts.EquateNaNs()); diff != "" {
		t.Error(diff)
	}
}

func TestQueryErrors(t *testing.T) {
	for name, response := range map[string]string{
		"an error":          `{"status":"error","error":"no such function"}`,
		"not JSON":          `<html>`,
		"an invalid value":  `{"data":{"result":[{"metric":{},"value":[1,"x"]}]}}`,
		"an invalid time":   `{"data":{"result":[{"metric":{},"values":[["x","1"]]}]}}`,
		"a repeated sample": `{"data":{"result":[{"metric":{},"values":[[5,"1"],[5,"1"]]}]}}`,
	} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(response)) }))
			defer s.Close()
			if got, err := kpicheck.Server(s.URL).Query(t.Context(), "up"); err == nil {
				t.Errorf("got %+v, want an error", got)
			}
		})
	}
}

func FuzzQuery(f *testing.F) {
	f.Add([]byte(`{"data":{"result":[{"metric":{"gateway":"gw"},"values":[[5,"1"],[10.5,"NaN"]]}]}}`))
	f.Add([]byte(`{"data":{"result":[{"metric":{},"value":[1e300,"1"]}]}}`))
	f.Fuzz(func(t *testing.T, response []byte) {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(response) }))
		defer s.Close()
		if all, err := kpicheck.Server(s.URL).Query(t.Context(), "up"); err != nil && all != nil {
			t.Errorf("got %v with error %v, want no series with an error", all, err)
		}
	})
}
