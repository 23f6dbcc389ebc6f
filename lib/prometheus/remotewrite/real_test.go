package remotewrite_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/insighthub/insighthub/cdk/local/prometheus"
	"github.com/insighthub/insighthub/cdk/local/prometheus/prometheustest"
	"github.com/insighthub/insighthub/lib/prometheus/remotewrite"
)

// server is a real Prometheus whose out-of-order window is 0, as it is by default.
type server struct {
	*prometheus.Server
	t      *testing.T
	config prometheus.Config
}

func startPrometheus(t *testing.T, binary string, features ...string) *server {
	t.Helper()
	s := &server{t: t, config: prometheus.Config{Binary: binary, DataDir: t.TempDir(), OutOfOrder: -1, Features: features}}
	s.start()
	t.Cleanup(s.stop)
	// It comes back where it was.
	s.config.Listen = strings.TrimPrefix(s.URL(), "http://")
	return s
}

func (s *server) start() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 3*time.Minute)
	defer cancel()
	var err error
	if s.Server, err = prometheus.Start(ctx, s.config); err != nil {
		s.t.Fatal(err)
	}
}

func (s *server) stop() { _ = s.Stop(context.Background()) } // a second time there is nothing to stop

func (s *server) url() string { return s.URL() + "/api/v1/write" }

// get decodes the data of an API response.
func (s *server) get(into any, path string, args ...string) {
	s.t.Helper()
	q := url.Values{}
	for i := 0; i < len(args); i += 2 {
		q.Set(args[i], args[i+1])
	}
	resp, err := http.Get(s.URL() + path + "?" + q.Encode())
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	answer := struct {
		Status, Error string
		Data          any
	}{Data: into}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || answer.Status != "success" {
		s.t.Fatalf("%s: %v %s", path, err, answer.Error)
	}
}

// scalar is the value of an instant query that has one result; -1 when it has none.
func (s *server) scalar(query string, at time.Time) float64 {
	s.t.Helper()
	var data struct{ Result []struct{ Value [2]any } }
	s.get(&data, "/api/v1/query", "query", query, "time", strconv.FormatFloat(float64(at.UnixMilli())/1000, 'f', 3, 64))
	if len(data.Result) == 0 {
		return -1
	}
	v, err := strconv.ParseFloat(data.Result[0].Value[1].(string), 64)
	if err != nil || len(data.Result) > 1 {
		s.t.Fatalf("%s: %v", query, data)
	}
	return v
}

func TestRealPrometheus(t *testing.T) {
	s := startPrometheus(t, prometheustest.Server(t))
	c := newClient(t, s.url())
	end := time.Now().Truncate(5 * time.Second)
	at := func(window int) int64 { return end.Add(time.Duration(window) * 5 * time.Second).UnixMilli() }
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()

	t.Run("samples arrive", func(t *testing.T) {
		got, err := c.Write(ctx, gauges(500, at(-3), at(-2)))
		if err != nil || got.Protocol != remotewrite.V1 || got.Samples != 1000 {
			t.Fatalf("%+v, %v", got, err)
		}
		if n := s.scalar(`count(insighthub_series_mean{site="plant-1",metric="temperature"})`, end); n != 500 {
			t.Errorf("%v series", n)
		}
		if v := s.scalar(`insighthub_series_mean{device="press-42"}`, end); v != 42.1 {
			t.Errorf("value %v", v)
		}
		if n := s.scalar(`sum(count_over_time(insighthub_series_mean[1m]))`, end); n != 1000 {
			t.Errorf("%v samples", n)
		}
	})
	t.Run("the newest again is harmless", func(t *testing.T) {
		before := gauges(500, at(-3), at(-2))
		for i := range before {
			before[i].Samples = before[i].Samples[1:]
		}
		got, err := c.Write(ctx, before)
		if err != nil || len(got.Rejected) != 0 {
			t.Errorf("%+v, %v", got, err)
		}
		if n := s.scalar(`sum(count_over_time(insighthub_series_mean[1m]))`, end); n != 1000 {
			t.Errorf("%v samples", n)
		}
	})
	t.Run("the old are named and the others written", func(t *testing.T) {
		series := gauges(500, at(-1))
		series[17].Samples[0].Timestamp = at(-9)
		series[300].Samples = []remotewrite.Sample{{Timestamp: at(-1), Value: 1}, {Timestamp: at(-8), Value: 2}}
		series[301].Samples = []remotewrite.Sample{{Timestamp: at(-2), Value: -1}} // another value at a known time
		got, err := c.Write(ctx, series)
		if err != nil || got.RejectedSamples() != 3 || len(got.Rejected) != 3 {
			t.Fatalf("%+v, %v", got, err)
		}
		for i, want := range []int{17, 300, 301} {
			j := got.Rejected[i]
			if j.Series != want || !j.Isolated || j.Status != http.StatusBadRequest || !strings.Contains(j.Labels, named(want)) {
				t.Errorf("%+v", j)
			}
		}
		if n := s.scalar(`sum(count_over_time(insighthub_series_mean[1m]))`, end); n != 1498 {
			t.Errorf("%v samples", n)
		}
	})
	t.Run("histograms, exemplars", func(t *testing.T) {
		if _, err := c.Write(ctx, []remotewrite.Series{lag(at(-1))}); err != nil {
			t.Fatal(err)
		}
		if v := s.scalar(`histogram_quantile(0.5, insighthub_ingest_lag_seconds_bucket)`, end); v != 0.1 {
			t.Errorf("median %v", v)
		}
		if v := s.scalar(`insighthub_ingest_lag_seconds_sum / insighthub_ingest_lag_seconds_count`, end); v != 0.25 {
			t.Errorf("mean %v", v)
		}
		var data []struct {
			Exemplars []struct{ Labels map[string]string }
		}
		s.get(&data, "/api/v1/query_exemplars", "query", "insighthub_ingest_lag_seconds_bucket",
			"start", strconv.FormatInt(end.Unix()-3600, 10), "end", strconv.FormatInt(end.Unix()+3600, 10))
		if len(data) != 1 || len(data[0].Exemplars) != 1 ||
			data[0].Exemplars[0].Labels["trace_id"] != "1-5759e988-bd862e3fe1be46a994272793" {
			t.Errorf("got exemplars %+v, want one with the trace id", data)
		}
	})
	t.Run("down, then up", func(t *testing.T) {
		s.stop()
		refused := make(chan struct{}, 1000)
		c := newClient(t, s.url(), func(cfg *remotewrite.Config) {
			cfg.Protocol, cfg.BackoffBase, cfg.BackoffCap = remotewrite.V1, 20*time.Millisecond, 200*time.Millisecond
			cfg.HTTP = doer(func(r *http.Request) (*http.Response, error) {
				resp, err := http.DefaultClient.Do(r)
				if err != nil {
					select {
					case refused <- struct{}{}:
					default:
					}
				}
				return resp, err
			})
		})
		type outcome struct {
			result remotewrite.Result
			err    error
		}
		ended := make(chan outcome, 1)
		go func() {
			result, err := c.Write(ctx, gauges(500, at(0)))
			ended <- outcome{result, err}
		}()
		for range 3 {
			<-refused
		}
		s.start()
		got := <-ended
		if got.err != nil || got.result.Samples != 500 || got.result.Retries < 3 {
			t.Fatalf("%+v", got)
		}
		if n := s.scalar(`count(insighthub_series_mean{site="plant-1"})`, end); n != 500 {
			t.Errorf("%v series", n)
		}
	})
}

