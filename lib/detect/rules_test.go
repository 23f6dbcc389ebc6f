package detect

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// TestRules gives a rule one value a second, and wants the seconds at which it raises
// its alarm.
func TestRules(t *testing.T) {
	threshold := func(low, high *float64, hysteresis float64) directory.AlarmRule {
		return directory.AlarmRule{Kind: directory.ByThreshold, Low: low, High: high, Hysteresis: hysteresis}
	}
	rate := directory.AlarmRule{Kind: directory.ByRate, PerSecond: new(10.0)}
	nan := math.NaN()
	for name, c := range map[string]struct {
		rule   directory.AlarmRule
		values []float64
		want   string
	}{
		"above raises once":               {threshold(nil, new(5.0), 0), []float64{1, 5, 6, 7, 9}, "[2]"},
		"below, cleared, below":           {threshold(new(5.0), nil, 0), []float64{6, 4, 5, 4}, "[1 3]"},
		"both sides":                      {threshold(new(0.0), new(10.0), 0), []float64{-1, 5, 11}, "[0 2]"},
		"from low to high":                {threshold(new(0.0), new(10.0), 0), []float64{-1, 11}, "[0 1]"},
		"from high to low":                {threshold(new(10.0), new(90.0), 0), []float64{50, 95, 5}, "[1 2]"},
		"from side to side":               {threshold(new(10.0), new(90.0), 30), []float64{95, 5, 95, 80, 20, 5, 95}, "[0 1 2 5 6]"},
		"back from below, near the other": {threshold(new(10.0), new(90.0), 30), []float64{5, 70, 5, 30, 5, 50, 95, 30, 95}, "[0 2 6 8]"},
		"not cleared within hysteresis":   {threshold(nil, new(10.0), 3), []float64{11, 8, 11, 7, 11}, "[0 4]"},
		"hysteresis below":                {threshold(new(0.0), nil, 3), []float64{-1, 2, -1, 3, -1}, "[0 4]"},
		"hysteresis wider than limits":    {threshold(new(0.0), new(8.0), 100), []float64{9, 7, 9, 5, 9}, "[0 4]"},
		"low equals high":                 {threshold(new(1.0), new(1.0), 1), []float64{1, 2, 1, 2}, "[1 3]"},
		"NaN and infinity are ignored":    {threshold(nil, new(5.0), 0), []float64{6, nan, math.Inf(1), 6, 4, math.Inf(1), 6}, "[0 6]"},
		"rate needs two values":           {rate, []float64{1000}, "[]"},
		"rate in either direction":        {rate, []float64{0, 10, 21, 11, 0}, "[2 4]"},
		"rate raises once":                {rate, []float64{0, 20, 40, 60, 61, 90}, "[1 5]"},
		"rate over a gap":                 {rate, []float64{0, nan, 19, nan, 40}, "[4]"},
		"threshold without limits":        {threshold(nil, nil, 0), []float64{1e300, -1e300}, "[]"},
		"rate without a rate":             {directory.AlarmRule{Kind: directory.ByRate}, []float64{0, 1e300}, "[]"},
		"no_data without a silence":       {directory.AlarmRule{Kind: directory.ByNoData}, []float64{0, 1}, "[]"},
		"kind of a detector":              {directory.AlarmRule{Kind: directory.ByScore}, []float64{0, 1e300}, "[]"},
		"unknown kind":                    {directory.AlarmRule{Kind: "phase of the moon"}, []float64{0, 1e300}, "[]"},
		"no_data ignores values":          {directory.AlarmRule{Kind: directory.ByNoData, Silence: time.Minute}, []float64{0, 1e300}, "[]"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, metric := range []string{"heat", "state"} { // scored or not
				r := c.rule
				r.ID, r.Site, r.Gateway, r.Device, r.Metric = "1", "plant", "a", "press", telemetry.MetricName(metric)
				r.Severity = directory.Info
				stream := &testStream{}
				for i, v := range c.values {
					at := start + telemetry.Micros(i)*second
					stream.add(at+1, batch("a", event("press", metric, at, v)))
				}
				f := newFixture(t, stream, r)
				f.all(1)
				got := []telemetry.Micros{}
				for _, a := range f.anomalies.stored {
					if a.Kind != r.Kind || a.Rule != "1" || a.Score != 1 || a.Severity != directory.Info || a.Value == nil ||
						a.Message == "" {
						t.Errorf("got %s, want an info of rule 1 with score 1, a value and a message", describe(a))
					}
					got = append(got, (a.Time-start)/second)
				}
				slices.Sort(got)
				if fmt.Sprint(got) != c.want {
					t.Errorf("%s: got alarms at %v, want %s", metric, got, c.want)
				}
			}
		})
	}
}

