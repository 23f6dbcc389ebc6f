package bridge

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/insighthub/insighthub/lib/kpi"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// slow settles some samples of each write, then its deadline is over.
type slow struct {
	settles int
	calls   [][]string
}

func (r *slow) Write(_ context.Context, samples []kpi.Sample) (Written, error) {
	var names []string
	for _, s := range samples {
		names = append(names, fmt.Sprintf("%s/%s@%d", s.Name, s.Gateway, s.Time/1e6))
	}
	r.calls = append(r.calls, names)
	if n := min(r.settles, len(samples)); n < len(samples) {
		out := Written{Samples: n - 1, Settled: n, NotSent: len(samples) - n, Rejected: []Rejection{
			{Series: "{bad}", Reason: "label too long", Cause: "other", Samples: 1},
		}}
		return out, telemetry.ErrUnavailable
	}
	return Written{Samples: len(samples), Settled: len(samples)}, nil
}

// Each attempt continues where the deadline of the one before was over: a window with more
// rejected samples than an attempt can find is written all the same.
func TestAttemptsContinueWithinAWindow(t *testing.T) {
	settled := make([]map[string]int, 2)
	for i, limit := range []int{1000, 7} {
		f := newFixture(t, nil)
		f.invoke("s 1 101 a:101:1+b:101:2+c:101:3")
		receiver := &slow{settles: limit}
		f.Handler = f.with(receiver)
		attempts := 1
		for ; attempts < 50; attempts++ {
			if _, err := f.Invoke(t.Context(), []byte("s 2 107 a:106:2")); err == nil {
				break
			}
		}
		if (attempts == 1) != (i == 0) || attempts == 50 {
			t.Fatalf("%d attempts", attempts)
		}
		settled[i] = make(map[string]int)
		for _, call := range receiver.calls {
			for _, name := range call[:min(limit, len(call))] {
				settled[i][name]++
			}
		}
		if log := f.log.String(); i == 1 && (!strings.Contains(log, "samples_not_sent=") || !strings.Contains(log, "rejected=1")) {
			t.Errorf("log lacks what was not sent or rejected: %s", log)
		}
	}
	if diff := cmp.Diff(settled[0], settled[1]); diff != "" {
		t.Error(diff) // each sample once, as by one attempt
	}
}
