package grafana

import (
	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"

	"github.com/insighthub/insighthub/lib/kpi"
)

const (
	percent = "percentunit"
	seconds = "s"

	machineUID = "insighthub-machine"
	// machineURL links a series of a machine to the machine's dashboard.
	machineURL = "/d/" + machineUID + "?${datasource:queryparam}&var-site=${__field.labels.site}" +
		"&var-gateway=${__field.labels.gateway}&var-machine=${__field.labels.device}&${__url_time_range}"
	// machineRowURL links a row of a table to it.
	machineRowURL = "/d/" + machineUID + "?${datasource:queryparam}&var-site=${__data.fields.site}" +
		"&var-gateway=${__data.fields.gateway}&var-machine=${__data.fields.device}&${__url_time_range}"
)

// ratioPanel shows a KPI that is a share.
func ratioPanel(name string, q query, steps []dashboard.Threshold) panel {
	p := panel{
		kind: number, unit: percent, decimals: 1, width: 4, min: new(0.0), max: new(1.0), steps: steps, queries: []query{q},
	}
	for _, d := range kpi.Definitions() {
		if d.Name == name {
			p.title, p.help = d.Title, d.Help
		}
	}
	return p
}

func fleetOverview() spec {
	const (
		bySite    = `{level="site", site=~"$site"}`
		byGateway = `{level="gateway", site=~"$site", gateway=~"$gateway"}`
		byMachine = `{level="device", site=~"$site", gateway=~"$gateway"}`
		window    = `{site=~"$site", gateway=~"$gateway"}`
	)
	ratio := func(name string, steps []dashboard.Threshold) panel {
		return ratioPanel(name, query{"insighthub:" + name + ":ratio5m" + bySite, "{{site}}"}, steps)
	}
	oee := share(0.4, 0.65)
	return spec{
		uid: "insighthub-fleet", folder: "plant", title: "Fleet overview",
		help: "Production of each site, and the machines that need attention. Ratios are of the last five minutes, computed " +
			"from summed times and counts.",
		variables: []cog.Builder[dashboard.VariableModel]{source(), site(), gateway()},
		sections: []section{
			{"Sites", []panel{
				ratio(kpi.OEE, oee),
				ratio(kpi.Availability, share(0.6, 0.8)),
				ratio(kpi.Performance, share(0.6, 0.8)),
				ratio(kpi.Quality, share(0.95, 0.98)),
				ratio(kpi.TEEP, share(0.2, 0.4)),
				{
					kind: number, title: "Throughput", unit: "short", decimals: 0, width: 4,
					help:    "Items per hour, all machines together.",
					queries: []query{{"insighthub:throughput_per_hour:ratio5m" + bySite, "{{site}}"}},
				},
			}},
			{"Over time", []panel{
				{
					kind: lines, title: "OEE by gateway", unit: percent, decimals: 1, width: 12, min: new(0.0), steps: oee,
					help:    "From the summed times and counts of its machines.",
					queries: []query{{"insighthub:oee:ratio5m" + byGateway, "{{site}} {{gateway}}"}},
				},
				{
					kind: stacked, title: "Machine states", unit: "short", decimals: 1, width: 12, min: new(0.0),
					help: "Number of machines in each state, in planned time; down is for all reasons.",
					queries: []query{
						{"sum(insighthub_window_production_seconds" + window + ") / 5", "running"},
						{"sum(insighthub_window_idle_seconds" + window + ") / 5", "idle"},
						{"sum(insighthub_window_setup_seconds" + window + ") / 5", "setup"},
						{"sum(insighthub_window_down_seconds" + window + ") / 5", "down"},
						{"sum(insighthub_window_unknown_seconds" + window + ") / 5", "unknown"},
					},
				},
			}},
			{"Anomalies", []panel{
				{
					kind: stacked, title: "Anomalies by site", unit: "short", decimals: 0, width: 12, min: new(0.0),
					help:    "Per minute, by event time; those of the detector and of alarm rules.",
					queries: []query{{"sum by (site) (count_over_time(insighthub_anomaly_score" + window + "[1m]))", "{{site}}"}},
				},
				{
					kind: bars, title: "Most anomalies", unit: "short", decimals: 0, width: 12, min: new(0.0), steps: rising(5, 20),
					help: "The ten machines with the most anomalies in the last hour. Click a machine for its details.",
					queries: []query{
						{
							"topk(10, sum by (site, gateway, device) (count_over_time(insighthub_anomaly_score" + window + "[1h])))",
							"{{site}} {{gateway}} {{device}}",
						},
					},
					links: []link{{"Machine detail", machineURL}},
				},
			}},
			{"Machines", []panel{
				{
					kind: bars, title: "Worst OEE", unit: percent, decimals: 1, width: 8, min: new(0.0), max: new(1.0), steps: oee,
					help:    "The ten machines with the lowest OEE. Click a machine for its details.",
					queries: []query{{"bottomk(10, insighthub:oee:ratio5m" + byMachine + ")", "{{site}} {{gateway}} {{device}}"}},
					links:   []link{{"Machine detail", machineURL}},
				},
				{
					kind: bars, title: "Down time by reason", unit: seconds, decimals: 0, width: 8, min: new(0.0), steps: rising(60, 600),
					help: "In the last hour.",
					queries: []query{
						{`sort_desc(sum by (reason) (insighthub:down_seconds_by_reason:sum1h` + byMachine + `))`, "{{reason}}"},
					},
				},
				{
					kind: bars, title: "Failures", unit: "short", decimals: 0, width: 8, min: new(0.0), steps: rising(2, 5),
					help:    "Transitions to down in the last hour, the ten worst. Click a machine for its details.",
					queries: []query{{"topk(10, insighthub:failures:sum1h" + byMachine + ")", "{{site}} {{gateway}} {{device}}"}},
					links:   []link{{"Machine detail", machineURL}},
				},
				{
					kind: rows, title: "All machines", unit: percent, decimals: 1, width: 24, steps: oee,
					help: "Click a machine for its details.",
					queries: []query{
						{"insighthub:oee:ratio5m" + byMachine, "OEE"},
						{"insighthub:availability:ratio5m" + byMachine, "Availability"},
						{"insighthub:performance:ratio5m" + byMachine, "Performance"},
						{"insighthub:quality:ratio5m" + byMachine, "Quality"},
						{"insighthub:scrap:ratio5m" + byMachine, "Scrap"},
					},
					links: []link{{"Machine detail", machineRowURL}},
				},
			}},
		},
	}
}

