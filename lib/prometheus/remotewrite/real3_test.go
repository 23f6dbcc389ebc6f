package remotewrite_test

import (
	"bufio"
	"context"
	"math"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/insighthub/insighthub/cdk/local/prometheus"
	"github.com/insighthub/insighthub/cdk/local/prometheus/prometheustest"
	"github.com/insighthub/insighthub/lib/prometheus/remotewrite"
)

// counter is the sum of one of the server's own counters.
func (s *server) counter(name string) float64 {
	s.t.Helper()
	resp, err := http.Get(s.URL() + "/metrics")
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	sum, found := 0.0, false
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		series, value, _ := strings.Cut(lines.Text(), " ")
		if series, _, _ = strings.Cut(series, "{"); series != name {
			continue
		}
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			s.t.Fatal(err)
		}
		sum, found = sum+v, true
	}
	if !found {
		s.t.Fatalf("the server has no counter %s", name)
	}
	return sum
}

// close5 is a moment at which windows of 5 s end, not long ago.
func close5() (end time.Time, at func(window int) int64) {
	end = time.Now().Truncate(5 * time.Second)
	return end, func(window int) int64 { return end.Add(time.Duration(window) * 5 * time.Second).UnixMilli() }
}

// TestRealPrometheus3 speaks 2.0 with a real server.
func TestRealPrometheus3(t *testing.T) {
	// Types and units as labels show that the metadata was understood: what came by
	// remote write is not in the metadata API, which returns that of scraped targets only.
	s := startPrometheus(t, prometheustest.Server3(t), "type-and-unit-labels", "metadata-wal-records")
	c := newClient(t, s.url())
	end, at := close5()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()

	t.Run("2.0 is agreed on", func(t *testing.T) {
		got, err := c.Write(ctx, gauges(500, at(-3), at(-2)))
		if err != nil || got.Protocol != remotewrite.V2 || got.Samples != 1000 || got.Requests != 1 {
			t.Fatalf("%+v, %v", got, err)
		}
		if n := s.scalar(`sum(count_over_time(insighthub_series_mean{site="plant-1"}[1m]))`, end); n != 1000 {
			t.Errorf("%v samples", n)
		}
		if v := s.scalar(`insighthub_series_mean{device="press-42"}`, end); v != 42.1 {
			t.Errorf("value %v", v)
		}
	})
	t.Run("native histograms", func(t *testing.T) {
		got, err := c.Write(ctx, []remotewrite.Series{lag(at(-2)), lag2(at(-1))})
		if err != nil || got.Histograms != 2 || got.Samples != 0 || got.Exemplars != 2 {
			t.Fatalf("%+v, %v", got, err)
		}
		const ours = `insighthub_ingest_lag_seconds{site="plant-1"}`
		for query, want := range map[string]float64{
			`histogram_count(` + ours + `)`: 4, `histogram_sum(` + ours + `)`: 1,
			// Of 4 observations one is 0, one in (1/32, 1/16] and two in (1/4, 1/2].
			`histogram_quantile(1, ` + ours + `)`:                   0.5,
			`histogram_quantile(0.25, ` + ours + `)`:                1e-9,
			`histogram_fraction(0, 0.0625, ` + ours + `)`:           0.5,
			`count(insighthub_ingest_lag_seconds_bucket)`:           -1,
			`histogram_count(sum(insighthub_ingest_lag_seconds))`:   104,
			`count({__name__="insighthub_ingest_lag_seconds"})`:     2,
			`histogram_quantile(0.75, sum(` + ours + `) by (site))`: 0.25 * math.Sqrt2, // exponential, within its bucket
		} {
			if v := s.scalar(query, end); !(math.Abs(v-want) <= 1e-9) {
				t.Errorf("%s is %v, want %v", query, v, want)
			}
		}
	})
	t.Run("exemplars", func(t *testing.T) {
		var data []struct {
			Exemplars []struct {
				Labels map[string]string
				Value  string
			}
		}
		s.get(&data, "/api/v1/query_exemplars", "query", `insighthub_ingest_lag_seconds{site="plant-1"}`,
			"start", strconv.FormatInt(end.Unix()-3600, 10), "end", strconv.FormatInt(end.Unix()+3600, 10))
		if len(data) != 1 || len(data[0].Exemplars) != 1 || data[0].Exemplars[0].Value != "0.3" ||
			data[0].Exemplars[0].Labels[remotewrite.TraceIDLabel] != "1-5759e988-bd862e3fe1be46a994272793" {
			t.Errorf("exemplars %+v", data)
		}
	})
	t.Run("metadata", func(t *testing.T) {
		if n := s.scalar(`count({__name__="insighthub_ingest_lag_seconds",__type__="gaugehistogram",__unit__="seconds"})`, end); n != 2 {
			t.Errorf("%v histograms with type and unit", n)
		}
		if n := s.scalar(`count({__name__="insighthub_series_mean",__type__="gauge"})`, end); n != 500 {
			t.Errorf("%v gauges with their type", n)
		}
		if n := s.counter("prometheus_api_remote_write_without_metadata_appended_samples_total"); n != 0 {
			t.Errorf("%v samples without metadata", n)
		}
	})
	t.Run("the newest again is harmless", func(t *testing.T) {
		again := gauges(500, at(-3), at(-2))
		for i := range again {
			again[i].Samples = again[i].Samples[1:]
		}
		got, err := c.Write(ctx, append(again, lag(at(-2))))
		if err != nil || len(got.Rejected) != 0 || got.Samples != 500 || got.Histograms != 1 {
			t.Errorf("%+v, %v", got, err)
		}
		if n := s.scalar(`sum(count_over_time(insighthub_series_mean[1m]))`, end); n != 1000 {
			t.Errorf("%v samples", n)
		}
	})
}

