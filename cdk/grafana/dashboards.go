package grafana

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

// Model is a dashboard in the classic schema, which file provisioning and Amazon
// Managed Grafana accept; Grafana versions with the new schema still read it.
type Model = dashboard.Dashboard //nolint:staticcheck // the new schema is not supported everywhere, see above

// Dashboard is a dashboard and the path of its file.
type Dashboard struct {
	// File is its path below dashboards/; its directory becomes the folder in Grafana.
	File  string
	Model Model
}

// Dashboards builds all dashboards. An error means that one is not valid by the schema.
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

// JSON returns the file that Grafana reads.
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

// spec describes a dashboard.
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

// tag is on every dashboard; the drop-down list of links selects by it.
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

// source is the variable that selects the Prometheus server or workspace.
func source() cog.Builder[dashboard.VariableModel] {
	return dashboard.NewDatasourceVariableBuilder("datasource").Label("Data source").Type("prometheus")
}

// choice is a variable with the values of a label.
func choice(name, label, selector string, multi bool) cog.Builder[dashboard.VariableModel] {
	b := dashboard.NewQueryVariableBuilder(name).Label(name).Datasource(datasource()).
		Query(dashboard.StringOrMap{String: new("label_values(" + selector + ", " + label + ")")}).
		Definition("label_values(" + selector + ", " + label + ")").
		Refresh(dashboard.VariableRefreshOnTimeRangeChanged).Sort(dashboard.VariableSortAlphabeticalAsc)
	if multi {
		b = b.Multi(true).IncludeAll(true).AllValue(".*").
			Current(option("All", "$__all"))
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

func option(text, value string) dashboard.VariableOption {
	return dashboard.VariableOption{
		Text: dashboard.StringOrArrayOfString{String: &text}, Value: dashboard.StringOrArrayOfString{String: &value},
	}
}

// price is a variable with a number that the operator can change.
func price(name, label, help, value string) cog.Builder[dashboard.VariableModel] {
	return dashboard.NewTextBoxVariableBuilder(name).Label(label).Description(help).
		DefaultValue(dashboard.StringOrMap{String: &value}).
		Current(option(value, value))
}
