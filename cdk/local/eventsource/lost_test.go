package eventsource

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// Whatever fails, and however often the mapping is restarted: each record is processed or
// in the on-failure destination, and the first deliveries of a partition key are in its
// order.
func TestNothingIsLost(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		seed := rapid.Uint64().Draw(rt, "seed")
		change := func(s *Settings) {
			s.BatchSize = rapid.IntRange(1, 20).Draw(rt, "batch size")
			s.Parallelization = rapid.IntRange(1, 4).Draw(rt, "lanes")
			s.BisectOnError = rapid.Bool().Draw(rt, "bisect")
			s.MaxRetries = rapid.IntRange(0, 3).Draw(rt, "retries")
			s.Window = time.Duration(rapid.IntRange(0, 2).Draw(rt, "window")) * time.Second
			if rapid.Bool().Draw(rt, "age") {
				s.MaxRecordAge = time.Minute
			} else {
				s.MaxRecordAge = Infinite
			}
		}
		records := rapid.IntRange(1, 120).Draw(rt, "records")
		restarts := rapid.IntRange(0, 3).Draw(rt, "restarts")
		synctest.Test(t, func(t *testing.T) {
			if problem := survive(t, rand.New(rand.NewPCG(seed, 1)), change, records, restarts); problem != "" {
				rt.Fatal(problem)
			}
		})
	})
}

func survive(t *testing.T, random *rand.Rand, change func(*Settings), records, restarts int) string {
	t.Helper()
	settings := testSettings()
	change(&settings)
	fixed := func(s *Settings) { *s = settings }
	r := newRig(nil)
	faults := rand.New(rand.NewPCG(random.Uint64(), 2))
	r.fn.respond = func(_ int, s []string) (Response, error) {
		r.fn.mu.Lock()
		defer r.fn.mu.Unlock()
		switch faults.IntN(10) {
		case 0:
			return Response{FunctionError: "Unhandled"}, nil
		case 1:
			return Response{}, ErrThrottled
		case 2, 3:
			return failure(s[faults.IntN(len(s))]), nil
		case 4:
			return failure("unknown"), nil
		default:
			return Response{}, nil
		}
	}
	r.fn.takes = 20 * time.Millisecond
	const child = "shardId-000000000001"
	r.stream.open(Shard{ID: child, ParentID: shard0})
	m := r.start(t, fixed)
	for i := range records {
		shard := shard0
		if i > records/2 {
			shard = child
		}
		r.stream.put(shard, fmt.Sprintf("gw-%d", random.IntN(7)))
		time.Sleep(time.Duration(random.IntN(30)) * time.Millisecond)
		if i == records/2 {
			r.stream.end(shard0)
		}
		if restarts > 0 && random.IntN(records) < 3 {
			restarts--
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(random.IntN(40))*time.Millisecond)
			if err := m.Close(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
			cancel()
			m = r.start(t, fixed)
		}
	}
	for range 24 * 60 {
		if settle(time.Minute); m.Idle() {
			break
		}
	}
	idle, lag := m.Idle(), m.Lag()
	mustClose(t, m)
	if !idle || lag != 0 {
		return fmt.Sprintf("idle %v, lag %d after a day, want true and 0", idle, lag)
	}
	if r.fn.overlap != "" {
		return "two invocations at once for " + r.fn.overlap
	}
	discarded := r.sink.sequences(t)
	for i := 101; i <= 100+records; i++ {
		if s := fmt.Sprintf("%056d", i); !r.fn.done[s] && discarded[s] == 0 {
			return "lost record " + s
		}
	}
	last := map[string]string{}
	for _, s := range r.fn.seen {
		key := r.fn.keys[s]
		if s < last[key] {
			return fmt.Sprintf("%s: %s delivered after %s", key, s, last[key])
		}
		last[key] = s
	}
	return ""
}