// TestNoData expects no_data alarms at the end of the allowed silence.
func TestNoData(t *testing.T) {
	silence := func(gateway string, s int) directory.AlarmRule {
		return directory.AlarmRule{
			ID: directory.RuleID(fmt.Sprint(gateway, s)), Site: "plant", Gateway: telemetry.GatewayID(gateway), Device: "d", Metric: "m",
			Kind: directory.ByNoData, Silence: time.Duration(s) * time.Second, Severity: directory.Warning,
		}
	}
	// Records of "arrival gateway"; an arrival alone is a poison record.
	for name, c := range map[string]struct {
		lines string
		want  string
	}{
		"detected by another's record":    {"0 a,5 b,11 b", "a@10"},
		"detected by a poison record":     {"0 a,11", "a@10"},
		"detected by its own next record": {"0 a,100 a", "a@10"},
		"exactly the silence raises none": {"0 a,10 b", ""},
		"raises once":                     {"0 a,11 b,12 b,40 b", "a@10"},
		"again after it was cleared":      {"0 a,11 b,12 a,30 b", "a@10 a@22"},
		"two series":                      {"0 a,3 c,30 b", "a@10 c@23"},
		"series without events":           {"0 b,100 b", ""},
		"the clock does not go back":      {"20 a,5 b,29 b,31 b", "a@30"},
	} {
		t.Run(name, func(t *testing.T) {
			stream := &testStream{}
			n := 0
			for line := range strings.SplitSeq(c.lines, ",") {
				var at int
				var gateway string
				if _, err := fmt.Sscan(line, &at, &gateway); err != nil {
					stream.add(start + telemetry.Micros(at)*second)
					continue
				}
				n++ // the arrival counts, not the time of the event
				stream.add(start+telemetry.Micros(at)*second, batch(gateway, event("d", "m", start+telemetry.Micros(n), 1)))
			}
			for _, size := range []int{1, 2, 100} {
				f := newFixture(t, stream, silence("a", 10), silence("c", 20))
				f.all(size)
				var got []string
				for _, line := range f.anomalies.order {
					gateway, _, _ := strings.Cut(line, "/")
					got = append(got, gateway)
					if !strings.Contains(line, "value=NaN") {
						t.Errorf("got %s, want no value", line)
					}
				}
				for i, a := range f.anomalies.order {
					var at telemetry.Micros
					_, rest, _ := strings.Cut(a, "@")
					if _, err := fmt.Sscan(rest, &at); err != nil {
						t.Fatal(err)
					}
					got[i] += fmt.Sprint("@", (at-start)/second)
				}
				if strings.Join(got, " ") != c.want {
					t.Errorf("invocations of %d records: got %v, want %s", size, got, c.want)
				}
			}
		})
	}
}

