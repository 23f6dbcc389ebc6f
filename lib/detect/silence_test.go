package detect

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/insighthub/insighthub/lib/anomaly"
	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/shardstate"
	"github.com/insighthub/insighthub/lib/shardstate/shardstatetest"
	"github.com/insighthub/insighthub/lib/stream"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// at returns the time of a second of the tests' streams.
func at(seconds int) time.Time { return (start + telemetry.Micros(seconds)*second).Time() }

func noData(silence time.Duration) directory.AlarmRule {
	return ruleOf(directory.AlarmRule{Kind: directory.ByNoData, Silence: silence, ChangedAt: at(-100), Expected: true})
}

// TestSilence judges silence by ticks alone, and says when it has ended.
func TestSilence(t *testing.T) {
	t.Parallel()
	rule := noData(10 * time.Second)
	good := rule
	good.IgnoreBad = true
	never, unknown, foreign := rule, rule, rule
	never.ChangedAt = at(5)
	unknown.ChangedAt, unknown.Expected = at(5), false
	foreign.ChangedAt, foreign.Site = at(5), "elsewhere"
	young := rule
	young.ChangedAt = at(30)
	for name, c := range map[string]struct {
		rule        directory.AlarmRule
		lines, want string
	}{
		"nothing but ticks":             {rule, "0:0=1,5,10,15,20", "10 active"},
		"exactly the silence":           {rule, "0:0=1,5,10", ""},
		"ended by the next event":       {rule, "0:0=1,5,11,33:33=1,40", "10 to 33 cleared"},
		"and raised again":              {rule, "0:0=1,11,33:33=1,44,50:50=1", "10 to 33 cleared, 43 to 50 cleared"},
		"ended by its arrival":          {rule, "0:0=1,11,3600:5=1", "10 to 3600 cleared"},
		"an event ahead":                {rule, "0:0=1,11,33:200=1,40", "10 to 33 cleared"},
		"bad values are data":           {rule, "0:0=1,9:9=bad,18:18=bad,27:27=bad", ""},
		"unless they are ignored":       {good, "0:0=1,9:9=bad,18:18=bad,27:27=bad,30:30=1", "10 to 30 cleared"},
		"nothing but bad values":        {good, "0:0=bad,9:9=bad,18:18=bad", "10 active"},
		"NaN and infinity":              {good, "0:0=1,9:9=NaN,18:18=+Inf,30:30=1", "10 to 30 cleared"},
		"a source time that stands":     {good, "0:0=1,9:0=2,18:0=3,30:30=1", "10 to 30 cleared"},
		"late values are data":          {good, "100:100=1,109:90=2,118:91=3", ""},
		"never reported":                {never, "0,5,15,16,20", "15 active"},
		"never reported until":          {never, "0,5,16,20:20=1,25", "15 to 20 cleared"},
		"no such gateway":               {unknown, "0,5,15,16,20", ""},
		"a rule of another site":        {foreign, "0:0=1,5,15,16,20", ""},
		"a rule that is younger":        {young, "0:0=1,5,29.9", ""},
		"a rule that finds silence":     {young, "0:0=1,5,31", "30 active"},
		"bad first, of a series unseen": {good, "0,1:1=bad,11,15:15=1", "10 to 15 cleared"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			stream := lines(t, c.lines)
			expectHoweverCut(t, stream, directory.ByNoData, c.want, c.rule)
		})
	}
}

