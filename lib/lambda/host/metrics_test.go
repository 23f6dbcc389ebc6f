package host_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync/atomic"
	"testing"
	"time"
)

// waits is a handler that takes as long as a write to a stream.
type waits time.Duration

func (w waits) Invoke(context.Context, []byte) ([]byte, error) {
	time.Sleep(time.Duration(w))
	return []byte("done"), nil
}

// An invocation succeeds whatever Prometheus responds, and when it is unavailable.
func TestPrometheusDoesNotMatter(t *testing.T) {
	for name, respond := range map[string]http.HandlerFunc{
		"rejects": func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "out of bounds", http.StatusBadRequest) },
		"fails":   func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
		"throttles": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "30")
			w.WriteHeader(http.StatusTooManyRequests)
		},
		"is unavailable": nil,
	} {
		t.Run(name, func(t *testing.T) {
			var requests atomic.Int32
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				requests.Add(1)
				_, _ = io.Copy(io.Discard, r.Body)
				respond(w, r)
			}))
			if respond == nil {
				server.Close()
			} else {
				defer server.Close()
			}
			// The last flush has 250 ms, and the writer sends nothing in the last 50 ms of that.
			// On a machine that is stalled for so long the flush fails, which this does not test:
			// then it repeats.
			for giveUp := time.Now().Add(2 * time.Minute); ; {
				requests.Store(0)
				failed, inTime := failedFlushes(t, server.URL)
				// The first flush and the last. Rejected samples do not fail a flush; a receiver that
				// rejects every request is sent each sample alone.
				good, want := failed == 2 && requests.Load() <= 2, "2 and 2"
				if name == "rejects" {
					good, want = failed == 0 && requests.Load() <= 120, "none and one for each sample"
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

// failedFlushes invokes a function that writes to the Prometheus at address, and shuts it
// down. It returns how many flushes failed, and whether all were within their timeouts.
func failedFlushes(t *testing.T, address string) (failed float64, inTime bool) {
	t.Helper()
	instance := newInstance(t, waits(0), map[string]string{"REMOTE_WRITE_URL": address, "METRICS_INTERVAL_SECONDS": "300"})
	start := time.Now()
	for range 100 {
		if got, err := instance.Invoke(t.Context(), nil); err != nil || string(got) != "done" {
			t.Fatalf("got %s, %v, want done", got, err)
		}
	}
	instance.Shutdown(t.Context())
	inTime = time.Since(start) < 200*time.Millisecond // the timeout of the last flush without the writer's margin
	families, err := instance.Gather()
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

// BenchmarkFlush measures the latency of invocations that wait 5 ms for their stream: of
// those that begin a flush, and of the others. The server runs in the same process, so
// with one processor (-cpu 1) the result is pessimistic.
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
			instance := newInstance(b, waits(5*time.Millisecond), map[string]string{
				"REMOTE_WRITE_URL": server.URL, "METRICS_INTERVAL_SECONDS": "1", "REMOTE_WRITE_SIGV4": "true",
			})
			var plain, flushing []time.Duration
			for b.Loop() {
				start := time.Now()
				if _, err := instance.Invoke(b.Context(), nil); err != nil {
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
