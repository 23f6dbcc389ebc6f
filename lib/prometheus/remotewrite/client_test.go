package remotewrite_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	awsconfig "github.com/insighthub/insighthub/lib/aws/config"
	"github.com/insighthub/insighthub/lib/prometheus/remotewrite"
	"github.com/insighthub/insighthub/lib/telemetry"
)

func TestWriteNegotiatesTheProtocol(t *testing.T) {
	for name, tc := range map[string]struct {
		arrange  func(*receiver)
		protocol remotewrite.Protocol
		want     remotewrite.Protocol
		requests int // for two writes
	}{
		"2.0":                         {func(r *receiver) { r.supports2 = true }, remotewrite.Auto, remotewrite.V2, 2},
		"415 from an older one":       {func(r *receiver) { r.responds415 = true }, remotewrite.Auto, remotewrite.V1, 3},
		"an older one that says 2xx":  {func(*receiver) {}, remotewrite.Auto, remotewrite.V1, 3},
		"an older one that says 400":  {func(r *receiver) { r.script = first400 }, remotewrite.Auto, remotewrite.V1, 3},
		"1.0 by configuration":        {func(r *receiver) { r.supports2 = true }, remotewrite.V1, remotewrite.V1, 2},
		"2.0 by configuration":        {func(r *receiver) { r.supports2 = true }, remotewrite.V2, remotewrite.V2, 2},
		"2.0 after a moment's outage": {func(r *receiver) { r.supports2, r.script = true, first503 }, remotewrite.Auto, remotewrite.V2, 3},
	} {
		t.Run(name, func(t *testing.T) {
			r := newReceiver(t)
			tc.arrange(r)
			c := newClient(t, r.URL, func(cfg *remotewrite.Config) { cfg.Protocol = tc.protocol })
			for i := range 2 {
				got, err := c.Write(t.Context(), gauges(7, int64(1000*(i+1))))
				if err != nil {
					t.Fatal(err)
				}
				if got.Protocol != tc.want || got.Samples != 7 || got.Settled != 7 || len(got.Rejected) > 0 {
					t.Errorf("write %d: %+v, want protocol %s", i, got, tc.want)
				}
			}
			if len(r.requests) != tc.requests || r.total() != 14 {
				t.Errorf("%d requests, %d samples stored; want %d and 14", len(r.requests), r.total(), tc.requests)
			}
			h := r.requests[len(r.requests)-1].header
			want := map[remotewrite.Protocol][2]string{
				remotewrite.V1: {"application/x-protobuf", "0.1.0"},
				remotewrite.V2: {"application/x-protobuf;proto=io.prometheus.write.v2.Request", "2.0.0"},
			}[tc.want]
			got := [2]string{h.Get("Content-Type"), h.Get("X-Prometheus-Remote-Write-Version")}
			if got != want || h.Get("Content-Encoding") != "snappy" {
				t.Errorf("got headers %v, want %v and snappy", h, want)
			}
		})
	}
}

func first400(n int, _ *http.Request) (int, map[string]string) {
	return firstly(n, http.StatusBadRequest)
}

func first503(n int, _ *http.Request) (int, map[string]string) {
	return firstly(n, http.StatusServiceUnavailable)
}

func firstly(n, status int) (int, map[string]string) {
	if n == 1 {
		return status, nil
	}
	return 0, nil
}

func TestForced2NeedsConfirmation(t *testing.T) {
	r := newReceiver(t)
	c := newClient(t, r.URL, func(cfg *remotewrite.Config) { cfg.Protocol = remotewrite.V2 })
	got, err := c.Write(t.Context(), gauges(1, 1))
	status, ok := errors.AsType[*remotewrite.StatusError](err)
	if !ok || status.Status != http.StatusNoContent || got.Samples != 0 || got.Settled != 0 {
		t.Errorf("got %+v, %v; want status 204 and nothing written", got, err)
	}
}

func TestWriteRetriesTransientErrors(t *testing.T) {
	for _, status := range []int{429, 500, 502, 503, 504} {
		r := newReceiver(t)
		r.script = func(n int, _ *http.Request) (int, map[string]string) {
			if n <= 3 {
				return status, nil
			}
			return 0, nil
		}
		c := newClient(t, r.URL, func(cfg *remotewrite.Config) { cfg.Protocol = remotewrite.V1 })
		got, err := c.Write(t.Context(), gauges(5, 1))
		if err != nil || got.Requests != 4 || got.Retries != 3 || got.Samples != 5 || r.total() != 5 {
			t.Errorf("%d: %+v, %v", status, got, err)
		}
	}
}

