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
	pool, _ := timescaletest.OpenAs(t, timescale.FunctionBridge)
	got, err := rules{pool}.Rules(t.Context())
	want := bridge.DefaultRules()
	for _, rules := range [][]bridge.Rule{want, got} { // the text of jsonb differs
		rules[0].Config.States = nil
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(kpi.Row{})); diff != "" || err != nil {
		t.Errorf("got error %v, rules differ (-built in +database):\n%s", err, diff)
	}
	for _, r := range got {
		if m, problems := r.Config.Machine(false); m == nil {
			t.Error(problems)
		}
	}
}
