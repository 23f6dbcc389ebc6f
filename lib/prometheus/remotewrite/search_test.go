package remotewrite_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/insighthub/insighthub/lib/prometheus/remotewrite"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// shape is how 5,000 samples are spread over series, and where the bad ones are.
type shape struct {
	name    string
	samples int                      // of each series
	bad     func(r *rand.Rand) []int // positions
}

func shapes(total, bad int) []shape {
	every := func(first int) func(*rand.Rand) []int {
		return func(*rand.Rand) (at []int) {
			for i := range bad {
				at = append(at, first+i*(total/max(bad, 1)))
			}
			return at
		}
	}
	run := func(from, n int) []int {
		at := make([]int, n)
		for i := range at {
			at[i] = from + i
		}
		return at
	}
	random := func(r *rand.Rand) []int { return r.Perm(total)[:bad] }
	return []shape{
		{"random", 1, random},
		{"random, ten samples a series", 10, random},
		{"the first", 1, func(*rand.Rand) []int { return run(0, bad) }},
		{"the last", 1, func(*rand.Rand) []int { return run(total-bad, bad) }},
		{"a run in the middle", 1, func(*rand.Rand) []int { return run(total/2-7, bad) }},
		{"runs of five", 1, func(r *rand.Rand) (at []int) {
			for _, i := range r.Perm(total / 5)[:bad/5] {
				at = append(at, run(5*i, 5)...)
			}
			return at
		}},
		{"every hundredth, from the first", 1, every(0)},
		{"every hundredth, to the last", 1, every(total/max(bad, 1) - 1)},
		{"every other of a stretch", 1, func(*rand.Rand) (at []int) {
			for i := range bad {
				at = append(at, 1000+2*i)
			}
			return at
		}},
		{"all in one series", 100, func(*rand.Rand) []int { return run(1200, bad) }},
		{"one in each series", 100, every(50)},
	}
}

// TestSearchRequests holds what a receiver that rejects requests as a whole gets, and in how
// many requests. With -v it prints the table of docs/bench/remote-write.md.
func TestSearchRequests(t *testing.T) {
	t.Parallel()
	const total = 5000
	clean := &strict{}
	if got, err := newStrict(t, clean).Write(t.Context(), gauges(total, 1000)); err != nil || got.Samples != total {
		t.Fatalf("%+v, %v", got, err)
	}
	for _, bad := range []int{1, 5, 50, 500} {
		for _, shape := range shapes(total, bad) {
			if bad < 5 && shape.name == "runs of five" || bad > 100 && strings.Contains(shape.name, "series") {
				continue
			}
			seeds := uint64(1)
			if bad == 50 && shape.name == "random" {
				seeds = 3
			}
			most, least := 0, 1<<30
			for seed := range seeds {
				requests := testSearch(t, shape, total, shape.bad(rand.New(rand.NewPCG(seed, 1))))
				if limit := 3*clean.requests + 20*bad; requests > limit {
					t.Errorf("%s, %d bad: %d requests, want at most %d", shape.name, bad, requests, limit)
				}
				most, least = max(most, requests), min(least, requests)
			}
			t.Logf("| %d | %s | %d of %d | %d to %d | %d |", bad, shape.name, total-bad, total-bad, least, most, 3*clean.requests+20*bad)
		}
	}
}

// testSearch writes total samples, of which those at some positions are bad, and returns the
// number of requests.
func testSearch(t *testing.T, shape shape, total int, bad []int) int {
	t.Helper()
	faulty := make(map[int]bool)
	for _, i := range bad {
		faulty[i] = true
	}
	times := make([]int64, shape.samples)
	for i := range times {
		times[i] = int64(1000 * (i + 1))
	}
	receiver := &strict{bad: func(labels string, at int64) bool {
		return faulty[deviceOf(labels)*shape.samples+int(at/1000)-1]
	}}
	got, err := newStrict(t, receiver).Write(t.Context(), gauges(total/shape.samples, times...))
	if err != nil {
		t.Fatal(err)
	}
	want := total - len(bad)
	if got.Samples != want || receiver.total() != want || len(got.Rejected) != len(bad) || got.Settled != total/shape.samples {
		t.Errorf("%s: %d written, %d stored, %d rejected; want %d and %d",
			shape.name, got.Samples, receiver.total(), len(got.Rejected), want, len(bad))
	}
	for _, j := range got.Rejected {
		if !j.Isolated || !j.Duplicate || j.Samples != 1 || j.Cause != remotewrite.OutOfOrder ||
			!faulty[j.Series*shape.samples+int(j.First/1000)-1] {
			t.Errorf("%s: rejected %+v", shape.name, j)
		}
	}
	receiver.checkOrder(t)
	return got.Requests
}

