package eventually_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/insighthub/insighthub/lib/eventually"
)

// recorder stores the failure that a test would have had.
type recorder struct{ failure string }

func (*recorder) Helper() {}

func (r *recorder) Fatalf(format string, args ...any) { r.failure = fmt.Sprintf(format, args...) }

func TestConditionBecomesTrue(t *testing.T) {
	for name, wait := range map[string]func(tb eventually.TB, reached func() bool){
		"True": func(tb eventually.TB, reached func() bool) { eventually.True(tb, "x", reached) },
		"NoError": func(tb eventually.TB, reached func() bool) {
			eventually.NoError(tb, "x", func() error {
				if !reached() {
					return errors.New("not yet")
				}
				return nil
			})
		},
		"Equal": func(tb eventually.TB, reached func() bool) { eventually.Equal(tb, "x", true, reached) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var r recorder
				start := time.Now()
				wait(&r, func() bool { return time.Since(start) >= time.Minute })
				if r.failure != "" {
					t.Errorf("got failure %q, want none", r.failure)
				}
				if took := time.Since(start); took > time.Minute+100*time.Millisecond {
					t.Errorf("returned after %v, want at most 100ms after the condition was true", took)
				}
			})
		})
	}
}

func TestTimeout(t *testing.T) {
	for name, c := range map[string]struct {
		wait func(tb eventually.TB)
		want string
	}{
		"True": {
			func(tb eventually.TB) { eventually.True(tb, "the end", func() bool { return false }) },
			"the end: not within 3m0s; last: the condition is false",
		},
		"NoError": {func(tb eventually.TB) {
			eventually.NoError(tb, "the end", func() error { return errors.New("3 rows") })
		}, "the end: not within 3m0s; last: 3 rows"},
		"Equal": {
			func(tb eventually.TB) { eventually.Equal(tb, "rows", 4, func() int { return 3 }) },
			"rows: not within 3m0s; last: got 3, want 4",
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var r recorder
				c.wait(&r)
				if r.failure != c.want {
					t.Errorf("got failure %q, want %q", r.failure, c.want)
				}
			})
		})
	}
}