func machineDetail() spec {
	const (
		labels = `site=~"$site", gateway=~"$gateway", device="$machine"`
		this   = "{" + labels + "}"
		ratio  = `{level="device", ` + labels + "}"
	)
	one := func(name string, steps []dashboard.Threshold) panel {
		return ratioPanel(name, query{"insighthub:" + name + ":ratio5m" + ratio, "{{site}} {{gateway}} {{device}}"}, steps)
	}
	signal := func(title, metric, unit string) panel {
		series := `{` + labels + `, metric="` + metric + `"}`
		return panel{
			kind: lines, title: title, help: "Mean, minimum and maximum of each window of 5 s.", unit: unit, decimals: 1, width: 8,
			queries: []query{
				{"insighthub_series_mean" + series, "mean"},
				{"insighthub_series_min" + series, "min"},
				{"insighthub_series_max" + series, "max"},
			},
		}
	}
	return spec{
		uid: machineUID, folder: "plant", title: "Machine detail",
		help:      "One machine: OEE, its factors and losses, failures and signals.",
		variables: []cog.Builder[dashboard.VariableModel]{source(), site(), gateway(), machine()},
		sections: []section{
			{"OEE", []panel{
				one(kpi.OEE, share(0.4, 0.65)),
				one(kpi.Availability, share(0.6, 0.8)),
				one(kpi.Performance, share(0.6, 0.8)),
				one(kpi.Quality, share(0.95, 0.98)),
				one(kpi.TEEP, share(0.2, 0.4)),
				one(kpi.Scrap, rising(0.02, 0.05)),
				{
					kind: lines, title: "OEE and its factors", unit: percent, decimals: 1, width: 12, min: new(0.0),
					help: "The factor that drops together with OEE is the cause.",
					queries: []query{
						{"insighthub:oee:ratio5m" + ratio, "OEE"},
						{"insighthub:availability:ratio5m" + ratio, "availability"},
						{"insighthub:performance:ratio5m" + ratio, "performance"},
						{"insighthub:quality:ratio5m" + ratio, "quality"},
					},
				},
				{
					kind: stacked, title: "Lost time", unit: seconds, decimals: 0, width: 12, min: new(0.0),
					help: "How the planned busy time of five minutes was spent: good items and scrap at the ideal cycle time, " +
						"reduced speed and short stops (slow), and no production.",
					queries: []query{
						{"insighthub:quality_good_ideal_seconds:sum5m" + ratio, "good"},
						{
							"insighthub:quality_ideal_seconds:sum5m" + ratio + " - insighthub:quality_good_ideal_seconds:sum5m" + ratio,
							"scrap",
						},
						{
							"clamp_min(insighthub:performance_production_seconds:sum5m" + ratio +
								" - insighthub:ideal_seconds:sum5m" + ratio + ", 0)",
							"slow",
						},
						{"insighthub:busy_seconds:sum5m" + ratio + " - insighthub:production_seconds:sum5m" + ratio, "not running"},
					},
				},
			}},
			{"Time and failures", []panel{
				{
					kind: stacked, title: "State", unit: seconds, decimals: 1, width: 12, min: new(0.0), max: new(5.0),
					help: "Seconds of each window of 5 s.",
					queries: []query{
						{"sum(insighthub_window_production_seconds" + this + ")", "running"},
						{"sum(insighthub_window_idle_seconds" + this + ")", "idle"},
						{"sum(insighthub_window_setup_seconds" + this + ")", "setup"},
						{"sum by (reason) (insighthub_window_down_seconds" + this + ")", "down {{reason}}"},
						{"sum(insighthub_window_unknown_seconds" + this + ")", "unknown"},
					},
				},
				{
					kind: bars, title: "Down time by reason", unit: seconds, decimals: 0, width: 4, min: new(0.0), steps: rising(60, 600),
					help:    "In the last hour.",
					queries: []query{{"sort_desc(insighthub:down_seconds_by_reason:sum1h" + ratio + ")", "{{reason}}"}},
				},
				{
					kind: number, title: "MTBF", unit: seconds, decimals: 0, width: 4, steps: falling(600, 1800),
					help:    "Production time per failure in the last hour; no value without a failure.",
					queries: []query{{"insighthub:mtbf_seconds:1h" + ratio, "{{site}} {{gateway}} {{device}}"}},
				},
				{
					kind: number, title: "MTTR", unit: seconds, decimals: 0, width: 4, steps: rising(120, 600),
					help:    "Down time per failure in the last hour; no value without a failure.",
					queries: []query{{"insighthub:mttr_seconds:1h" + ratio, "{{site}} {{gateway}} {{device}}"}},
				},
				{
					kind: lines, title: "Items", help: "Per window of 5 s.", unit: "short", decimals: 0, width: 12, min: new(0.0),
					queries: []query{{"insighthub_window_produced" + this, "produced"}, {"insighthub_window_good" + this, "good"}},
				},
				{
					kind: lines, title: "Throughput", help: "Items per hour.", unit: "short", decimals: 0, width: 12, min: new(0.0),
					queries: []query{{"insighthub:throughput_per_hour:ratio5m" + ratio, "{{site}} {{gateway}} {{device}}"}},
				},
			}},
			{"Anomalies", []panel{
				{
					kind: lines, title: "Anomaly score", unit: "short", decimals: 2, width: 16,
					min: new(0.0), max: new(1.0), steps: rising(0.5, 0.8),
					help: "Highest score of each metric in each minute with an anomaly. Without a metric: all sensors of the " +
						"machine together. Alarm rules have the score 1.",
					queries: []query{
						{"max by (metric, kind) (max_over_time(insighthub_anomaly_score" + this + "[1m]))", "{{metric}} {{kind}}"},
					},
				},
				{
					kind: bars, title: "Anomalies by metric", unit: "short", decimals: 0, width: 8, min: new(0.0), steps: rising(5, 20),
					help: "In the last hour.",
					queries: []query{
						{
							"sort_desc(sum by (metric, kind) (count_over_time(insighthub_anomaly_score" + this + "[1h])))",
							"{{metric}} {{kind}}",
						},
					},
				},
			}},
			{"Signals", []panel{
				signal("Temperature", "temperature", "celsius"),
				signal("Vibration", "vibration", "suffix:mm/s"),
				signal("Pressure", "pressure", "pressurebar"),
				signal("Motor current", "motor_current", "amp"),
				signal("Power", "power", "kwatt"),
				signal("Speed", "speed", "rotrpm"),
				{
					kind: rows, title: "Latest readings", help: "By event time.", unit: "short", decimals: 2, width: 24,
					queries: []query{
						{"insighthub_series_last" + this, "Last"},
						{"insighthub_series_samples" + this, "Readings in the window"},
					},
				},
			}},
		},
	}
}