func TestWriteDoesNotRetryPermanentErrors(t *testing.T) {
	for _, status := range []int{301, 401, 403, 404, 405, 409, 422} {
		r := newReceiver(t)
		r.script = func(int, *http.Request) (int, map[string]string) { return status, nil }
		c := newClient(t, r.URL, func(cfg *remotewrite.Config) { cfg.Protocol = remotewrite.V1 })
		got, err := c.Write(t.Context(), gauges(5, 1))
		failure, ok := errors.AsType[*remotewrite.StatusError](err)
		if !ok || failure.Status != status || failure.Message != "scripted" || errors.Is(err, telemetry.ErrUnavailable) {
			t.Errorf("%d: got %v, want a status error that is permanent", status, err)
		}
		if got.Requests != 1 || got.Settled != 0 {
			t.Errorf("%d: got %+v, want one request and nothing settled", status, got)
		}
	}
}

func TestRetryEndsBeforeTheDeadlineAndReturnsTheWait(t *testing.T) {
	now := time.Now()
	for name, tc := range map[string]struct {
		header string
		least  time.Duration
	}{
		"seconds": {"120", 120 * time.Second},
		"a date":  {now.Add(2 * time.Minute).UTC().Format(http.TimeFormat), time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			r := newReceiver(t)
			r.script = func(n int, _ *http.Request) (int, map[string]string) {
				if n == 1 {
					return 0, nil
				}
				return 429, map[string]string{"Retry-After": tc.header}
			}
			c := newClient(t, r.URL, func(cfg *remotewrite.Config) { cfg.Protocol, cfg.MaxSamples = remotewrite.V1, 10 })
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			got, err := c.Write(ctx, gauges(25, 1))
			retry, ok := errors.AsType[*remotewrite.RetryError](err)
			if !ok || !errors.Is(err, telemetry.ErrUnavailable) {
				t.Fatalf("%v", err)
			}
			if retry.Status != 429 || retry.Wait < tc.least || retry.Wait > 2*time.Minute+time.Second || retry.Attempts != 1 {
				t.Errorf("got %+v, want one attempt, and a wait of at least %v", retry, tc.least)
			}
			if got.Settled != 10 || got.Samples != 10 {
				t.Errorf("got %+v, want 10 series settled", got)
			}
			if time.Since(now) > 50*time.Second {
				t.Error("got a wait that ends after the deadline")
			}
			r.mu.Lock()
			r.script = nil
			r.mu.Unlock()
			series := gauges(25, 1)
			if got, err := c.Write(ctx, series[got.Settled:]); err != nil || got.Samples != 15 || r.total() != 25 {
				t.Errorf("the rest: %+v, %v", got, err)
			}
		})
	}
}

func TestRetryAfterIsWaitedFor(t *testing.T) {
	r := newReceiver(t)
	r.script = func(n int, _ *http.Request) (int, map[string]string) {
		if n == 1 {
			return 503, map[string]string{"Retry-After": "1"}
		}
		return 0, nil
	}
	began := time.Now()
	got, err := newClient(t, r.URL).Write(t.Context(), gauges(1, 1))
	if err != nil || got.Retries != 1 || time.Since(began) < time.Second {
		t.Errorf("%+v, %v after %s", got, err, time.Since(began))
	}
}

func TestWriteRetriesNetworkErrors(t *testing.T) {
	r := newReceiver(t)
	broken := 0
	c := newClient(t, r.URL, func(cfg *remotewrite.Config) {
		cfg.HTTP = doer(func(req *http.Request) (*http.Response, error) {
			if broken++; broken <= 2 {
				return nil, errors.New("connection reset")
			}
			return http.DefaultClient.Do(req)
		})
		cfg.MaxAttempts = 3
	})
	got, err := c.Write(t.Context(), gauges(3, 1))
	if err != nil || got.Retries != 2 || r.total() != 3 {
		t.Errorf("%+v, %v", got, err)
	}
	broken = -10
	r.Close()
	_, err = c.Write(t.Context(), gauges(3, 2))
	if retry, ok := errors.AsType[*remotewrite.RetryError](err); !ok || retry.Status != 0 || retry.Attempts != 3 {
		t.Errorf("%v", err)
	}
}

type doer func(*http.Request) (*http.Response, error)

func (d doer) Do(r *http.Request) (*http.Response, error) { return d(r) }

func TestBisectionWritesTheOthersAndNamesTheRejected(t *testing.T) {
	for _, protocol := range []remotewrite.Protocol{remotewrite.V1, remotewrite.V2} {
		t.Run(protocol.String(), func(t *testing.T) {
			r := newReceiver(t)
			r.supports2 = true
			r.bad = func(labels string, at int64) bool {
				return strings.Contains(labels, named(123)) || strings.Contains(labels, named(977)) && at == 2000
			}
			c := newClient(t, r.URL, func(cfg *remotewrite.Config) { cfg.Protocol = protocol })
			series := gauges(1000, 1000, 2000, 3000)
			got, err := c.Write(t.Context(), series)
			if err != nil {
				t.Fatal(err)
			}
			if r.total() != 2996 || got.Samples != 2996 || got.RejectedSamples() != 4 || got.Settled != 1000 {
				t.Errorf("stored %d, %+v", r.total(), got)
			}
			seen := map[int]int{}
			for _, j := range got.Rejected {
				seen[j.Series]++
				if j.Series == remotewrite.Unknown {
					continue
				}
				if j.Labels != series[j.Series].String() || j.Status != 400 || !j.Isolated || !j.Duplicate ||
					!strings.Contains(j.Reason, "out of order") {
					t.Errorf("got rejection %+v", j)
				}
				if protocol == remotewrite.V1 && j.Series == 977 && (j.First != 2000 || j.Last != 2000 || j.Samples != 1) {
					t.Errorf("%+v", j)
				}
			}
			if seen[123] == 0 || seen[977] == 0 || len(seen) > 2 {
				t.Errorf("rejected %v", seen)
			}
			if protocol == remotewrite.V2 && got.Requests != 1 || got.Requests > 60 {
				t.Errorf("%d requests", got.Requests)
			}
		})
	}
}

