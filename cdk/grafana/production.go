package grafana

import (
	"fmt"
	"strings"

	"github.com/insighthub/insighthub/lib/kpi"
)

// levels are the sets of labels that sums are added up by, each from the level before.
var levels = [...]struct{ name, labels, from string }{ //nolint:gochecknoglobals // a table
	{"device", "site, gateway, device", ""},
	{"gateway", "site, gateway", "device"},
	{"site", "site", "gateway"},
}

const productionHeader = `# KPIs of production, after ISO 22400-2. Written by the test of cdk/grafana (-update) from the
# definitions in lib/kpi/definitions.go, which docs/KPIS.md explains: change them there.
#
# First the sums of each machine, from these the sums of its gateway and site, then one rule
# for each KPI at all three levels. The label "level" (device, gateway, site) prevents that a
# query sums a machine and its own site. A sum that no machine reported has no sample, and a
# division by zero gives none: "> 0" removes the divisor. A range of 5 min contains the
# windows whose end is in it: 60 windows of 5 s, the last of which closed about 2 s after its
# end. Calendar time comes from the clock: 300 s for each machine that has a window in it.
groups:
`

// ProductionRules returns rules/production.yaml.
func ProductionRules() string {
	b := ruleFile{}
	b.WriteString(productionHeader)
	b.group("insighthub-production-5m", "15s", "5m")
	b.sums(kpi.AllCalendarSeconds.Short(), "sum",
		"300 * group by (site, gateway, device) (present_over_time("+string(kpi.CalendarSeconds)+"[5m]))")
	b.sums(kpi.UnreportedSeconds.Short(), "sum",
		"clamp_min(300 - sum by (site, gateway, device) (sum_over_time("+string(kpi.CalendarSeconds)+"[5m])), 0)")
	for _, name := range []kpi.Name{
		kpi.PlannedSeconds, kpi.BusySeconds, kpi.ProductionSeconds, kpi.Produced, kpi.Good,
		kpi.IdealSeconds, kpi.PerformanceProductionSeconds, kpi.QualityProduced, kpi.QualityGood,
		kpi.QualityIdealSeconds, kpi.QualityGoodIdealSeconds, kpi.OEEGoodIdealSeconds, kpi.OEEBusySeconds,
	} {
		b.overTime(name)
	}
	b.sums(kpi.OEECalendarSeconds.Short(), "sum",
		"300 * group by (site, gateway, device) ("+b.sum(kpi.OEEBusySeconds)+`{level="device"})`)
	b.comment("Machines that take part in quality: of one alone it is by items, of several by ideal time.")
	b.sums("quality_machines", "count", "count by (site, gateway, device) ("+b.sum(kpi.QualityProduced)+`{level="device"})`)
	for _, d := range kpi.Definitions() {
		if d.Name != kpi.MTBF && d.Name != kpi.MTTR {
			b.kpi(d, "ratio5m")
		}
	}

	b.WriteString("\n")
	b.group("insighthub-production-1h", "1m", "1h")
	b.overTime(kpi.ProductionSeconds)
	b.overTime(kpi.Failures)
	b.comment("Down time by reason, and for all reasons.")
	byReason := "insighthub:down_seconds_by_reason:sum1h"
	b.rule(byReason, "sum by (site, gateway, device, reason) (sum_over_time("+string(kpi.DownSeconds)+"[1h]))", "device")
	b.sums(kpi.DownSeconds.Short(), "sum", "sum by (site, gateway, device) ("+byReason+`{level="device"})`)
	for _, d := range kpi.Definitions() {
		if d.Name == kpi.MTBF || d.Name == kpi.MTTR {
			b.kpi(d, "1h")
		}
	}
	return b.String()
}

// ruleFile writes rules of one group at a time.
type ruleFile struct {
	strings.Builder
	span string // 5m or 1h
}

func (b *ruleFile) group(name, interval, span string) {
	b.span = span
	fmt.Fprintf(b, "  - name: %s\n    interval: %s\n    rules:\n", name, interval)
}

func (b *ruleFile) comment(text string) { fmt.Fprintf(b, "      # %s\n", text) }

func (b *ruleFile) rule(record, expr, level string) {
	fmt.Fprintf(b, "      - record: %s\n", record)
	if strings.Contains(expr, "\n") {
		expr = "|\n          " + strings.ReplaceAll(expr, "\n", "\n          ")
	}
	fmt.Fprintf(b, "        expr: %s\n", expr)
	if level != "" {
		fmt.Fprintf(b, "        labels: {level: %s}\n", level)
	}
}

// sum returns the name of a recorded sum.
func (b *ruleFile) sum(name kpi.Name) string { return "insighthub:" + name.Short() + ":sum" + b.span }

// sums records a sum of each machine, and those of gateways and sites.
func (b *ruleFile) sums(name, operation, ofDevice string) {
	record := "insighthub:" + name + ":" + operation + b.span
	for _, level := range levels {
		expr := ofDevice
		if level.from != "" {
			expr = fmt.Sprintf("sum by (%s) (%s{level=%q})", level.labels, record, level.from)
		}
		b.rule(record, expr, level.name)
	}
}

// overTime records the sums of the windows of a metric.
func (b *ruleFile) overTime(name kpi.Name) {
	b.sums(name.Short(), "sum", fmt.Sprintf("sum by (site, gateway, device) (sum_over_time(%s[%s]))", name, b.span))
}

// kpi records a KPI at all levels.
func (b *ruleFile) kpi(d kpi.Definition, operation string) {
	quotient := func(over, under kpi.Name) string {
		upper := b.sum(over)
		if d.Rest {
			upper = "(" + b.sum(under) + " - " + upper + ")"
		}
		if d.Factor != 1 {
			upper += fmt.Sprintf(" * %g", d.Factor)
		}
		if under == kpi.ClockSeconds {
			return upper + " / 300"
		}
		return upper + " / (" + b.sum(under) + " > 0)"
	}
	expr := quotient(d.Over, d.Under)
	if d.GroupOver != "" {
		const one = "insighthub:quality_machines:count5m == 1"
		expr += " and " + one + "\nor\n" + quotient(d.GroupOver, d.GroupUnder) + " unless " + one
	}
	b.comment(d.Title + ": " + d.Help)
	b.rule("insighthub:"+d.Name+":"+operation, expr, "")
}
