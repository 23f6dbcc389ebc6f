package stack

import (
	"testing"
	"time"

	"github.com/insighthub/insighthub/cdk/local/eventsource"
	"github.com/insighthub/insighthub/cdk/local/template"
)

// TestLowPriority: a function that is run by a schedule, or has a long batching window, has
// a low priority, as has one that only strangers invoke; one with a window of at most a second,
// or behind a route that requires a token, has not.
func TestLowPriority(t *testing.T) {
	t.Parallel()
	s := &Stack{plan: &template.Plan{
		Schedules: []template.Schedule{{FunctionARN: "rollup"}},
		Mappings: []template.Mapping{
			{FunctionARN: "bridge", Settings: eventsource.Settings{Window: time.Second}},
			{FunctionARN: "detect", Settings: eventsource.Settings{Window: 3 * time.Second}},
			{FunctionARN: "store"},
		},
		Functions: []template.Function{{ARN: "access"}, {ARN: "api"}},
		APIs: []template.API{{Routes: []template.Route{
			{Key: "POST /v1/login", FunctionARN: "access"},
			{Key: "GET /docs", FunctionARN: "api"},
			{Key: "ANY /v1/{path+}", FunctionARN: "api", Authorizer: "token"},
		}}},
	}}
	for function, want := range map[string]bool{
		"rollup": true, "bridge": false, "detect": true, "store": false, "api": false, "access": true,
	} {
		if got := s.lowPriority(function); got != want {
			t.Errorf("low priority of %s: got %t, want %t", function, got, want)
		}
	}
}
