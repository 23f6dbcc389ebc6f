package stacks_test

import (
	"strings"
	"testing"
	"time"

	"github.com/insighthub/insighthub/cdk/stacks"
	"github.com/insighthub/insighthub/lib/bridge"
	"github.com/insighthub/insighthub/lib/detect"
	"github.com/insighthub/insighthub/lib/namelist"
	"github.com/insighthub/insighthub/lib/shardstate"
)

// keyOf returns the key of a consumer's state.
func keyOf(t *testing.T, consumer string) string {
	t.Helper()
	states, err := shardstate.New(shardstate.Config[*detect.State]{Consumer: consumer, Stream: "telemetry"})
	if err != nil {
		t.Fatal(err)
	}
	return states.Key("shardId-000000000000")
}

// TestPrefixesOfStates holds the prefixes, by which states expire and functions may
// read and write them, against the keys that shardstate makes.
func TestPrefixesOfStates(t *testing.T) {
	for _, tc := range []struct{ prefix, consumer string }{
		{stacks.BridgeStates, bridge.ConsumerName(time.Second)},
		{stacks.BridgeStates, bridge.ConsumerName(5 * time.Second)},
		{stacks.BridgeStates, bridge.ConsumerName(time.Hour)},
		{stacks.DetectStates, detect.ConsumerName},
	} {
		key := keyOf(t, tc.consumer)
		for _, prefix := range []string{stacks.BridgeStates, stacks.DetectStates} {
			if got, want := strings.HasPrefix(key, prefix), prefix == tc.prefix; got != want {
				t.Errorf("%s has prefix %s: got %t, want %t", key, prefix, got, want)
			}
		}
	}
}

// checkStates wants that a state expires after the stream's records and after what
// its consumer remembers, each consumer's by a rule of its own.
func checkStates(t *testing.T, a assembly, retention time.Duration) {
	t.Helper()
	const (
		day       = 24 * time.Hour
		forgotten = 14 * day // detect.Limits.MaxIdle; the bridge removes series sooner
	)
	days := map[string]float64{}
	for _, b := range a.ofType("AWS::S3::Bucket") {
		if !strings.HasPrefix(b.ID, "Data/States") {
			continue
		}
		lifecycle, _ := b.Properties["LifecycleConfiguration"].(map[string]any)
		rules, _ := lifecycle["Rules"].([]any)
		for _, r := range rules {
			rule, _ := r.(map[string]any)
			prefix, _ := rule["Prefix"].(string)
			days[prefix], _ = rule["ExpirationInDays"].(float64)
		}
	}
	for _, prefix := range []string{stacks.BridgeStates, stacks.DetectStates} {
		if got, least := time.Duration(days[prefix])*day, max(retention, forgotten); got <= least {
			t.Errorf("states under %s expire after %v, want more than %v", prefix, got, least)
		}
		delete(days, prefix)
	}
	if days[namelist.Prefix] != 1 {
		t.Errorf("lists of names expire after %v days, want the shortest time", days[namelist.Prefix])
	}
	delete(days, namelist.Prefix)
	if len(days) > 0 {
		t.Errorf("rules for %v, of no consumer", days)
	}
}
