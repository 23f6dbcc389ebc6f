package main

import (
	"context"
	"encoding/json"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/insighthub/insighthub/cdk/local/prometheus"
	"github.com/insighthub/insighthub/cdk/local/prometheus/prometheustest"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/loadtest/fleet/fleettest"
)

// TestRealPrometheus3 is [TestRealPrometheus] with remote write 2.0.
func TestRealPrometheus3(t *testing.T) {
	t.Setenv("INSIGHTHUB_TEST_PROMETHEUS", prometheustest.Server3(t))
	againstPrometheus(t, 0)
}

// TestLagsAreNativeHistograms reads the lags of each window from a server with native
// histograms, and compares their quantiles with those of the events.
func TestLagsAreNativeHistograms(t *testing.T) {
	server, err := prometheus.Start(t.Context(), prometheus.Config{Binary: prometheustest.Server3(t), DataDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.Stop(context.Background()) }()
	client := newClient(t, server.URL()+"/api/v1/write")
	start := time.Now().Add(-2 * time.Minute).Truncate(window)
	records := fleettest.New(t, 3, 4, 5, start).Run(start, 62)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	if _, err := newFixture(t, client).handler.Invoke(ctx, fleettest.Payload(records)); err != nil {
		t.Fatal(err)
	}

	lags := map[telemetry.GatewayID]map[telemetry.Micros][]float64{}
	for _, r := range records {
		for k := range r.Batch.Len() {
			e := r.Batch.Event(k)
			if lags[r.Batch.Gateway] == nil {
				lags[r.Batch.Gateway] = map[telemetry.Micros][]float64{}
			}
			end := endOf(e.Time)
			lags[r.Batch.Gateway][end] = append(lags[r.Batch.Gateway][end], float64(r.Batch.Received-e.Time)/1e6)
		}
	}
	// There are four buckets to a power of two.
	width := math.Exp2(0.25) * (1 + 1e-9)
	compared := 0
	for gateway, windows := range lags {
		for end, values := range windows {
			if end > telemetry.MicrosOf(start.Add(time.Minute)) {
				continue // not closed
			}
			slices.Sort(values)
			query := func(function string) float64 {
				return instant(t, server.URL(), function+`insighthub_ingest_lag_seconds{gateway="`+string(gateway)+`"})`, end)
			}
			if n := query("histogram_count("); n != float64(len(values)) {
				t.Errorf("%s at %d: got %v lags, want %d", gateway, end, n, len(values))
			}
			sum := 0.0
			for _, v := range values {
				sum += v
			}
			if have := query("histogram_sum("); math.Abs(have-sum) > 1e-6 {
				t.Errorf("%s at %d: got sum of lags %v, want %v", gateway, end, have, sum)
			}
			for _, q := range []float64{0.5, 0.9, 0.99} {
				rank := q * float64(len(values))
				low, high := values[max(0, int(math.Floor(rank))-1)], values[min(len(values)-1, int(math.Ceil(rank)))]
				have := query("histogram_quantile(" + strconv.FormatFloat(q, 'g', -1, 64) + ",")
				if !(have >= low/width && have <= high*width) {
					t.Errorf("%s at %d: quantile %v: got %v, want about %v to %v", gateway, end, q, have, low, high)
				}
			}
			compared++
		}
	}
	if compared < 3*12 {
		t.Errorf("got %d windows to compare, want at least 36", compared)
	}
	const classic = `count(insighthub_ingest_lag_seconds_bucket) or vector(0)`
	if n := instant(t, server.URL(), classic, telemetry.MicrosOf(start.Add(time.Minute))); n != 0 {
		t.Errorf("got %v series of classic buckets, want only native ones", n)
	}
}

// instant returns the value of an instant query that has one result.
func instant(t *testing.T, server, query string, at telemetry.Micros) float64 {
	t.Helper()
	values := url.Values{"query": {query}, "time": {strconv.FormatFloat(float64(at)/1e6, 'f', 3, 64)}}
	resp, err := http.Get(server + "/api/v1/query?" + values.Encode())
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var response struct {
		Error string
		Data  struct{ Result []struct{ Value [2]any } }
	}
	if err := json.NewDecoder(resp.Body).Decode(&response); err != nil || len(response.Data.Result) != 1 {
		t.Fatalf("%s at %d: %v %+v", query, at, err, response)
	}
	v, err := strconv.ParseFloat(response.Data.Result[0].Value[1].(string), 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}
