package breaker_test

import (
	"errors"
	"testing"
	"time"

	"github.com/insighthub/insighthub/lib/breaker"
)

type bench struct {
	*breaker.Breaker
	t   *testing.T
	now time.Time
}

func start(t *testing.T) *bench {
	t.Helper()
	b := &bench{t: t, now: time.Unix(1_000_000, 0)}
	b.Breaker = breaker.New(breaker.Config{Now: func() time.Time { return b.now }})
	return b
}

func (b *bench) allow(wantProbe bool, want error) {
	b.t.Helper()
	if probe, err := b.Allow(); probe != wantProbe || !errors.Is(err, want) {
		b.t.Errorf("got probe %v, %v, want %v, %v", probe, err, wantProbe, want)
	}
}

func (b *bench) call(outcomes ...breaker.Outcome) {
	b.t.Helper()
	for _, outcome := range outcomes {
		b.allow(false, nil)
		b.Record(outcome)
	}
}

const (
	ok      = breaker.Responded
	failed  = breaker.Failed
	timeout = breaker.TimedOut
)

// TestSecondCallProbes: after one timeout the next call probes, also at one call in ten
// seconds; while it does, others pass. If the probe fails, all fail at once.
func TestSecondCallProbes(t *testing.T) {
	b := start(t)
	b.call(ok, timeout)
	b.now = b.now.Add(10 * time.Second)
	b.allow(true, nil)
	b.allow(false, nil) // alone
	b.Probed(timeout)
	b.allow(false, breaker.ErrOpen)
	b.now = b.now.Add(999 * time.Millisecond)
	b.allow(false, breaker.ErrOpen)
	b.now = b.now.Add(time.Millisecond)
	b.allow(true, nil)
	b.allow(false, breaker.ErrOpen) // one probe at a time
	b.Probed(failed)
	b.now = b.now.Add(10 * time.Second)
	b.allow(true, nil)
	b.Probed(ok)
	b.call(ok, failed, ok)
}

// TestSlowIsNotDown: timeouts of a dependency that responds to probes do not open it, until
// they are the larger part.
func TestSlowIsNotDown(t *testing.T) {
	b := start(t)
	for range 20 {
		b.call(ok, ok, ok, timeout)
		b.allow(true, nil)
		b.Probed(ok)
		b.now = b.now.Add(time.Second)
	}
}

func TestShareOfFailures(t *testing.T) {
	b := start(t)
	b.call(failed, failed, failed, failed)
	b.now = b.now.Add(11 * time.Second) // forgotten
	b.call(failed, failed, failed, failed, ok, ok, ok, ok, ok, ok)
	b.call(failed, failed) // 6 of 12
	b.allow(false, breaker.ErrOpen)

	b = start(t)
	for range 9 { // half of the calls, over nine seconds
		b.call(ok)
		b.now = b.now.Add(500 * time.Millisecond)
	}
	b.call(failed, failed, failed, failed, failed, failed, failed, failed)
	b.call(failed)
	b.allow(false, breaker.ErrOpen)
	b.Record(failed) // of a call that began before: the cool-down is not extended
	b.now = b.now.Add(time.Second)
	b.allow(true, nil)
	b.Probed(breaker.Unknown) // canceled: the next call probes
	b.allow(true, nil)
	b.now = b.now.Add(10 * time.Second) // a probe that never ends
	b.allow(true, nil)
	b.Probed(ok)
	b.Record(breaker.Unknown)
	b.call(ok)
}
