package detect

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// TestRulesOnValues gives values once a second to a rule; wanted are the seconds
// at which it raises its alarm.
func TestRulesOnValues(t *testing.T) {
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
		"above, once":                   {threshold(nil, new(5.0), 0), []float64{1, 5, 6, 7, 9}, "[2]"},
		"below, and again":              {threshold(new(5.0), nil, 0), []float64{6, 4, 5, 4}, "[1 3]"},
		"both sides":                    {threshold(new(0.0), new(10.0), 0), []float64{-1, 5, 11}, "[0 2]"},
		"over to the other side":        {threshold(new(0.0), new(10.0), 0), []float64{-1, 11}, "[0]"},
		"not back within hysteresis":    {threshold(nil, new(10.0), 3), []float64{11, 8, 11, 7, 11}, "[0 4]"},
		"hysteresis below":              {threshold(new(0.0), nil, 3), []float64{-1, 2, -1, 3, -1}, "[0 4]"},
		"hysteresis wider than it all":  {threshold(new(0.0), new(8.0), 100), []float64{9, 7, 9, 5, 9}, "[0 4]"},
		"low is high":                   {threshold(new(1.0), new(1.0), 1), []float64{1, 2, 1, 2}, "[1 3]"},
		"no number changes nothing":     {threshold(nil, new(5.0), 0), []float64{6, nan, math.Inf(1), 6, 4, math.Inf(1), 6}, "[0 6]"},
		"rate needs two":                {rate, []float64{1000}, "[]"},
		"rate, either direction":        {rate, []float64{0, 10, 21, 11, 0}, "[2 4]"},
		"rate, once while it lasts":     {rate, []float64{0, 20, 40, 60, 61, 90}, "[1 5]"},
		"rate over a gap":               {rate, []float64{0, nan, 19, nan, 40}, "[4]"},
		"threshold without bounds":      {threshold(nil, nil, 0), []float64{1e300, -1e300}, "[]"},
		"rate without a rate":           {directory.AlarmRule{Kind: directory.ByRate}, []float64{0, 1e300}, "[]"},
		"silence of nothing":            {directory.AlarmRule{Kind: directory.ByNoData}, []float64{0, 1}, "[]"},
		"not a rule's kind":             {directory.AlarmRule{Kind: directory.ByScore}, []float64{0, 1e300}, "[]"},
		"a kind that is unknown":        {directory.AlarmRule{Kind: "phase of the moon"}, []float64{0, 1e300}, "[]"},
		"silence does not mind a value": {directory.AlarmRule{Kind: directory.ByNoData, Silence: time.Minute}, []float64{0, 1e300}, "[]"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, metric := range []string{"heat", "state"} { // scored or not
				r := c.rule
				r.ID, r.Site, r.Gateway, r.Device, r.Metric, r.Severity = "1", "plant", "a", "press", telemetry.MetricName(metric), directory.Info
				p := &tape{}
				for i, v := range c.values {
					at := start + telemetry.Micros(i)*second
					p.add(at+1, batch("a", event("press", metric, at, v)))
				}
				b := newBench(t, p, r)
				b.all(1)
				got := []telemetry.Micros{}
				for _, a := range b.book.kept {
					if a.Kind != r.Kind || a.Rule != "1" || a.Score != 1 || a.Severity != directory.Info || a.Value == nil || a.Message == "" {
						t.Errorf("%s", describe(a))
					}
					got = append(got, (a.Time-start)/second)
				}
				sortMicros(got)
				if fmt.Sprint(got) != c.want {
					t.Errorf("%s: alarms at %v, want %s", metric, got, c.want)
				}
			}
		})
	}
}

func sortMicros(m []telemetry.Micros) {
	for i := range m {
		for k := i; k > 0 && m[k] < m[k-1]; k-- {
			m[k], m[k-1] = m[k-1], m[k]
		}
	}
}