// TestRealPartialWrites: a server rejects some series of a request with 400. The others
// are written and the rejected ones are named, with each protocol and server.
func TestRealPartialWrites(t *testing.T) {
	for name, c := range map[string]struct {
		binary   func(testing.TB) string
		protocol remotewrite.Protocol
		features []string
	}{
		"1.0 to the stack's server":     {prometheustest.Server, remotewrite.V1, nil},
		"1.0 to Prometheus 3":           {prometheustest.Server3, remotewrite.V1, nil},
		"2.0 to Prometheus 3":           {prometheustest.Server3, remotewrite.V2, nil},
		"2.0 where types become labels": {prometheustest.Server3, remotewrite.V2, []string{"type-and-unit-labels"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := startPrometheus(t, c.binary(t), c.features...)
			client := newClient(t, s.url(), func(cfg *remotewrite.Config) { cfg.Protocol = c.protocol })
			end, at := close5()
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
			defer cancel()
			if got, err := client.Write(ctx, gauges(500, at(-2))); err != nil || got.Samples != 500 {
				t.Fatalf("%+v, %v", got, err)
			}
			series := gauges(500, at(-1))
			series[17].Samples[0].Timestamp = at(-9)                                               // older than the stored sample
			series[300].Samples = []remotewrite.Sample{{Timestamp: at(-1), Value: 1}, {at(-8), 2}} // one of two
			series[301].Samples = []remotewrite.Sample{{Timestamp: at(-2), Value: -1}}             // another value of a stored sample
			series[499].Samples[0].Timestamp = end.Add(-2 * time.Hour).UnixMilli()                 // older than the server accepts
			series[42].Labels = append(series[42].Labels, remotewrite.Label{Name: "no-name", Value: "x"})
			got, err := client.Write(ctx, series)
			if err != nil || got.Protocol != c.protocol || got.Retries != 0 {
				t.Fatalf("%+v, %v", got, err)
			}
			if c.protocol == remotewrite.V2 && got.Requests != 1 {
				t.Errorf("%d requests: 2.0 needs one", got.Requests)
			}
			named := map[int]string{}
			for _, j := range got.Rejected {
				if j.Series < 0 || j.Samples != 1 || !j.Isolated || j.Labels != series[j.Series].String() {
					t.Errorf("%+v", j)
				}
				named[j.Series] = j.Reason
			}
			for i, words := range map[int]string{
				17: "out of order", 300: "out of order", 301: "duplicate sample", 499: "out of bounds", 42: "label name",
			} {
				if !strings.Contains(named[i], words) {
					t.Errorf("series %d is rejected with %q, want %q", i, named[i], words)
				}
			}
			if len(named) != 5 || got.Samples != 496 {
				t.Errorf("%d series rejected, %d samples written: %+v", len(named), got.Samples, got.Rejected)
			}
			if n := s.scalar(`sum(count_over_time(insighthub_series_mean[1m]))`, end); n != 500+496 {
				t.Errorf("got %v samples stored, want %d", n, 500+496)
			}
		})
	}
}

