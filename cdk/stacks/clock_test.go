package stacks_test

import (
	"strings"
	"testing"
)

// checkClock checks that the clock runs each minute, and until its minute is over.
func checkClock(t *testing.T, a assembly) {
	t.Helper()
	rule := resource{}
	for _, r := range a.ofType("AWS::Events::Rule") {
		if strings.HasPrefix(r.ID, "Telemetry/ClockSchedule") {
			rule = r
		}
	}
	if rule.Properties["ScheduleExpression"] != "rate(1 minute)" || !strings.Contains(text(rule.Properties["Targets"]), "ClockFunction") {
		t.Errorf("schedule %v, want rate(1 minute) of the clock", rule.Properties)
	}
	// It ticks for 57.5 s, and a second is its margin.
	if timeout := a.functions()["clock"].Properties["Timeout"]; timeout != 60.0 {
		t.Errorf("timeout %v s, want 60", timeout)
	}
}