// The reason of a rejected request is about one of its samples. Of the others it says nothing.
func TestGoodNeighboursOfOutOfOrderSamplesAreWritten(t *testing.T) {
	t.Parallel()
	receiver := &strict{}
	c := newStrict(t, receiver)
	// Forty series have a newer sample already.
	if _, err := c.Write(t.Context(), gauges(40, 9000)); err != nil {
		t.Fatal(err)
	}
	got, err := c.Write(t.Context(), gauges(4000, 1000))
	if err != nil || got.Samples != 3960 || receiver.total() != 4000 || got.RejectedSamples() != 40 {
		t.Errorf("%d written, %d stored, %d rejected, %v", got.Samples, receiver.total(), got.RejectedSamples(), err)
	}
	for _, j := range got.Rejected {
		if !j.Duplicate || j.Series >= 40 {
			t.Errorf("%+v", j)
		}
	}
}

// A receiver of ten samples a request gets everything, and its limit is remembered.
func TestSizeOfRequestsIsLearned(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		most, status, samples int
	}{
		"400, one sample a series":    {10, http.StatusBadRequest, 1},
		"400, fifty samples a series": {10, http.StatusBadRequest, 50},
		"413":                         {10, http.StatusRequestEntityTooLarge, 1},
		"413, one sample a request":   {1, http.StatusRequestEntityTooLarge, 1},
		"400, one sample a request":   {1, http.StatusBadRequest, 50},
		"400, 999 samples":            {999, http.StatusBadRequest, 1},
		"413, 4,999 samples":          {4999, http.StatusRequestEntityTooLarge, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			receiver := &strict{most: tc.most, mostStatus: tc.status}
			now := time.Unix(1000, 0)
			c := newStrict(t, receiver, func(cfg *remotewrite.Config) { cfg.Now = func() time.Time { return now } })
			times := make([]int64, tc.samples)
			for n := range 2 {
				for i := range times {
					times[i] = int64(1_000_000*n + i)
				}
				got, err := c.Write(t.Context(), gauges(5000/tc.samples, times...))
				if err != nil || got.Samples != 5000 || len(got.Rejected) > 0 || receiver.total() != 5000*(n+1) {
					t.Fatalf("write %d: %d written, %d rejected, %d stored, %v", n, got.Samples, len(got.Rejected), receiver.total(), err)
				}
				// A clean run has as few requests as the receiver allows.
				clean := (5000 + tc.most - 1) / tc.most
				if limit := []int{clean*11/10 + 60, clean + clean/10 + 5}[n]; got.Requests > limit {
					t.Errorf("write %d: %d requests, want at most %d", n, got.Requests, limit)
				}
				t.Logf("write %d: %d requests", n, got.Requests)
			}
			receiver.checkOrder(t)
			// After a while the limit is tried again: it may have been raised.
			receiver.most, now = 0, now.Add(time.Hour)
			if got, err := c.Write(t.Context(), gauges(5000, 9_000_000)); err != nil || got.Requests != 1 {
				t.Errorf("%d requests after an hour, %v", got.Requests, err)
			}
		})
	}
}