// TestSilenceOfManySeries has nine of ten series of a site never report, and then all of
// them fall silent. Ticks come each five seconds, an invocation each three.
func TestSilenceOfManySeries(t *testing.T) {
	t.Parallel()
	var rules []directory.AlarmRule
	for i := range 10 {
		r := noData(20 * time.Second)
		r.ID, r.Device = directory.RuleID(fmt.Sprint(i)), telemetry.DeviceName(fmt.Sprint("d", i))
		r.ChangedAt = at(0)
		rules = append(rules, r)
	}
	stream := &testStream{}
	stream.add(start, batch("a", event("d0", "heat", start, 1)))
	raised := -1
	f := newFixture(t, stream, rules...)
	for now := 1; now <= 60; now++ {
		if now%5 == 2 { // the phases of ticks and invocations differ
			stream.add(start + telemetry.Micros(now)*second)
		}
		if now%3 == 0 {
			if err := f.invoke("s", 0, len(stream.records)); err != nil {
				t.Fatal(err)
			}
			if raised < 0 && len(f.anomalies.stored) > 0 {
				raised = now
				if len(f.anomalies.stored) != 10 {
					t.Errorf("got %d alarms at once, want 10", len(f.anomalies.stored))
				}
			}
		}
	}
	t.Logf("silence of 20 s: raised %d s after the last event", raised)
	if raised < 20 || raised > 20+15 {
		t.Errorf("got alarms %d s after the last event, want 20 to 35", raised)
	}
	if len(f.anomalies.stored) != 10 || len(f.notifier.ids) != 10 {
		t.Errorf("got %d alarms, %d notifications, want 10 each, once", len(f.anomalies.stored), len(f.notifier.ids))
	}
}

// change gives the fixture another configuration, which the next invocation reads.
func (f *fixture) change(rules ...directory.AlarmRule) {
	f.configurations.configuration.Rules = rules
	f.now = f.now.Add(time.Minute)
}

// TestRuleChangesEndAlarms changes rules while their alarms are active.
func TestRuleChangesEndAlarms(t *testing.T) {
	t.Parallel()
	high := ruleOf(directory.AlarmRule{Kind: directory.ByThreshold, High: new(90.0), ChangedAt: at(-100)})
	with := func(r directory.AlarmRule, change func(*directory.AlarmRule)) []directory.AlarmRule {
		change(&r)
		return []directory.AlarmRule{r}
	}
	silence := noData(10 * time.Second)
	for name, c := range map[string]struct {
		before             directory.AlarmRule
		after              []directory.AlarmRule
		first, then, wants string
	}{
		"deleted or disabled": {high, nil, "0:0=95,1:1=95", "2,3:3=96", "0=95 to 1 rule_removed"},
		"the same again": {
			high, with(high, func(r *directory.AlarmRule) { r.ChangedAt = at(1) }), "0:0=95,1:1=95", "2,3:3=96", "0=95 active",
		},
		"another limit": {
			high, with(high, func(r *directory.AlarmRule) { r.High = new(92.0) }), "0:0=95,1:1=95", "2,3:3=96",
			"0=95 to 1 rule_changed, 3=96 active",
		},
		"a limit that is kept": {
			high, with(high, func(r *directory.AlarmRule) { r.High = new(99.0) }), "0:0=95,1:1=95", "2,3:3=96", "0=95 to 1 rule_changed",
		},
		"another severity": {
			high, with(high, func(r *directory.AlarmRule) { r.Severity = directory.Critical }), "0:0=95,1:1=95", "2,3:3=96",
			"0=95 to 1 rule_changed, 3=96 active",
		},
		"another series": {
			high, with(high, func(r *directory.AlarmRule) { r.Metric = "flow" }), "0:0=95,1:1=95", "2,3:3=96", "0=95 to 1 rule_removed",
		},
		"silence deleted": {silence, nil, "0:0=1,11", "12,30", "10 to 11 rule_removed"},
		"silence that is longer": {
			silence, with(silence, func(r *directory.AlarmRule) { r.Silence, r.ChangedAt = 20*time.Second, at(11) }),
			"0:0=1,11", "12,19,21", "10 to 11 rule_changed, 20 active",
		},
		"silence that is shorter": {
			silence, with(silence, func(r *directory.AlarmRule) { r.Silence, r.ChangedAt = 5*time.Second, at(12) }), "0:0=1,12", "13,19",
			"10 to 12 rule_changed, 12 active",
		},
		"silence of another severity": {
			silence, with(silence, func(r *directory.AlarmRule) { r.Severity, r.ChangedAt = directory.Critical, at(12) }), "0:0=1,12",
			"13,19,20:20=1", "10 to 12 rule_changed, 12 to 20 cleared",
		},
		"silence never reported, deleted":      {silence, nil, "0,11", "12,30", "10 to 11 rule_removed"},
		"silence of a gateway that is revoked": {silence, nil, "0:0=1,11", "12,30", "10 to 11 rule_removed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, restart := range []bool{false, true} {
				stream := lines(t, c.first+","+c.then)
				f := newFixture(t, stream, c.before)
				n := len(strings.Split(c.first, ","))
				if err := f.invoke("s", 0, n); err != nil {
					t.Fatal(err)
				}
				if restart {
					f.restart()
				}
				f.change(c.after...)
				for range 2 { // a redelivery changes nothing
					if err := f.invoke("s", n, len(stream.records)); err != nil {
						t.Fatal(err)
					}
				}
				if got := f.anomalies.of(c.before.Kind); got != c.wants {
					t.Errorf("restart %v: got %s, want %s", restart, got, c.wants)
				}
				ended := strings.Count(c.wants, " to ")
				if len(f.ends.ids) != ended {
					t.Errorf("got %d notifications of ends, want %d", len(f.ends.ids), ended)
				}
			}
		})
	}
}