// TestRealTooOld sends a sample that is older than the window for samples out of order.
// Some servers reject it with a 5xx; the other samples must be written all the same.
func TestRealTooOld(t *testing.T) {
	for name, binary := range map[string]func(testing.TB) string{"stack": prometheustest.Server, "3": prometheustest.Server3} {
		t.Run(name, func(t *testing.T) {
			s := &server{t: t, config: prometheus.Config{Binary: binary(t), DataDir: t.TempDir(), OutOfOrder: 2 * time.Hour}}
			s.start()
			t.Cleanup(s.stop)
			c := newClient(t, s.url())
			end, at := close5()
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
			defer cancel()
			if got, err := c.Write(ctx, gauges(1, at(-1))); err != nil || got.Samples != 1 {
				t.Fatalf("%+v, %v", got, err)
			}
			series := gauges(100, at(0))
			series[7].Samples[0].Timestamp = end.Add(-3 * time.Hour).UnixMilli()
			series[8].Samples[0].Timestamp = end.Add(-90 * time.Minute).UnixMilli() // new, and within the window
			got, err := c.Write(ctx, series)
			if err != nil || got.Samples != 99 || got.Retries != 0 || len(got.Rejected) != 1 {
				t.Fatalf("%+v, %v", got, err)
			}
			if j := got.Rejected[0]; j.Series != 7 || !j.Isolated || !strings.Contains(j.Reason, "too old sample") {
				t.Errorf("%+v", j)
			}
		})
	}
}

// TestRealChangeOfServer replaces the server at one address by one of the other
// generation.
func TestRealChangeOfServer(t *testing.T) {
	old, young := prometheustest.Server(t), prometheustest.Server3(t)
	_, at := close5()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()

	t.Run("to a newer one", func(t *testing.T) {
		s := startPrometheus(t, old)
		c := newClient(t, s.url())
		if got, err := c.Write(ctx, gauges(5, at(-3))); err != nil || got.Protocol != remotewrite.V1 || got.Samples != 5 {
			t.Fatalf("%+v, %v", got, err)
		}
		s.stop()
		s.config.Binary = young
		s.start()
		// An existing client continues with 1.0, a new one starts with 2.0.
		for protocol, client := range map[remotewrite.Protocol]*remotewrite.Client{
			remotewrite.V1: c, remotewrite.V2: newClient(t, s.url()),
		} {
			if got, err := client.Write(ctx, gauges(5, at(-2))); err != nil || got.Protocol != protocol || got.Samples != 5 {
				t.Errorf("%+v, %v", got, err)
			}
		}
	})
	t.Run("to an older one", func(t *testing.T) {
		s := startPrometheus(t, young)
		c := newClient(t, s.url())
		if got, err := c.Write(ctx, gauges(5, at(-3))); err != nil || got.Protocol != remotewrite.V2 {
			t.Fatalf("%+v, %v", got, err)
		}
		s.stop()
		s.config.Binary, s.config.DataDir = old, t.TempDir()
		s.start()
		// Such a server responds with 2xx and writes nothing: the client must report an error.
		if got, err := c.Write(ctx, gauges(5, at(-2))); err == nil || got.Samples != 0 {
			t.Errorf("%+v, and no error", got)
		}
		got, err := newClient(t, s.url()).Write(ctx, gauges(5, at(-2)))
		if err != nil || got.Protocol != remotewrite.V1 || got.Samples != 5 {
			t.Errorf("got %+v, %v; want 5 samples written with 1.0", got, err)
		}
	})
}

// lag2 is another site's histogram, of 100 observations up to 4 s.
func lag2(at int64) remotewrite.Series {
	s := lag(at)
	s.Labels[1].Value = "plant-2"
	s.Exemplars[0].Value = 3
	s.Histograms[0] = remotewrite.Histogram{
		Timestamp: at, Count: 100, Sum: 300, Gauge: true,
		Native: &remotewrite.Native{
			Schema: 2, ZeroThreshold: 1e-9,
			PositiveSpans: []remotewrite.Span{{Offset: 5, Length: 3}}, PositiveDeltas: []int64{50, -20, -10},
		},
	}
	return s
}