// TestRealGoodNeighbours writes 4,000 samples of which 40 are out of order to a Prometheus that
// rejects a request of 1.0 as a whole.
func TestRealGoodNeighbours(t *testing.T) {
	s := startPrometheus(t, prometheustest.Server(t))
	c := newClient(t, s.url(), func(cfg *remotewrite.Config) { cfg.Protocol, cfg.MaxBytes = remotewrite.V1, 4<<20 })
	end, at := close5()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	if got, err := c.Write(ctx, gauges(40, at(-1))); err != nil || got.Samples != 40 {
		t.Fatalf("%+v, %v", got, err)
	}
	got, err := c.Write(ctx, gauges(4000, at(-2)))
	if err != nil || got.Samples != 3960 || got.RejectedSamples() != 40 || got.NotSent != 0 || got.Requests > 3+20*40 {
		t.Errorf("%d written, %d rejected, %d requests, %v", got.Samples, got.RejectedSamples(), got.Requests, err)
	}
	for _, j := range got.Rejected {
		if j.Series >= 40 || !j.Duplicate || j.Cause != remotewrite.OutOfOrder {
			t.Errorf("%+v", j)
		}
	}
	if n := s.scalar(`sum(count_over_time(insighthub_series_mean[1m]))`, end); n != 4000 {
		t.Errorf("%v samples stored, want 4,000", n)
	}
}

// lag is a histogram in both forms, with an exemplar.
func lag(at int64) remotewrite.Series {
	return remotewrite.Series{
		Labels: []remotewrite.Label{
			{Name: remotewrite.NameLabel, Value: "insighthub_ingest_lag_seconds"}, {Name: "site", Value: "plant-1"},
		},
		Histograms: []remotewrite.Histogram{{
			Timestamp: at, Count: 4, Sum: 1, Gauge: true,
			Buckets: []remotewrite.Bucket{{UpperBound: 0.1, CumulativeCount: 2}, {UpperBound: 0.5, CumulativeCount: 3}},
			Native: &remotewrite.Native{
				Schema: 0, ZeroThreshold: 1e-9, ZeroCount: 1,
				PositiveSpans: []remotewrite.Span{{Offset: -4, Length: 1}, {Offset: 2, Length: 1}}, PositiveDeltas: []int64{1, 1},
			},
		}},
		Exemplars: []remotewrite.Exemplar{{
			Labels: []remotewrite.Label{{Name: remotewrite.TraceIDLabel, Value: "1-5759e988-bd862e3fe1be46a994272793"}},
			Value:  0.3, Timestamp: at,
		}},
		Metadata: remotewrite.Metadata{Type: remotewrite.GaugeHistogram, Help: "Time from receipt to window.", Unit: "seconds"},
	}
}
