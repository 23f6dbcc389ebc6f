// Package grafana builds the dashboards, from the published Go types of Grafana's
// schema, and holds beside them the rules that Prometheus evaluates and the files
// by which a Grafana of one's own is provisioned.
//
// The files in dashboards/ are what this package builds; a test compares them, and
// go test ./cdk/grafana -update writes them, and the panels' data of a test run in
// docs/dashboards, anew.
//
// The rules' ratios exist for machines, gateways and sites under one name; the
// label "level" tells which. A query without it counts everything three times.
package grafana

import "embed"

//go:embed rules/*.yaml
var rules embed.FS

// Rules returns the rule files in the folder "rules", as Prometheus and the
// managed workspace (a rule groups namespace per file) take them.
func Rules() embed.FS { return rules }
