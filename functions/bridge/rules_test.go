package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/insighthub/insighthub/lib/bridge"
	"github.com/insighthub/insighthub/lib/kpi"
	"github.com/insighthub/insighthub/lib/timescale"
	"github.com/insighthub/insighthub/lib/timescale/timescaletest"
)

// TestDefaultRulesAreThoseOfTheDatabase compares the built-in rules with the row that
// the migrations insert.
func TestDefaultRulesAreThoseOfTheDatabase(t *testing.T) {
	pool, _ := timescaletest.Open(t)
	got, err := rules{pool}.Rules(t.Context())
	if diff := cmp.Diff(bridge.DefaultRules(), got); diff != "" || err != nil {
		t.Errorf("got error %v, rules differ (-built in +database):\n%s", err, diff)
	}
	for _, r := range got {
		if _, err := kpi.NewMachine(r.Config); err != nil {
			t.Error(err)
		}
	}
}

func TestRuleOf(t *testing.T) {
	got := ruleOf(timescale.KPIConfig{
		GatewayPattern: "g", DevicePattern: "d*", StateMetric: "s", States: map[int]timescale.KPIState{4: {Element: "not_planned"}},
		Planned: []timescale.KPIShift{{Start: 1, End: 2}},
	})
	want := bridge.Rule{Gateway: "g", Device: "d*", Config: kpi.MachineConfig{
		StateMetric: "s", States: map[int]kpi.State{4: {Element: kpi.NotPlanned}}, Shifts: []kpi.Shift{{Start: 1, End: 2}},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rule differs (-want +got):\n%s", diff)
	}
}
