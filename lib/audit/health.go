package audit

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

// Sample is one series of an instant query's answer.
type Sample struct {
	Labels map[string]string
	Value  float64
}

// Prometheus answers instant queries.
type Prometheus interface {
	Query(ctx context.Context, expression string) ([]Sample, error)
}

// Figure is a figure of the platform's health with its thresholds. The worst of a
// query's series counts.
type Figure struct {
	Name  string // what the report calls it
	Query string
	// Show is a format for the value, such as "%.0f s".
	Show string
	// Warn and Fail are the values above which it does.
	Warn, Fail float64
	Todo       string
}

// AlertName is that of the alert about audits themselves; it is no reason to fail the
// next one.
const AlertName = "AuditFailed"

// Figures is what the platform's health is judged by.
func Figures() []Figure {
	never := math.Inf(1)
	return []Figure{
		{
			"newest figures", `time() - max(timestamp(insighthub_window_events))`, "%.0f s old", 60, 180,
			"see that gateways send, and that the bridge keeps up",
		},
		{
			"ingest errors", `sum(increase(insighthub_ingest_requests_total{status=~"5.."}[15m]) or vector(0)) / (sum(increase(insighthub_ingest_requests_total[15m])) > 0)`,
			"%.4f of the requests of 15 minutes", 0.001, 0.01, "read the log of functions/ingest; is the stream throttled?",
		},
		{
			"store behind", `1 - clamp_max(insighthub:stored_events_per_second:rate5m * 300 / (sum(insighthub:events:sum5m{level="site"}) > 0), 1)`,
			"%.2f of the events of 5 minutes not stored yet", 0.5, 0.8, "read the log of functions/store; is the database slow or away?",
		},
		{
			"bridge behind", `max(insighthub:bridge_behind_seconds:max)`, "%.1f s", 10, 30,
			"read the log of functions/bridge; does Prometheus refuse its writes?",
		},
		{
			"poison records", `sum(increase(insighthub_store_poison_records_total[1h]))`, "%.0f in an hour", 0, never,
			"the failure bucket has them and their reasons",
		},
		{
			"conflicting events", `sum(increase(insighthub_store_conflicts_total[1h]))`, "%.0f in an hour", 0, never,
			"table conflict has them; do two machines send under one name?",
		},
		{
			"late events", `max(insighthub:late:ratio5m{level="gateway"})`, "%.4f of the events of 5 minutes", 0.01, 0.2,
			"a gateway that empties its spool, or a clock that is slow",
		},
		{
			"function errors", `sum by (function) (increase(insighthub_invocation_errors_total[15m])) / (sum by (function) (increase(insighthub_invocations_total[15m])) > 0)`,
			"%.4f of the invocations of 15 minutes", 0, 0.05, "read the function's log",
		},
		{
			"refused samples", `sum(increase(insighthub_bridge_samples_total{outcome="rejected"}[1h]))`, "%.0f in an hour", 0, never,
			"the log of functions/bridge says why Prometheus refused them",
		},
	}
}

// HealthCheck reads the figures, and the alerts that fire. A figure that is not there
// warns: nobody knows.
func HealthCheck(p Prometheus, figures []Figure) Check {
	return func(ctx context.Context) []Finding {
		if _, err := p.Query(ctx, "vector(1)"); err != nil {
			return []Finding{{"health: prometheus", Fail, err.Error(), "see that Prometheus runs and can be asked from here: without it nobody is alarmed"}}
		}
		findings := []Finding{{Check: "health: prometheus", Result: Pass, Found: "it answers"}}
		for _, f := range figures {
			findings = append(findings, f.judge(p.Query(ctx, f.Query)))
		}
		return append(findings, alerts(p.Query(ctx, `ALERTS{alertstate="firing",alertname!="`+AlertName+`"}`)))
	}
}

func (f Figure) judge(samples []Sample, err error) Finding {
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
		out.Result, out.Found = Warn, "no such figure in the last minutes"
		return out
	}
	out.Found = fmt.Sprintf(f.Show, worst.Value)
	// What a rate extrapolates from nothing is nothing.
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

// alerts judges those that fire by their severity: critical fails, others warn.
func alerts(samples []Sample, err error) Finding {
	f := Finding{Check: "health: alerts", Result: Pass, Found: "none fires", Todo: "docs/DASHBOARDS.md says what each alert asks for"}
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
