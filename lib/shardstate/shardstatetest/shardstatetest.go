// Package shardstatetest is the conformance suite of lib/shardstate, of the
// runner in lib/stream that loads and saves states, and of implementations of
// shardstate's ports.
//
// It runs a reference consumer under lib/stream.Runner and injects faults: invocations
// stop before any step, overlap, and are killed. The consumer sums values by key in
// windows of event time; its effects are the sums of closed windows. The values that
// the effects have set and the final states must equal those of an uninterrupted run,
// and each record must be counted once.
package shardstatetest

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/insighthub/insighthub/lib/shardstate"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// Run runs the suite; open returns an empty object store.
func Run(t *testing.T, open func(*testing.T) shardstate.Objects) {
	t.Helper()
	t.Run("objects", func(t *testing.T) { runObjects(t, open) })
	for _, how := range []mode{{}, {compress: true}, {recall: true}, {recall: true, streaming: true}} {
		for _, s := range scenarios() {
			t.Run(fmt.Sprintf("%s/zstd=%t/recall=%t/streaming=%t", s.name, how.compress, how.recall, how.streaming), func(t *testing.T) {
				w, err := newWorld(open(t), how)
				if err != nil {
					t.Fatal(err)
				}
				defer w.close()
				if err := s.run(t.Context(), w); err != nil {
					t.Fatal(err)
				}
				if err := w.check(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// runObjects tests the contract of shardstate.Objects.
func runObjects(t *testing.T, open func(*testing.T) shardstate.Objects) {
	t.Helper()
	t.Run("get and put", func(t *testing.T) {
		o, key := open(t), "shardstate/c/s/shardId-000000000000"
		if _, _, err := o.GetTagged(t.Context(), key, ""); !errors.Is(err, telemetry.ErrNotFound) {
			t.Fatalf("get of a missing object: got %v, want telemetry.ErrNotFound", err)
		}
		if _, err := o.PutIf(t.Context(), key, []byte("x"), `"0123456789abcdef0123456789abcdef"`); !errors.Is(err, telemetry.ErrConflict) {
			t.Fatalf("replace of a missing object: got %v, want telemetry.ErrConflict", err)
		}
		first, err := o.PutIf(t.Context(), key, []byte("one"), "")
		if err != nil || first == "" {
			t.Fatalf("create: got ETag %q, %v", first, err)
		}
		if _, err := o.PutIf(t.Context(), key, []byte("two"), ""); !errors.Is(err, telemetry.ErrConflict) {
			t.Fatalf("create of an existing object: got %v, want telemetry.ErrConflict", err)
		}
		body := []byte("three")
		second, err := o.PutIf(t.Context(), key, body, first)
		if err != nil || second == first {
			t.Fatalf("replace: got ETag %q after %q, %v, want another one", second, first, err)
		}
		copy(body, "XXXXX") // the caller may reuse it
		if _, err := o.PutIf(t.Context(), key, []byte("late"), first); !errors.Is(err, telemetry.ErrConflict) {
			t.Fatalf("replace with an old ETag: got %v, want telemetry.ErrConflict", err)
		}
		for _, known := range []string{"", first} {
			if got, etag, err := o.GetTagged(t.Context(), key, known); err != nil || !bytes.Equal(got, []byte("three")) || etag != second {
				t.Errorf("got %q under %q, %v; want three under %q", got, etag, err, second)
			}
		}
		if got, etag, err := o.GetTagged(t.Context(), key, second); err != nil || got != nil || etag != second {
			t.Errorf("get with the current ETag: got %q under %q, %v, want no body", got, etag, err)
		}
	})
	t.Run("one of several concurrent writers succeeds", func(t *testing.T) {
		o, etag := open(t), ""
		for round := range 5 {
			const writers = 4
			etags, errs := make([]string, writers), make([]error, writers)
			var group sync.WaitGroup
			for i := range writers {
				group.Go(func() { etags[i], errs[i] = o.PutIf(t.Context(), "k", fmt.Appendf(nil, "%d %d", round, i), etag) })
			}
			group.Wait()
			succeeded := 0
			for i, err := range errs {
				if err == nil {
					succeeded++
					etag = etags[i]
				} else if !errors.Is(err, telemetry.ErrConflict) && !errors.Is(err, telemetry.ErrUnavailable) {
					t.Errorf("round %d: got %v, want a conflict", round, err)
				}
			}
			if succeeded != 1 {
				t.Fatalf("round %d: got %d successful writers, want 1", round, succeeded)
			}
		}
	})
}
