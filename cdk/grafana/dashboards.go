package grafana

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

// Model is the classic schema, which file provisioning and Amazon Managed Grafana
// take; those that serve its successor still read it.
type Model = dashboard.Dashboard //nolint:staticcheck // the successor is not understood everywhere, see above

// Dashboard is a dashboard and where it is kept.
type Dashboard struct {
	// File is its path below dashboards/; the folder is that in Grafana.
	File  string
	Model Model
}

// Dashboards builds all of them. An error means that one does not fit the schema.
func Dashboards() ([]Dashboard, error) {
	var out []Dashboard
	for _, spec := range []spec{fleetOverview(), machineDetail(), pipelineHealth(), latencyAndCost()} {
		model, err := spec.build()
		if err != nil {
			return nil, fmt.Errorf("dashboard %s: %w", spec.uid, err)
		}
		out = append(out, Dashboard{File: spec.folder + "/" + spec.uid + ".json", Model: model})
	}
	return out, nil
}

// JSON is the file that Grafana reads.
func (d Dashboard) JSON() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(d.Model); err != nil {
		return nil, fmt.Errorf("dashboard %s: %w", d.File, err)
	}
	return b.Bytes(), nil
}

// spec says what a dashboard holds.
type spec struct {
	uid, folder, title, help string
	variables                []cog.Builder[dashboard.VariableModel]
	sections                 []section
}

// section is a row and the panels below it.
type section struct {
	title  string
	panels []panel
}

// tag is on every dashboard; the drop-down list of links is made of it.
const tag = "insighthub"

func (s spec) build() (Model, error) {
	b := dashboard.NewDashboardBuilder(s.title). //nolint:staticcheck // see Model
							Uid(s.uid).Description(s.help).Tags([]string{tag}).
							Time("now-30m", "now").Refresh("10s").Timezone("browser").Readonly().
							Tooltip(dashboard.DashboardCursorSyncCrosshair).
							Variables(s.variables).
							Link(dashboard.NewDashboardLinkBuilder("IoT InsightHub").
								Type(dashboard.DashboardLinkTypeDashboards).Tags([]string{tag}).
								AsDropdown(true).IncludeVars(true).KeepTime(true))
	for _, section := range s.sections {
		b = b.WithRow(dashboard.NewRowBuilder(section.title))
		for _, panel := range section.panels {
			b = b.WithPanel(panel.builder())
		}
	}
	model, err := b.Build()
	if err != nil {
		return model, err
	}
	id := uint32(0)
	for _, p := range model.Panels {
		id++
		if p.Panel != nil {
			p.Panel.Id = new(id)
		} else {
			p.RowPanel.Id = id
		}
	}
	return model, model.Validate()
}

// source lets the operator choose among several Prometheus servers or workspaces.
func source() cog.Builder[dashboard.VariableModel] {
	return dashboard.NewDatasourceVariableBuilder("datasource").Label("Data source").Type("prometheus")
}

// choice is a variable whose values are those of a label.
func choice(name, label, selector string, multi bool) cog.Builder[dashboard.VariableModel] {
	b := dashboard.NewQueryVariableBuilder(name).Label(name).Datasource(datasource()).
		Query(dashboard.StringOrMap{String: new("label_values(" + selector + ", " + label + ")")}).
		Definition("label_values(" + selector + ", " + label + ")").
		Refresh(dashboard.VariableRefreshOnTimeRangeChanged).Sort(dashboard.VariableSortAlphabeticalAsc)
	if multi {
		b = b.Multi(true).IncludeAll(true).AllValue(".*").
			Current(dashboard.VariableOption{Text: dashboard.StringOrArrayOfString{String: new("All")}, Value: dashboard.StringOrArrayOfString{String: new("$__all")}})
	}
	return b
}

func site() cog.Builder[dashboard.VariableModel] {
	return choice("site", "site", "insighthub_window_events", true)
}

func gateway() cog.Builder[dashboard.VariableModel] {
	return choice("gateway", "gateway", `insighthub_window_events{site=~"$site"}`, true)
}

func machine() cog.Builder[dashboard.VariableModel] {
	return choice("machine", "device", `insighthub_window_calendar_seconds{site=~"$site", gateway=~"$gateway"}`, false)
}

// price is a number that the operator may correct.
func price(name, label, help, value string) cog.Builder[dashboard.VariableModel] {
	return dashboard.NewTextBoxVariableBuilder(name).Label(label).Description(help).
		DefaultValue(dashboard.StringOrMap{String: &value}).
		Current(dashboard.VariableOption{Text: dashboard.StringOrArrayOfString{String: &value}, Value: dashboard.StringOrArrayOfString{String: &value}})
}
