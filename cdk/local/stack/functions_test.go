package stack

import (
	"testing"
	"time"

	"github.com/insighthub/insighthub/cdk/local/eventsource"
	"github.com/insighthub/insighthub/cdk/local/template"
)

// TestCanWait: what runs by a schedule, or lets records gather, gives way; what stores
// records as they come and what is behind the API does not.
func TestCanWait(t *testing.T) {
	t.Parallel()
	s := &Stack{plan: &template.Plan{
		Schedules: []template.Schedule{{FunctionARN: "rollup"}},
		Mappings: []template.Mapping{
			{FunctionARN: "bridge", Settings: eventsource.Settings{Window: time.Second}},
			{FunctionARN: "store"},
		},
	}}
	for function, want := range map[string]bool{"rollup": true, "bridge": true, "store": false, "api": false} {
		if got := s.canWait(function); got != want {
			t.Errorf("%s can wait: %t", function, got)
		}
	}
}