// A replay, in which the receiver rejects every sample, costs a request for each and few more,
// not a search for each: each must be tried alone, because any could be new.
func TestReplayIsOneRequestASample(t *testing.T) {
	t.Parallel()
	receiver := &strict{}
	c := newStrict(t, receiver)
	if _, err := c.Write(t.Context(), gauges(2000, 9000)); err != nil {
		t.Fatal(err)
	}
	before := receiver.total()
	series := gauges(3000, 1000) // the last thousand are new
	got, err := c.Write(t.Context(), series)
	if err != nil || got.Samples != 1000 || receiver.total() != before+1000 || got.RejectedSamples() != 2000 {
		t.Errorf("%d written, %d rejected, %v", got.Samples, got.RejectedSamples(), err)
	}
	if got.Requests > 2000+35 {
		t.Errorf("%d requests", got.Requests)
	}
	// The newest again is accepted, in one request.
	if got, err := c.Write(t.Context(), gauges(2000, 9000)); err != nil || got.Requests != 1 || len(got.Rejected) > 0 {
		t.Errorf("%+v, %v", got, err)
	}
}

// What the deadline leaves is not written, not rejected and not a duplicate.
func TestDeadlineOfASearch(t *testing.T) {
	t.Parallel()
	for _, requests := range []int{1, 2, 5, 40, 100} {
		ctx, cancel := context.WithCancel(t.Context())
		receiver := &strict{bad: func(labels string, _ int64) bool { return deviceOf(labels)%20 == 3 }}
		receiver.script = func(n int) (int, bool, http.Header) {
			if n == requests {
				cancel() // before it is processed
			}
			return 0, false, nil
		}
		series := gauges(500, 1000, 2000)
		c := newStrict(t, receiver)
		got, err := c.Write(ctx, series)
		retry, ok := errors.AsType[*remotewrite.RetryError](err)
		if !ok || !errors.Is(err, telemetry.ErrUnavailable) || retry.Wait <= 0 {
			t.Fatalf("%v", err)
		}
		if got.Samples != receiver.total() || got.Requests != requests {
			t.Errorf("%d requests: %d counted as written, %d are", got.Requests, got.Samples, receiver.total())
		}
		rejected := got.RejectedSamples()
		// Of the first unsettled series one sample may be settled.
		left := 2 * (500 - got.Settled)
		if got.NotSent > left || got.NotSent < left-1 || got.Samples+rejected+got.NotSent < 999 || got.Samples+rejected+got.NotSent > 1000 {
			t.Errorf("%d requests: %d written, %d rejected, %d not sent, %d series settled",
				requests, got.Samples, rejected, got.NotSent, got.Settled)
		}
		for _, j := range got.Rejected {
			if deviceOf("device=press-"+fmt.Sprint(j.Series)+";")%20 != 3 || j.Series >= got.Settled {
				t.Errorf("rejected %+v", j)
			}
		}
		receiver.script = nil
		again, err := c.Write(t.Context(), series[got.Settled:])
		if err != nil || receiver.total() != 950 || again.NotSent != 0 || rejected+again.RejectedSamples() < 50 {
			t.Errorf("the rest: %d stored, %+v, %v", receiver.total(), again, err)
		}
	}
}

// Between the requests of a search the receiver may fail, ask for a pause, or be cut off.
func TestSearchGoesOnAfterFailures(t *testing.T) {
	t.Parallel()
	for name, script := range map[string]func(n int) (int, bool, http.Header){
		"503": func(n int) (int, bool, http.Header) { return every(n, 3, 503), false, nil },
		"429": func(n int) (int, bool, http.Header) {
			return every(n, 2, 429), false, http.Header{"Retry-After": {"0"}}
		},
		"lost responses": func(n int) (int, bool, http.Header) { return every(n, 4, 1), true, nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			receiver := &strict{bad: func(labels string, at int64) bool { return deviceOf(labels)%50 == 7 && at == 2000 }}
			receiver.script = func(n int) (int, bool, http.Header) {
				status, lost, header := script(n)
				return status, lost && status != 0, header
			}
			// One sample a series: what was written although its response was lost is accepted again.
			got, err := newStrict(t, receiver).Write(t.Context(), gauges(500, 2000))
			if err != nil || got.Samples != 490 || receiver.total() != 490 || got.RejectedSamples() != 10 || got.Retries == 0 {
				t.Errorf("%d stored, %+v, %v", receiver.total(), got, err)
			}
		})
	}
}