// TestRulesOfNeverReportedSeriesLeaveNothing removes the rule: its series leaves the state.
func TestRulesOfNeverReportedSeriesLeaveNothing(t *testing.T) {
	t.Parallel()
	stream := lines(t, "0,20,7200")
	f := newFixture(t, stream, noData(10*time.Second))
	if err := f.invoke("s", 0, 2); err != nil {
		t.Fatal(err)
	}
	if n := f.counter("insighthub_detect_series", "s"); n != 1 {
		t.Errorf("got %v series, want the expected one", n)
	}
	f.change()
	if err := f.invoke("s", 2, 3); err != nil {
		t.Fatal(err)
	}
	if n := f.counter("insighthub_detect_series", "s"); n != 0 {
		t.Errorf("got %v series, want none", n)
	}
}

// TestSilenceAfterASplit splits a shard whose two gateways are silent: each child gets only
// ticks, and the alarms of its own gateway.
func TestSilenceAfterASplit(t *testing.T) {
	t.Parallel()
	rule := noData(10 * time.Second)
	other, never := rule, rule
	other.ID, other.Gateway = "2", "b"
	never.ID, never.Gateway, never.Device, never.ChangedAt = "3", "b", "drill", at(3)
	stream := &testStream{}
	stream.add(start, batch("a", event("press", "heat", start, 1)), batch("b", event("press", "heat", start, 1)))
	for i := range 4 {
		stream.add(start + telemetry.Micros(11+i)*second)
	}
	f := newFixture(t, stream, rule, other, never)
	f.lineage = shardstatetest.Lineage{"low": {"s"}, "high": {"s"}, "merged": {"low", "high"}}
	f.restart()
	for i, shard := range []string{"s", "low", "high", "merged", "merged"} {
		if err := f.invoke(shard, i, i+1); err != nil {
			t.Fatal(err)
		}
	}
	want := "a/press/heat no_data 1@10 b/press/heat no_data 2@10 b/drill/heat no_data 3@13"
	var got []string
	for _, id := range f.anomalies.order {
		var at telemetry.Micros
		name, rest, _ := strings.Cut(id, "@")
		if _, err := fmt.Sscan(rest, &at); err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprint(name, "@", (at-start)/second))
	}
	if strings.Join(got, " ") != want {
		t.Errorf("got %v, want %s", got, want)
	}
}

