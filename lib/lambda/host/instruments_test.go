package host_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	lambdahost "github.com/insighthub/insighthub/lib/lambda/host"
	"github.com/insighthub/insighthub/lib/lambda/metrics/metricstest"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// waits is a handler that waits as for a stream.
type waits time.Duration

func (w waits) Invoke(context.Context, []byte) ([]byte, error) {
	time.Sleep(time.Duration(w))
	return []byte("done"), nil
}

func variables(values map[string]string) func(string) string {
	return func(name string) string { return values[name] }
}

func TestInstrumentsNameEveryProblem(t *testing.T) {
	_, err := lambdahost.NewInstruments(variables(map[string]string{
		"REMOTE_WRITE_SIGV4": "perhaps", "METRICS_INTERVAL_SECONDS": "0", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "much",
	}), aws.Config{})
	if !errors.Is(err, telemetry.ErrInvalid) {
		t.Fatalf("got %v", err)
	}
	for _, name := range []string{"REMOTE_WRITE_SIGV4", "METRICS_INTERVAL_SECONDS", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE"} {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("%v does not name %s", err, name)
		}
	}
	if _, err := lambdahost.NewInstruments(variables(map[string]string{"REMOTE_WRITE_URL": "nonsense"}), aws.Config{}); err == nil {
		t.Error("no error for an address that is none")
	}
}

func TestInstrumentsWithoutPrometheus(t *testing.T) {
	i, err := lambdahost.NewInstruments(variables(nil), aws.Config{})
	if err != nil {
		t.Fatal(err)
	}
	h, err := i.Observe(waits(0))
	if err != nil {
		t.Fatal(err)
	}
	metricstest.Check(t, h, "insighthub_invocations_total")
	if answer, err := h.Invoke(t.Context(), nil); err != nil || string(answer) != "done" {
		t.Errorf("%s, %v", answer, err)
	}
}

// What Prometheus answers, or that it is not there, is nothing to the invocation.
func TestPrometheusDoesNotMatter(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"refuses": func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "out of bounds", http.StatusBadRequest) },
		"fails":   func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
		"throttles": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "30")
			w.WriteHeader(http.StatusTooManyRequests)
		},
		"is away": nil,
	} {
		t.Run(name, func(t *testing.T) {
			var requests atomic.Int32
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				requests.Add(1)
				_, _ = io.Copy(io.Discard, r.Body)
				answer(w, r)
			}))
			if answer == nil {
				server.Close()
			} else {
				defer server.Close()
			}
			// A flush has a second, and the last one a quarter. A machine that stands still for as
			// long has it cut off, which is not what this looks for: then it is done again.
			for giveUp := time.Now().Add(2 * time.Minute); ; {
				requests.Store(0)
				failed, inTime := invocationsBeside(t, server.URL)
				// The first and the last; a refusal is settled, and looked into with a few requests.
				good, want := failed == 2 && requests.Load() <= 2, "2 and 2"
				if name == "refuses" {
					good, want = failed == 0 && requests.Load() <= 60, "none and a few"
				}
				if good {
					return
				}
				if inTime || time.Now().After(giveUp) {
					t.Fatalf("%v flushes failed, %d requests, want %s", failed, requests.Load(), want)
				}
			}
		})
	}
}

// invocationsBeside invokes a function whose Prometheus is at that address, and shuts it
// down. It returns how many flushes failed, and whether they had all the time they may take.
func invocationsBeside(t *testing.T, address string) (failed float64, inTime bool) {
	t.Helper()
	i, err := lambdahost.NewInstruments(variables(map[string]string{"REMOTE_WRITE_URL": address, "METRICS_INTERVAL_SECONDS": "300"}), aws.Config{})
	if err != nil {
		t.Fatal(err)
	}
	h, err := i.Observe(waits(0))
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	for range 100 {
		if answer, err := h.Invoke(t.Context(), nil); err != nil || string(answer) != "done" {
			t.Fatalf("%s, %v", answer, err)
		}
	}
	h.(interface{ Shutdown(ctx context.Context) }).Shutdown(t.Context())
	inTime = time.Since(start) < 250*time.Millisecond
	families, err := i.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "insighthub_metrics_flushes_total" {
			failed = f.GetMetric()[0].GetCounter().GetValue() // failed, written
		}
	}
	return failed, inTime
}

// BenchmarkFlush is the latency of invocations that wait 5 ms for their stream: of
// those that begin a flush, and of the others. It runs in one process with the server,
// so with one processor (-cpu 1) it is worse than the truth.
func BenchmarkFlush(b *testing.B) {
	for _, c := range []struct {
		name  string
		takes time.Duration
	}{{"Prometheus=2ms", 2 * time.Millisecond}, {"Prometheus=20ms", 20 * time.Millisecond}, {"Prometheus=hangs", 1500 * time.Millisecond}} {
		b.Run(c.name, func(b *testing.B) {
			flushes := make(chan struct{}, 100_000)
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				flushes <- struct{}{}
				_, _ = io.Copy(io.Discard, r.Body)
				time.Sleep(c.takes)
				w.WriteHeader(http.StatusNoContent)
			}))
			defer server.Close()
			i, err := lambdahost.NewInstruments(variables(map[string]string{
				"REMOTE_WRITE_URL": server.URL, "METRICS_INTERVAL_SECONDS": "1", "REMOTE_WRITE_SIGV4": "true",
			}), aws.Config{Region: "eu-west-1", Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
				return aws.Credentials{AccessKeyID: "none", SecretAccessKey: "none"}, nil
			})})
			if err != nil {
				b.Fatal(err)
			}
			h, err := i.Observe(waits(5 * time.Millisecond))
			if err != nil {
				b.Fatal(err)
			}
			var plain, flushing []time.Duration
			for b.Loop() {
				start := time.Now()
				if _, err := h.Invoke(b.Context(), nil); err != nil {
					b.Fatal(err)
				}
				took := time.Since(start)
				select {
				case <-flushes:
					flushing = append(flushing, took)
				default:
					plain = append(plain, took)
				}
			}
			for name, all := range map[string][]time.Duration{"plain": plain, "flushing": flushing} {
				if len(all) == 0 {
					continue
				}
				slices.Sort(all)
				b.ReportMetric(all[len(all)/2].Seconds()*1e3, fmt.Sprintf("%s-p50-ms", name))
				b.ReportMetric(all[len(all)*99/100].Seconds()*1e3, fmt.Sprintf("%s-p99-ms", name))
			}
			b.ReportMetric(float64(len(flushing)), "flushes")
		})
	}
}
