package kpi

import (
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/insighthub/insighthub/lib/telemetry"
)

var update = flag.Bool("update", false, "write the tables of docs/KPIS.md")

// TestDocumentFollowsTheDefinitions compares the tables of docs/KPIS.md with the definitions,
// and its example with what the example's readings become.
func TestDocumentFollowsTheDefinitions(t *testing.T) {
	const path = "../../docs/KPIS.md"
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	got := string(raw)
	want := got
	for section, table := range map[string]string{"sums": tableOfSums(), "kpis": tableOfKPIs(), "example": example(t)} {
		begin, end := "<!-- "+section+" -->\n", "<!-- end of "+section+" -->"
		before, rest, ok := strings.Cut(want, begin)
		_, after, ok2 := strings.Cut(rest, end)
		if !ok || !ok2 {
			t.Fatalf("%s lacks the section %s", path, section)
		}
		want = before + begin + table + end + after
	}
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s is not as defined (go test ./lib/kpi -update writes it; -want +got):\n%s", path, diff)
	}
}

func tableOfSums() string {
	var b strings.Builder
	b.WriteString("| sum | what is added up | needs |\n| --- | --- | --- |\n")
	for _, d := range MachineSums() {
		needs := d.Needs.String()
		if needs == "" {
			needs = "–"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", d.Name.Short(), d.Is, needs)
	}
	return b.String()
}

func tableOfKPIs() string {
	needs := map[Name]string{}
	for _, d := range MachineSums() {
		needs[d.Name] = d.Needs.String()
	}
	var b strings.Builder
	b.WriteString("| KPI | member, rule | in ISO 22400-2 | formula | of several machines |" +
		" null unless a machine reports | and more than 0 is |\n")
	b.WriteString("| --- | --- | --- | --- | --- | --- | --- |\n")
	for _, d := range Definitions() {
		several := "the same"
		if d.GroupOver != "" {
			several = formula(d, d.GroupOver, d.GroupUnder)
		}
		fmt.Fprintf(&b, "| %s | `%s` | %s | %s | %s | %s | `%s` |\n",
			d.Title, d.Name, d.ISO, formula(d, d.Over, d.Under), several, needs[d.Over], d.Under.Short())
	}
	return b.String()
}

func formula(d Definition, over, under Name) string {
	upper := "`" + over.Short() + "`"
	if d.Rest {
		upper = "(`" + under.Short() + "` − " + upper + ")"
	}
	if d.Factor != 1 {
		upper += fmt.Sprintf(" × %g", d.Factor)
	}
	return upper + " / `" + under.Short() + "`"
}

// example runs the plant of the document's example.
func example(t *testing.T) string {
	t.Helper()
	const length = 300
	press := func(cycle time.Duration) *MachineConfig {
		return with(func(c *MachineConfig) { c.IdealCycle = cycle })
	}
	// Counters show their increase at the reading of 12:02.
	counted := func(i int, items, good float64) map[telemetry.MetricName]float64 {
		if i < 120 {
			items, good = 0, 0
		}
		return map[telemetry.MetricName]float64{"cycle_count": 5000 + items, "good_count": 4000 + good}
	}
	samples := plantOf{
		"slow": {press(10 * time.Second), func(i int) map[telemetry.MetricName]float64 {
			out := counted(i, 21, 18)
			if out["state"] = 0; i >= 240 {
				out["state"] = 3
			}
			return out
		}},
		"fast": {press(100 * time.Millisecond), func(i int) map[telemetry.MetricName]float64 {
			out := counted(i, 1200, 900)
			if out["state"] = 0; i >= 150 {
				out["state"] = 1
			}
			return out
		}},
		"conveyor": {
			with(func(c *MachineConfig) { c.CountMetric, c.GoodMetric = "", "" }),
			func(i int) map[telemetry.MetricName]float64 {
				return map[telemetry.MetricName]float64{"state": float64(i / 150)}
			},
		},
		"oven": {with(func(c *MachineConfig) { c.Own = false }), func(int) map[telemetry.MetricName]float64 {
			return map[telemetry.MetricName]float64{"temperature": 180}
		}},
	}.run(t, length)
	columns := []struct {
		title  string
		device telemetry.DeviceName
		clock  time.Duration
	}{
		{"slow press", "slow", length * time.Second},
		{"fast press", "fast", length * time.Second},
		{"conveyor", "conveyor", length * time.Second},
		{"gateway", "", length * time.Second},
		{"gateway, a range of 24 h", "", 24 * time.Hour},
	}
	var b strings.Builder
	b.WriteString("| |")
	for _, c := range columns {
		b.WriteString(" " + c.title + " |")
	}
	b.WriteString("\n|" + strings.Repeat(" --- |", len(columns)+1) + "\n")
	row := func(title string, cell func(Totals, bool) string) {
		b.WriteString("| " + title + " |")
		for _, c := range columns {
			b.WriteString(" " + cell(totalsOf(samples, c.device).WithClock(c.clock), c.device == "") + " |")
		}
		b.WriteString("\n")
	}
	for _, name := range []Name{
		ClockSeconds, AllCalendarSeconds, OEECalendarSeconds, UnreportedSeconds, BusySeconds, ProductionSeconds, IdleSeconds, DownSeconds,
		Failures, Produced, Good, IdealSeconds, PerformanceProductionSeconds, QualityIdealSeconds, QualityGoodIdealSeconds,
		OEEGoodIdealSeconds, OEEBusySeconds,
	} {
		row("`"+name.Short()+"`", func(t Totals, _ bool) string {
			v, ok := t.Sums[name]
			if !ok {
				return "null"
			}
			return strconv.FormatFloat(v, 'f', -1, 64)
		})
	}
	for _, d := range Definitions() {
		row("**"+d.Title+"**", func(t Totals, group bool) string { return worked(d, t, group) })
	}
	return b.String()
}

// worked returns a KPI with its fraction.
func worked(d Definition, t Totals, group bool) string {
	v, ok := d.Of(t, group)
	if !ok {
		return "null"
	}
	over, under := d.Over, d.Under
	if group && d.GroupOver != "" && t.Machines[d.Under] != 1 {
		over, under = d.GroupOver, d.GroupUnder
	}
	upper := strconv.FormatFloat(t.Sums[over], 'f', -1, 64)
	lower := strconv.FormatFloat(t.Sums[under], 'f', -1, 64)
	if d.Rest {
		upper = "(" + lower + " − " + upper + ")"
	}
	if d.Factor != 1 {
		upper += fmt.Sprintf(" × %g", d.Factor)
	}
	return fmt.Sprintf("%s / %s = %.5g", upper, lower, v)
}
