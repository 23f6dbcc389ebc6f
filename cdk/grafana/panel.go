package grafana

import (
	"github.com/grafana/grafana-foundation-sdk/go/bargauge"
	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/cog/variants"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/table"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
)

// kind is how a panel displays its queries.
type kind uint8

const (
	lines   kind = iota // over time
	stacked             // over time, stacked
	number              // the latest value
	bars                // the latest values side by side
	rows                // the latest values as a table, joined by their labels
)

// query is an expression of a panel and the legend of its series.
type query struct{ expr, legend string }

// panel describes a panel.
type panel struct {
	kind        kind
	title, help string
	unit        string
	decimals    float64
	width       uint32 // of 24
	min, max    *float64
	steps       []dashboard.Threshold
	queries     []query
	links       []link
}

// link is a link from a value to another dashboard.
type link struct{ title, url string }

const (
	green  = "green"
	yellow = "orange"
	red    = "red"
	purple = "purple" // more than can be
)

func step(color string, from float64) dashboard.Threshold {
	return dashboard.Threshold{Color: color, Value: &from}
}

// rising are the thresholds of a value that is bad when it is high, falling of one that
// is bad when it is low.
func rising(warn, bad float64) []dashboard.Threshold {
	return []dashboard.Threshold{{Color: green}, step(yellow, warn), step(red, bad)}
}

func falling(bad, warn float64) []dashboard.Threshold {
	return []dashboard.Threshold{{Color: red}, step(yellow, bad), step(green, warn)}
}

// share are the thresholds of a share that is bad when it is low; more than 1 shows an error
// in the configuration or in a counter.
func share(bad, warn float64) []dashboard.Threshold {
	return append(falling(bad, warn), step(purple, 1.000001))
}

func datasource() common.DataSourceRef {
	return common.DataSourceRef{Type: new("prometheus"), Uid: new("${datasource}")}
}

// settings are the methods that the builders of all panels have in common.
type settings[B any] interface {
	Title(string) B
	Description(string) B
	Datasource(common.DataSourceRef) B
	Height(uint32) B
	Span(uint32) B
	Unit(string) B
	Decimals(float64) B
	NoValue(string) B
	Min(float64) B
	Max(float64) B
	Thresholds(cog.Builder[dashboard.ThresholdsConfig]) B
	DataLinks([]cog.Builder[dashboard.DashboardLink]) B
	WithTarget(cog.Builder[variants.Dataquery]) B
	cog.Builder[dashboard.Panel]
}

func (p panel) builder() cog.Builder[dashboard.Panel] {
	switch p.kind {
	case number:
		return apply(stat.NewPanelBuilder(), p, 5).ReduceOptions(latest()).
			GraphMode(common.BigValueGraphModeNone).ColorMode(common.BigValueColorModeValue)
	case bars:
		return apply(bargauge.NewPanelBuilder(), p, 8).ReduceOptions(latest()).
			Orientation(common.VizOrientationHorizontal).DisplayMode(common.BarGaugeDisplayModeGradient)
	case rows:
		// The schema requires a list, though it is empty.
		footer := common.NewTableFooterOptionsBuilder().Show(false).Reducer([]string{})
		b := apply(table.NewPanelBuilder(), p, 10).Footer(footer)
		for _, t := range tableTransformations(p) {
			b = b.WithTransformation(t)
		}
		return b
	case stacked:
		return timeSeries(p).FillOpacity(40).Stacking(common.NewStackingConfigBuilder().Mode(common.StackingModeNormal))
	case lines:
		return timeSeries(p).FillOpacity(8)
	}
	return nil
}

func timeSeries(p panel) *timeseries.PanelBuilder {
	legend := common.NewVizLegendOptionsBuilder().ShowLegend(true).
		DisplayMode(common.LegendDisplayModeTable).Placement(common.LegendPlacementBottom).Calcs([]string{"lastNotNull", "max"})
	return apply(timeseries.NewPanelBuilder(), p, 8).
		LineWidth(1).ShowPoints(common.VisibilityModeNever).
		Legend(legend).
		Tooltip(common.NewVizTooltipOptionsBuilder().Mode(common.TooltipDisplayModeMulti).Sort(common.SortOrderDescending))
}

func latest() cog.Builder[common.ReduceDataOptions] {
	return common.NewReduceDataOptionsBuilder().Calcs([]string{"lastNotNull"})
}

func apply[B settings[B]](b B, p panel, height uint32) B {
	b = b.Title(p.title).Description(p.help).Datasource(datasource()).Height(height).Span(p.width).Unit(p.unit).Decimals(p.decimals).
		NoValue("no data")
	if p.min != nil {
		b = b.Min(*p.min)
	}
	if p.max != nil {
		b = b.Max(*p.max)
	}
	if p.steps != nil {
		b = b.Thresholds(dashboard.NewThresholdsConfigBuilder().Mode(dashboard.ThresholdsModeAbsolute).Steps(p.steps))
	}
	if p.links != nil {
		var links []cog.Builder[dashboard.DashboardLink]
		for _, l := range p.links {
			links = append(links, dashboard.NewDashboardLinkBuilder(l.title).Type(dashboard.DashboardLinkTypeLink).Url(l.url))
		}
		b = b.DataLinks(links)
	}
	for i, q := range p.queries {
		target := prometheus.NewDataqueryBuilder().RefId(string(rune('A' + i))).Datasource(datasource()).Expr(q.expr).LegendFormat(q.legend)
		switch p.kind {
		case rows:
			target = target.Instant().Format(prometheus.PromQueryFormatTable)
		case bars, number: // a range would show a value of before where there is none now
			target = target.Instant()
		case lines, stacked:
			target = target.Range()
		}
		b = b.WithTarget(target)
	}
	return b
}

// tableTransformations merges the results of the queries by their labels and names the
// value columns after the queries' legends.
func tableTransformations(p panel) []dashboard.DataTransformerConfig {
	names := map[string]string{}
	for i, q := range p.queries {
		value := "Value"
		if len(p.queries) > 1 {
			value += " #" + string(rune('A'+i))
		}
		names[value] = q.legend
	}
	return []dashboard.DataTransformerConfig{
		{Id: "merge", Options: map[string]any{}},
		{Id: "organize", Options: map[string]any{
			"excludeByName": map[string]bool{"Time": true, "__name__": true, "level": true},
			"renameByName":  names,
		}},
	}
}