func TestTooLargeRequestsAreHalved(t *testing.T) {
	r := newReceiver(t)
	r.script = func(_ int, req *http.Request) (int, map[string]string) {
		if req.ContentLength > 800 {
			return http.StatusRequestEntityTooLarge, nil
		}
		return 0, nil
	}
	c := newClient(t, r.URL, func(cfg *remotewrite.Config) { cfg.Protocol = remotewrite.V1 })
	if got, err := c.Write(t.Context(), gauges(100, 1)); err != nil || got.Samples != 100 || len(got.Rejected) != 0 || got.Requests < 3 {
		t.Errorf("%+v, %v", got, err)
	}
}

// The caller writes series[Settled:] again, so no rejection of these is reported yet.
func TestRejectionsAfterSettledAreNotReported(t *testing.T) {
	r := newReceiver(t)
	r.script = func(n int, _ *http.Request) (int, map[string]string) {
		if n == 2 {
			return http.StatusForbidden, nil
		}
		return 0, nil
	}
	c := newClient(t, r.URL, func(cfg *remotewrite.Config) { cfg.Protocol, cfg.MaxSamples = remotewrite.V1, 10 })
	series := gauges(30, 1)
	series[3].Samples, series[25].Samples = nil, nil
	got, err := c.Write(t.Context(), series)
	_, ok := errors.AsType[*remotewrite.StatusError](err)
	if !ok || got.Settled != 11 || len(got.Rejected) != 1 || got.Rejected[0].Series != 3 {
		t.Errorf("got %+v, %v; want 11 series settled and series 3 rejected", got, err)
	}
}

func TestWriteRejectsInvalidSeries(t *testing.T) {
	r := newReceiver(t)
	series := gauges(8, 1000)
	series[1].Labels[1].Value = "no spaces"
	series[2].Labels[0].Value = "\xff"
	series[3].Labels[0].Name = "device"
	series[4].Samples = nil
	series[5].Labels[0].Name = "9"
	series[6].Histograms = []remotewrite.Histogram{{}}
	series[7].Labels[3].Value = "" // left out
	got, err := newClient(t, r.URL).Write(t.Context(), series)
	if err != nil || got.Samples != 2 || len(got.Rejected) != 6 || r.total() != 2 || got.Settled != 8 {
		t.Fatalf("%+v, %v", got, err)
	}
	for _, m := range r.v1 {
		for _, ts := range m.Timeseries {
			for _, l := range ts.Labels {
				if l.Value == "" {
					t.Errorf("%s is empty", l.Name)
				}
			}
		}
	}
	for i, j := range got.Rejected {
		if j.Series != i+1 || j.Status != 0 || j.Reason == "" {
			t.Errorf("%+v", j)
		}
	}
}

func TestRequestsAreLimitedAndInOrder(t *testing.T) {
	for name, change := range map[string]func(*remotewrite.Config){
		"samples": func(cfg *remotewrite.Config) { cfg.MaxSamples = 7 },
		"bytes":   func(cfg *remotewrite.Config) { cfg.MaxBytes = 600 },
	} {
		t.Run(name, func(t *testing.T) {
			r := newReceiver(t)
			// Unsorted times; store fails the test when they arrive so.
			got, err := newClient(t, r.URL, change, func(cfg *remotewrite.Config) { cfg.Protocol = remotewrite.V1 }).
				Write(t.Context(), gauges(10, 5, 3, 9, 1, 7, 2, 8, 4, 6, 10))
			if err != nil || got.Samples != 100 || r.total() != 100 || got.Requests < 10 {
				t.Errorf("%+v, %v", got, err)
			}
			for _, m := range r.v1 {
				samples := 0
				for _, ts := range m.Timeseries {
					samples += len(ts.Samples)
				}
				if name == "samples" && samples > 7 || name == "bytes" && m.Size() > 600 {
					t.Errorf("%d samples, %d bytes", samples, m.Size())
				}
			}
		})
	}
}

func TestNewNamesEveryProblem(t *testing.T) {
	_, err := remotewrite.New(remotewrite.Config{URL: "prometheus:9090", SigV4: &awsconfig.SigV4{}})
	if !errors.Is(err, telemetry.ErrInvalid) {
		t.Fatal(err)
	}
	for _, want := range []string{"url", "region", "credentials"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("got %q, want %s in it", err, want)
		}
	}
}
