package grafana

import (
	"fmt"
	"regexp"

	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
)

// Query is a PromQL query of a panel.
type Query struct {
	Panel, Expr string
	// Instant queries return the current values, others those of a time range.
	Instant bool
}

// Queries returns the queries of all panels, in the order of the panels, after
// Substitute.
func (d Dashboard) Queries(values map[string]string) ([]Query, error) {
	var out []Query
	for _, p := range d.Model.Panels {
		if p.Panel == nil {
			continue // a row
		}
		for _, target := range p.Panel.Targets {
			var q prometheus.Dataquery
			switch v := target.(type) {
			case prometheus.Dataquery:
				q = v
			case *prometheus.Dataquery:
				q = *v
			default:
				return nil, fmt.Errorf("dashboard %s, panel %q: a query of type %T", d.File, title(p.Panel), target)
			}
			out = append(out, Query{Panel: title(p.Panel), Expr: d.Substitute(q.Expr, values), Instant: q.Instant != nil && *q.Instant})
		}
	}
	return out, nil
}

func title(p *dashboard.Panel) string {
	if p.Title == nil {
		return ""
	}
	return *p.Title
}

// Substitute replaces the dashboard's variables by values, as Grafana does. A variable
// that is not in values, such as a price, has its default.
func (d Dashboard) Substitute(expr string, values map[string]string) string {
	for _, v := range d.Model.Templating.List {
		value, ok := values[v.Name]
		if !ok && v.Query != nil && v.Query.String != nil {
			value = *v.Query.String
		}
		expr = regexp.MustCompile(`\$`+regexp.QuoteMeta(v.Name)+`\b`).ReplaceAllLiteralString(expr, value)
	}
	return expr
}