// TestRulesChange changes the configuration between invocations.
func TestRulesChange(t *testing.T) {
	stream := &testStream{}
	for i := range telemetry.Micros(40) {
		stream.add(start+i*second+1, batch("a", event("press", "heat", start+i*second, 9)))
	}
	rule := directory.AlarmRule{
		ID: "1", Site: "plant", Gateway: "a", Device: "press", Metric: "heat", Kind: directory.ByThreshold, High: new(5.0),
	}
	f := newFixture(t, stream, rule)
	step := func(want int, change func(*Configuration)) {
		t.Helper()
		change(&f.configurations.configuration)
		f.now = f.now.Add(time.Minute)
		done := f.configurations.reads
		if err := f.invoke("s", done, done+1); err != nil {
			t.Fatal(err)
		}
		if len(f.anomalies.stored) != want {
			t.Errorf("got %d alarms %v, want %d", len(f.anomalies.stored), f.anomalies.order, want)
		}
	}
	same := func(*Configuration) {}
	step(1, same)
	step(1, func(c *Configuration) {
		c.Rules = []directory.AlarmRule{rule, rule}
		c.Rules[1].ID = "0"
		c.Rules[1].High = new(100.0)
	})
	step(1, same)
	step(1, func(c *Configuration) { c.Rules = nil })
	step(2, func(c *Configuration) { c.Rules = []directory.AlarmRule{rule} }) // a new rule is not raised
	other := rule
	other.Site = "elsewhere"
	step(2, func(c *Configuration) { c.Rules = []directory.AlarmRule{other} })
	f.configurations.err = fmt.Errorf("%w: row 7", telemetry.ErrInvalid)
	step(3, func(c *Configuration) { c.Rules = []directory.AlarmRule{rule} })
	f.configurations.err = errors.New("connection refused")
	step(3, func(c *Configuration) { c.Rules = nil })
	f.configurations.err = nil
	c := &f.configurations.configuration
	c.Rules, c.Machines = nil, []Machine{{
		Devices: telemetry.DevicePattern{Gateway: "a", Device: "pr*s"}, Unscored: []telemetry.MetricName{"heat"},
	}}
	step(3, same)
	if n := f.counter("insighthub_detect_events_total", "unscored"); n != 1 {
		t.Errorf("got %v unscored events, want 1", n)
	}
}

func TestConfigurationInterval(t *testing.T) {
	stream := &testStream{}
	for i := range telemetry.Micros(10) {
		stream.add(start+i*second, batch("a", event("press", "heat", start+i*second, 9)))
	}
	f := newFixture(t, stream)
	for i := range 10 {
		if err := f.invoke("s", i, i+1); err != nil {
			t.Fatal(err)
		}
		f.now = f.now.Add(10 * time.Second)
	}
	if f.configurations.reads != 4 {
		t.Errorf("got %d reads in 90 s, want 4", f.configurations.reads)
	}
}

// TestMessages wants the digits that tell a value from its limit.
func TestMessages(t *testing.T) {
	t.Parallel()
	high := func(limit float64) *rule {
		return newRule(directory.AlarmRule{Kind: directory.ByThreshold, Low: new(-1e7), High: &limit})
	}
	rate := newRule(directory.AlarmRule{Kind: directory.ByRate, PerSecond: new(10.0)})
	for _, c := range []struct {
		rule          *rule
		side          side
		value, change float64
		want          string
	}{
		{high(90), above, 90.0000001, 0, "value 90.0000001 is above 90"},
		{high(1234567), above, 1234567.8, 0, "value 1234567.8 is above 1234567"},
		{high(0), above, 9007199254740991, 0, "value 9007199254740991 is above 0"},
		{high(0), above, 2e-7, 0, "value 2e-07 is above 0"},
		{high(0), below, -2e30, 0, "value -2e+30 is below -10000000"},
		{rate, above, 0, 100. / 3, "value changed by 33.3333 per second, more than 10"},
		{rate, above, 0, 10.0000001, "value changed by 10.0000001 per second, more than 10"},
		{rate, above, 0, 1234567.8, "value changed by 1234570 per second, more than 10"},
	} {
		if got := c.rule.message(c.side, c.value, c.change); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}