func every(n, period, status int) int {
	if n%period == 0 {
		return status
	}
	return 0
}

// A request that is rejected once and accepted in parts has lost nothing, and the next one is
// of full size again, or nearly.
func TestOneRejectionWithoutACause(t *testing.T) {
	t.Parallel()
	receiver := &strict{}
	receiver.script = func(n int) (int, bool, http.Header) {
		if n == 1 {
			return http.StatusBadRequest, false, nil
		}
		return 0, false, nil
	}
	c := newStrict(t, receiver)
	got, err := c.Write(t.Context(), gauges(1000, 1000))
	if err != nil || got.Samples != 1000 || len(got.Rejected) > 0 || got.Requests > 15 {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := c.Write(t.Context(), gauges(1000, 2000)); err != nil || got.Samples != 1000 || got.Requests > 4 {
		t.Errorf("%+v, %v", got, err)
	}
}

// Cortex and Mimir write what they accept of a request that they respond to with 400.
func TestReceiverThatWritesInPart(t *testing.T) {
	t.Parallel()
	receiver := &strict{partial: true, bad: func(labels string, _ int64) bool { return deviceOf(labels)%100 == 50 }}
	got, err := newStrict(t, receiver).Write(t.Context(), gauges(1000, 1000))
	if err != nil || receiver.total() != 990 || got.Samples != 990 || got.RejectedSamples() != 10 {
		t.Errorf("%d stored, %+v, %v", receiver.total(), got, err)
	}
}

// TestSearchProperty writes random samples to random receivers: what is good arrives, what is
// bad is named, and each series is in the order of time.
func TestSearchProperty(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		devices, samples := rapid.IntRange(1, 60).Draw(t, "devices"), rapid.IntRange(1, 6).Draw(t, "samples")
		bad := make(map[[2]int]bool)
		for range rapid.IntRange(0, 80).Draw(t, "bad") {
			bad[[2]int{rapid.IntRange(0, devices-1).Draw(t, "device"), rapid.IntRange(1, samples).Draw(t, "sample")}] = true
		}
		receiver := &strict{
			most: rapid.IntRange(0, 30).Draw(t, "most"), mostStatus: rapid.SampledFrom([]int{400, 413}).Draw(t, "status"),
			bad: func(labels string, at int64) bool { return bad[[2]int{deviceOf(labels), int(at / 1000)}] },
		}
		failing := rapid.IntRange(0, 5).Draw(t, "failing")
		receiver.script = func(n int) (int, bool, http.Header) {
			if failing > 1 && n%failing == 0 {
				return 503, false, nil
			}
			return 0, false, nil
		}
		times := make([]int64, samples)
		for i := range times {
			times[i] = int64(1000 * (samples - i)) // the client sorts them
		}
		c := newClient(t, "http://127.0.0.1/", func(cfg *remotewrite.Config) {
			cfg.HTTP, cfg.Protocol = receiver, remotewrite.V1
			cfg.MaxSamples = rapid.SampledFrom([]int{7, 100, 5000}).Draw(t, "limit")
			cfg.BackoffBase, cfg.BackoffCap = 1, 1
		})
		got, err := c.Write(context.Background(), gauges(devices, times...))
		want := devices*samples - len(bad)
		if err != nil || got.Samples != want || receiver.total() != want || got.RejectedSamples() != len(bad) || got.NotSent != 0 {
			t.Fatalf("%d stored, want %d; %d rejected, want %d; %+v, %v", receiver.total(), want, got.RejectedSamples(), len(bad), got, err)
		}
		for _, j := range got.Rejected {
			if !j.Isolated || !bad[[2]int{j.Series, int(j.First / 1000)}] {
				t.Fatalf("rejected %+v", j)
			}
		}
		receiver.checkOrder(t)
	})
}
