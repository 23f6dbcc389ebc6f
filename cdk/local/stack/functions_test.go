package stack

import (
	"testing"
	"time"

	"github.com/insighthub/insighthub/cdk/local/eventsource"
	"github.com/insighthub/insighthub/cdk/local/template"
)

// TestLowPriority: a function that is run by a schedule, or has a long batching window, has
// a low priority; one with a window of at most a second, or behind the API, has not.
func TestLowPriority(t *testing.T) {
	t.Parallel()
	s := &Stack{plan: &template.Plan{
		Schedules: []template.Schedule{{FunctionARN: "rollup"}},
		Mappings: []template.Mapping{
			{FunctionARN: "bridge", Settings: eventsource.Settings{Window: time.Second}},
			{FunctionARN: "detect", Settings: eventsource.Settings{Window: 3 * time.Second}},
			{FunctionARN: "store"},
		},
	}}
	for function, want := range map[string]bool{"rollup": true, "bridge": false, "detect": true, "store": false, "api": false} {
		if got := s.lowPriority(function); got != want {
			t.Errorf("low priority of %s: got %t, want %t", function, got, want)
		}
	}
}
