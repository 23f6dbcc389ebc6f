package timescale

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/insighthub/insighthub/lib/attempt"
)

// TestAttemptsModel compares random attempts of few names from few networks with the rules of
// lib/attempt, whose simulations say what they lead to.
func TestAttemptsModel(t *testing.T) {
	t.Parallel()
	pool := migrated(t, FlavourPlain)
	random := rand.New(rand.NewPCG(11, 2))
	counters := make(map[attempt.Key]attempt.Counter)
	sources := make(map[attempt.Keys]attempt.State)
	now, locks := noon.Time(), 0
	for range 2000 {
		now = now.Add(time.Duration(random.IntN(4)) * time.Second)
		if random.IntN(100) == 0 {
			now = now.Add(time.Duration(random.IntN(30)) * time.Hour)
		}
		if random.IntN(500) == 0 {
			now = now.Add(attempt.KnownFor)
		}
		keys := attempt.KeysOf(fmt.Sprint("name-", random.IntN(60)*random.IntN(2)), fmt.Sprint("192.0.2.", random.IntN(3)))
		s := sources[keys]
		s.Name, s.Network = counters[keys.Name], counters[keys.Network]
		want := s.Begin(now)
		locked, err := pool.BeginAttempt(t.Context(), keys, now)
		if err != nil || !locked.Equal(want) {
			t.Fatalf("at %v: got a lock until %v, %v, want %v", now, locked, err, want)
		}
		if !locked.IsZero() {
			locks++
		} else if random.IntN(5) == 0 {
			s.Succeed(now)
			if err := pool.SucceedAttempt(t.Context(), keys, now); err != nil {
				t.Fatal(err)
			}
		}
		counters[keys.Name], counters[keys.Network], sources[keys] = s.Name, s.Network, s
	}
	if locks < 100 || locks > 1900 {
		t.Errorf("got %d of 2000 attempts locked, want some of both", locks)
	}
}

// TestParallelAttempts: of many attempts at once, no more are let through than are free.
func TestParallelAttempts(t *testing.T) {
	t.Parallel()
	pool := migrated(t, FlavourPlain)
	for name, keys := range map[string]func(i int) attempt.Keys{
		"one place":   func(int) attempt.Keys { return attempt.KeysOf("ada", "192.0.2.1") },
		"many places": func(i int) attempt.Keys { return attempt.KeysOf("bob", fmt.Sprint("198.51.100.", i)) },
		"known place": func(int) attempt.Keys { return attempt.KeysOf("eve", "192.0.2.9") },
	} {
		if name == "known place" {
			if err := pool.SucceedAttempt(t.Context(), keys(0), noon.Time()); err != nil {
				t.Fatal(err)
			}
		}
		var mu sync.Mutex
		var group sync.WaitGroup
		through := 0
		for i := range 40 {
			group.Go(func() {
				locked, err := pool.BeginAttempt(t.Context(), keys(i), noon.Time())
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					t.Error(err)
				} else if locked.IsZero() {
					through++
				}
			})
		}
		group.Wait()
		if through != attempt.FreeByName {
			t.Errorf("%s: got %d of 40 attempts at once through, want %d", name, through, attempt.FreeByName)
		}
	}
}

// TestAttemptsAreBounded: a flood of locked attempts adds no row, rows that count no more are
// deleted, and a name is known at the latest places only.
func TestAttemptsAreBounded(t *testing.T) {
	t.Parallel()
	pool := migrated(t, FlavourPlain)
	const rows = "SELECT (SELECT count(*) FROM login_attempt) + (SELECT count(*) FROM login_source)"
	now := noon.Time()
	for i := range 300 {
		if _, err := pool.BeginAttempt(t.Context(), attempt.KeysOf(fmt.Sprint("name-", i), "192.0.2.1"), now); err != nil {
			t.Fatal(err)
		}
	}
	if n := query[int64](t, pool, rows); n != 2*attempt.FreeByNetwork+1 {
		t.Errorf("got %d rows for 300 names from one network, want %d", n, 2*attempt.FreeByNetwork+1)
	}
	now = now.Add(attempt.ForgetName + time.Minute)
	for i := range 20 {
		if _, err := pool.BeginAttempt(t.Context(), attempt.KeysOf("ada", fmt.Sprint("198.51.100.", i)), now); err != nil {
			t.Fatal(err)
		}
		now = now.Add(attempt.LongestWait + time.Second)
	}
	if n := query[int64](t, pool, rows); n > 41 {
		t.Errorf("got %d rows a day later, want those of the last 20 attempts alone", n)
	}
	for i := range attempt.MaxKnown + 5 {
		now = now.Add(time.Second)
		if err := pool.SucceedAttempt(t.Context(), attempt.KeysOf("eve", fmt.Sprint("203.0.113.", i)), now); err != nil {
			t.Fatal(err)
		}
	}
	if n := query[int64](t, pool, "SELECT count(*) FROM login_source WHERE succeeded_at IS NOT NULL"); n != attempt.MaxKnown {
		t.Errorf("got %d known networks, want %d", n, attempt.MaxKnown)
	}
}