// TestNoData lets series fall silent; the alarm's time is when it became too long.
func TestNoData(t *testing.T) {
	silence := func(gateway string, s int) directory.AlarmRule {
		return directory.AlarmRule{
			ID: directory.RuleID(fmt.Sprint(gateway, s)), Site: "plant", Gateway: telemetry.GatewayID(gateway), Device: "d", Metric: "m",
			Kind: directory.ByNoData, Silence: time.Duration(s) * time.Second, Severity: directory.Warning,
		}
	}
	// Lines of "arrival gateway", or of an arrival alone: rubbish.
	for name, c := range map[string]struct {
		lines string
		want  string
	}{
		"another's record tells":              {"0 a,5 b,11 b", "a@10"},
		"rubbish tells":                       {"0 a,11", "a@10"},
		"its own next record tells":           {"0 a,100 a", "a@10"},
		"exactly the silence is not too long": {"0 a,10 b", ""},
		"once while it lasts":                 {"0 a,11 b,12 b,40 b", "a@10"},
		"again after it was over":             {"0 a,11 b,12 a,30 b", "a@10 a@22"},
		"two":                                 {"0 a,3 c,30 b", "a@10 c@23"},
		"never was":                           {"0 b,100 b", ""},
		"the clock does not go back":          {"20 a,5 b,29 b,31 b", "a@30"},
	} {
		t.Run(name, func(t *testing.T) {
			p := &tape{}
			n := 0
			for line := range strings.SplitSeq(c.lines, ",") {
				var at int
				var gateway string
				if _, err := fmt.Sscan(line, &at, &gateway); err != nil {
					p.add(start + telemetry.Micros(at)*second)
					continue
				}
				n++ // times of events say nothing about silence
				p.add(start+telemetry.Micros(at)*second, batch(gateway, event("d", "m", start+telemetry.Micros(n), 1)))
			}
			for _, size := range []int{1, 2, 100} {
				b := newBench(t, p, silence("a", 10), silence("c", 20))
				b.all(size)
				var got []string
				for _, line := range b.book.order {
					gateway, _, _ := strings.Cut(line, "/")
					got = append(got, gateway)
					if !strings.Contains(line, "value=NaN") {
						t.Errorf("%s: want no value", line)
					}
				}
				for i, a := range b.book.order {
					var at telemetry.Micros
					_, rest, _ := strings.Cut(a, "@")
					if _, err := fmt.Sscan(rest, &at); err != nil {
						t.Fatal(err)
					}
					got[i] += fmt.Sprint("@", (at-start)/second)
				}
				if strings.Join(got, " ") != c.want {
					t.Errorf("by %d: %v, want %s", size, got, c.want)
				}
			}
		})
	}
}

// TestRulesChange changes the configuration between invocations.
func TestRulesChange(t *testing.T) {
	p := &tape{}
	for i := range telemetry.Micros(40) {
		p.add(start+i*second+1, batch("a", event("press", "heat", start+i*second, 9)))
	}
	rule := directory.AlarmRule{ID: "1", Site: "plant", Gateway: "a", Device: "press", Metric: "heat", Kind: directory.ByThreshold, High: new(5.0)}
	b := newBench(t, p, rule)
	step := func(want int, change func(*Configuration)) {
		t.Helper()
		change(&b.office.configuration)
		b.now = b.now.Add(time.Minute)
		done := b.office.reads
		if err := b.invoke("s", done, done+1); err != nil {
			t.Fatal(err)
		}
		if len(b.book.kept) != want {
			t.Errorf("%d alarms, want %d: %v", len(b.book.kept), want, b.book.order)
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
	step(2, func(c *Configuration) { c.Rules = []directory.AlarmRule{rule} }) // it is new
	other := rule
	other.Site = "elsewhere"
	step(2, func(c *Configuration) { c.Rules = []directory.AlarmRule{other} })
	b.office.err = fmt.Errorf("%w: a wrong row", telemetry.ErrInvalid)
	step(3, func(c *Configuration) { c.Rules = []directory.AlarmRule{rule} })
	b.office.err = errors.New("the office is closed")
	step(3, func(c *Configuration) { c.Rules = nil })
	b.office.err = nil
	c := &b.office.configuration
	c.Rules, c.Machines = nil, []Machine{{Gateway: "a", Device: "pr*s", Unscored: []telemetry.MetricName{"heat"}}}
	step(3, same)
	if n := b.counter("insighthub_detect_events_total", "unscored"); n != 1 {
		t.Errorf("%v events are not scored, want 1", n)
	}
}

func TestConfigurationIsReadNowAndThen(t *testing.T) {
	p := &tape{}
	for i := range telemetry.Micros(10) {
		p.add(start+i*second, batch("a", event("press", "heat", start+i*second, 9)))
	}
	b := newBench(t, p)
	for i := range 10 {
		if err := b.invoke("s", i, i+1); err != nil {
			t.Fatal(err)
		}
		b.now = b.now.Add(10 * time.Second)
	}
	if b.office.reads != 4 {
		t.Errorf("read %d times in 90 s, want 4 times", b.office.reads)
	}
}
