package stack

import (
	"testing"
	"time"

	"github.com/insighthub/insighthub/cdk/local/eventsource"
	"github.com/insighthub/insighthub/cdk/local/template"
)

// TestCanWait: what runs by a schedule, or lets records gather for long, gives way; what
// takes them as they come or within a second, and what is behind the API, does not.
func TestCanWait(t *testing.T) {
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
		if got := s.canWait(function); got != want {
			t.Errorf("%s can wait: %t", function, got)
		}
	}
}
