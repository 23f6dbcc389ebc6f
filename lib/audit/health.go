package audit

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

// Sample is one series of the result of an instant query.
type Sample struct {
	Labels map[string]string
	Value  float64
}

// Prometheus evaluates instant queries.
type Prometheus interface {
	Query(ctx context.Context, expression string) ([]Sample, error)
}

// Indicator is a PromQL expression with its thresholds. Its series with the highest value
// counts.
type Indicator struct {
	Name  string // in the report
	Query string
	// Show is a format for the value, such as "%.0f s".
	Show string
	// Warn and Fail are the thresholds: the result if the value is above.
	Warn, Fail float64
	Todo       string
}

// AlertName is the name of the alert about a failed self-check: it must not fail the next one.
const AlertName = "AuditFailed"

// Indicators returns the indicators of the platform's health.
func Indicators() []Indicator {
	never := math.Inf(1)
	return []Indicator{
		{
			"newest figures", `time() - max(timestamp(insighthub_window_events))`, "%.0f s old", 60, 180,
			"check that gateways send and that the bridge has no backlog",
		},
		{
			"ingest errors", `sum(increase(insighthub_ingest_requests_total{status=~"5.."}[15m]) or vector(0)) ` +
				`/ (sum(increase(insighthub_ingest_requests_total[15m])) > 0)`,
			"%.4f of the requests of 15 minutes", 0.001, 0.01, "read the log of functions/ingest; is the stream throttled?",
		},
		{
			"store behind", `1 - clamp_max(insighthub:stored_events_per_second:rate5m * 300 ` +
				`/ (sum(insighthub:events:sum5m{level="site"}) > 0), 1)`,
			"%.2f of the events of 5 minutes not stored yet", 0.5, 0.8,
			"read the log of functions/store; is the database slow or unavailable?",
		},
		{
			"bridge behind", `max(insighthub:bridge_behind_seconds:max)`, "%.1f s", 10, 30,
			"read the log of functions/bridge; does Prometheus reject its writes?",
		},
		{
			"poison records", `sum(increase(insighthub_store_poison_records_total[1h]))`, "%.0f in an hour", 0, never,
			"read them and their reasons in the failure bucket",
		},
		{
			"conflicting events", `sum(increase(insighthub_store_conflicts_total[1h]))`, "%.0f in an hour", 0, never,
			"read GET /v1/sites/{site}/conflicts; the check conflicts: devices names the devices",
		},
		{
			"late events", `max(insighthub:late:ratio5m{level="gateway"})`, "%.4f of the events of 5 minutes", 0.01, 0.2,
			"find out whether a gateway uploads its spool or its clock is slow",
		},
		{
			"function errors", `sum by (function) (increase(insighthub_invocation_errors_total[15m])) ` +
				`/ (sum by (function) (increase(insighthub_invocations_total[15m])) > 0)`,
			"%.4f of the invocations of 15 minutes", 0, 0.05, "read the function's log",
		},
		{
			"rejected samples", `sum(increase(insighthub_bridge_samples_total{outcome="rejected"}[1h]))`, "%.0f in an hour", 0, never,
			"read in the log of functions/bridge why Prometheus rejected them",
		},
		{
			"audit trail behind", `max(insighthub_trail_unsealed_seconds)`, "the oldest entry outside the chain is %.0f s old", 120, 600,
			"read the log of functions/rollup: the trail cannot be sealed",
		},
	}
}

// HealthCheck evaluates the indicators and reads the firing alerts. An indicator without a
// sample warns.
func HealthCheck(p Prometheus, indicators []Indicator) Check {
	return func(ctx context.Context) []Finding {
		if _, err := p.Query(ctx, "vector(1)"); err != nil {
			return []Finding{{
				"health: prometheus", Fail, err.Error(), "check that Prometheus runs and is reachable from here: without it no alert fires",
			}}
		}
		findings := []Finding{{Check: "health: prometheus", Result: Pass, Found: "it responds"}}
		for _, f := range indicators {
			findings = append(findings, f.judge(p.Query(ctx, f.Query)))
		}
		return append(findings, alerts(p.Query(ctx, `ALERTS{alertstate="firing",alertname!="`+AlertName+`"}`)))
	}
}

func (f Indicator) judge(samples []Sample, err error) Finding {
	out := Finding{Check: "health: " + f.Name, Result: Pass, Todo: f.Todo}
	if err != nil {
		out.Result, out.Found = Fail, err.Error()
		return out
	}
	var worst *Sample
	for i, s := range samples {
		if !math.IsNaN(s.Value) && (worst == nil || s.Value > worst.Value) {
			worst = &samples[i]
		}
	}
	if worst == nil {
		out.Result, out.Found = Warn, "no sample in the last minutes"
		return out
	}
	out.Found = fmt.Sprintf(f.Show, worst.Value)
	// Less than this is a rounding error of increase().
	const noise = 1e-9
	switch {
	case worst.Value > f.Fail+noise:
		out.Result = Fail
	case worst.Value > f.Warn+noise:
		out.Result = Warn
	}
	if text := labels(worst.Labels); text != "" && out.Result != Pass {
		out.Found += " (" + text + ")"
	}
	return out
}

func labels(set map[string]string) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(set)) {
		if name != "__name__" {
			parts = append(parts, name+" "+set[name])
		}
	}
	return strings.Join(parts, ", ")
}

// alerts returns the finding of the firing alerts: critical ones fail, others warn.
func alerts(samples []Sample, err error) Finding {
	f := Finding{Check: "health: alerts", Result: Pass, Found: "none is firing"}
	f.Todo = "docs/DASHBOARDS.md describes what to do for each alert"
	if err != nil {
		f.Result, f.Found = Fail, err.Error()
		return f
	}
	count := make(map[string]int)
	for _, s := range samples {
		severity := s.Labels["severity"]
		count[s.Labels["alertname"]+" ("+severity+")"]++
		if severity == "critical" {
			f.Result = Fail
		} else {
			f.Result = worse(f.Result, Warn)
		}
	}
	var names []string
	for _, name := range slices.Sorted(maps.Keys(count)) {
		if n := count[name]; n > 1 {
			name += fmt.Sprintf(" × %d", n)
		}
		names = append(names, name)
	}
	if len(names) > 0 {
		f.Found = strings.Join(names, ", ")
	}
	return f
}