// TestGatewayMoves moves a gateway with active alarms to another site.
func TestGatewayMoves(t *testing.T) {
	t.Parallel()
	high := ruleOf(directory.AlarmRule{Kind: directory.ByThreshold, High: new(90.0)})
	there := high
	there.ID, there.Site = "2", "elsewhere"
	stream := lines(t, "0:0=95,1:1=95,2:2=96,3:3=97")
	for _, r := range stream.records[2:] {
		r.batches[0].Site = "elsewhere"
	}
	f := newFixture(t, stream, high, there)
	f.all(1)
	if got, want := f.anomalies.of(directory.ByThreshold), "0=95 to 2 rule_removed, 2=96 active"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestEndsOfUnwatchedSeries ends the anomalies of a series that is forgotten, and those of
// one that is no longer scored.
func TestEndsOfUnwatchedSeries(t *testing.T) {
	t.Parallel()
	day := 24 * 3600
	var text []string
	for i := range 400 {
		text = append(text, fmt.Sprintf("%d=%d", i, i%2))
	}
	stream := lines(t, "400:"+strings.Join(text, " ")+fmt.Sprintf(",500:499=1000,%d", 15*day))
	high := ruleOf(directory.AlarmRule{Kind: directory.ByThreshold, High: new(90.0)})
	f := newFixture(t, stream, high)
	f.all(1)
	want := fmt.Sprintf("499=1000 to %d unwatched", 15*day)
	if got := f.anomalies.of(directory.ByThreshold); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := f.anomalies.of(directory.ByScore), "499=1000 to 4100 unwatched"; got != want { // an hour after its arrival
		t.Errorf("got %s, want %s", got, want)
	}
	f = newFixture(t, stream, high)
	if err := f.invoke("s", 0, 2); err != nil {
		t.Fatal(err)
	}
	everyDevice := telemetry.DevicePattern{Gateway: "*", Device: "*"}
	f.configurations.configuration.Machines = []Machine{{Devices: everyDevice, Unscored: []telemetry.MetricName{"heat"}}}
	f.change(high)
	stream.records[2].arrival = start + 501*second
	if err := f.invoke("s", 2, 3); err != nil {
		t.Fatal(err)
	}
	if got := f.anomalies.of(directory.ByScore); got != "499=1000 to 500 unwatched" {
		t.Errorf("got %s, want the end at the last arrival", got)
	}
	if got := f.anomalies.of(directory.ByThreshold); got != "499=1000 active" {
		t.Errorf("got %s, want it active", got)
	}
}

// TestStateOfVersion1 reads the state that the version before has written. Its alarms do
// not say when they were raised: they are raised anew, and not ended.
func TestStateOfVersion1(t *testing.T) {
	t.Parallel()
	encoded, err := os.ReadFile("testdata/state-v1")
	if err != nil {
		t.Fatal(err)
	}
	codec, err := NewCodec(Limits{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := codec.Decode(encoded)
	if err != nil {
		t.Fatal(err)
	}
	clock := telemetry.Micros(1795436572020000)
	scored := 0
	s.each(func(sr *series) {
		if sr.detector != nil && sr.newest <= clock && sr.useful == sr.arrival && *sr.detector != (anomaly.Detector{}) {
			scored++
		}
	})
	if s.clock != clock || s.series != 17 || scored != 16 {
		t.Errorf("got clock %d, %d series, %d with what their detectors have learnt; want %d, 17 and 16", s.clock, s.series, scored, clock)
	}
	records := &testStream{}
	records.add(clock+second, batch("a", event("press", "flow", clock+second, 96), event("pump", "flow", clock+second, 1000)))
	records.add(clock+2*second, batch("a", event("press", "flow", clock+2*second, 1)))
	f := newFixture(t, records, rules()...)
	f.config.States = stateFirst{f.config.States, s}
	f.configure(f.config)
	f.all(1)
	seconds := func(at telemetry.Micros) string { return strconv.FormatFloat(float64(at-start)/1e6, 'f', -1, 64) }
	want := fmt.Sprintf("%s=96 to %s cleared", seconds(clock+second), seconds(clock+2*second))
	if got := f.anomalies.of(directory.ByThreshold); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	// b's silence goes on: its alarm is of the time of the new version, since that of its
	// beginning is stored already, as one that has ended.
	if got, want := f.anomalies.of(directory.ByNoData), fmt.Sprintf("%v active", seconds(clock)); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if len(f.anomalies.unknown) > 0 {
		t.Errorf("got ends of alarms that it did not raise: %v", f.anomalies.unknown)
	}
}

// stateFirst replaces the state of a shard.
type stateFirst struct {
	stream.States[*State]

	state *State
}

func (s stateFirst) Load(ctx context.Context, shard shardstate.ShardID) (*shardstate.Lease[*State], error) {
	lease, err := s.States.Load(ctx, shard)
	if err == nil {
		lease.State = s.state
	}
	return lease, err
}
