package grafana

import (
	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

func pipelineHealth() spec {
	const (
		window    = `{site=~"$site", gateway=~"$gateway"}`
		byGateway = `{level="gateway", site=~"$site", gateway=~"$gateway"}`
		bySite    = `{level="site", site=~"$site"}`
		// The age at the window's end and the time since: it grows when windows stop.
		age = "time() - timestamp(insighthub_freshness_seconds" + window + ") + insighthub_freshness_seconds" + window
	)
	return spec{
		uid: "insighthub-pipeline", folder: "platform", title: "Pipeline health",
		help:      "Whether all that the gateways send arrives, once, and is good.",
		variables: []cog.Builder[dashboard.VariableModel]{source(), site(), gateway()},
		sections: []section{
			{"Now", []panel{
				{kind: number, title: "Events", help: "Per second, by event time.", unit: "cps", decimals: 0, width: 4, queries: []query{{"sum(insighthub:events_per_second:ratio5m" + bySite + ")", "events"}}},
				{kind: number, title: "Alerts", help: "That fire.", unit: "short", decimals: 0, width: 4, steps: rising(1, 3), queries: []query{{`count(ALERTS{alertstate="firing"}) or vector(0)`, "firing"}}},
				{kind: number, title: "Stalest gateway", help: "Time since its last event.", unit: seconds, decimals: 1, width: 4, steps: rising(15, 60), queries: []query{{"max(" + age + ")", "freshness"}}},
				{kind: number, title: "Bridge behind", help: "Between the newest record on the stream and the newest that is in these KPIs.", unit: seconds, decimals: 1, width: 4, steps: rising(10, 30), queries: []query{{"max(insighthub:bridge_behind_seconds:max)", "behind"}}},
				{kind: number, title: "Poison records", help: "Per second; nobody can read them.", unit: "cps", decimals: 2, width: 4, steps: rising(0.001, 0.1), queries: []query{{"insighthub:poison_records_per_second:rate5m", "poison"}}},
				{kind: number, title: "Conflicts", help: "Per second: a reading offered again with another value.", unit: "cps", decimals: 2, width: 4, steps: rising(0.001, 0.1), queries: []query{{"insighthub:conflicts_per_second:rate5m", "conflicts"}}},
			}},
			{"Gateways", []panel{
				{kind: lines, title: "Events by gateway", help: "Per second.", unit: "cps", decimals: 0, width: 12, min: new(0.0), queries: []query{{"insighthub:events_per_second:ratio5m" + byGateway, "{{site}} {{gateway}}"}}},
				{kind: lines, title: "Freshness", help: "Time since the last event of each gateway.", unit: seconds, decimals: 1, width: 12, min: new(0.0), steps: rising(15, 60), queries: []query{{age, "{{site}} {{gateway}}"}}},
				{kind: lines, title: "Late, bad, duplicate", help: "Shares of a site's events in five minutes. Late ones came after their window had closed: they are in the database only.", unit: percent, decimals: 2, width: 12, min: new(0.0), queries: []query{
					{"insighthub:late:ratio5m" + bySite, "late {{site}}"},
					{"insighthub:bad_quality:ratio5m" + bySite, "bad {{site}}"},
					{"insighthub:duplicate:ratio5m" + bySite, "duplicate {{site}}"},
				}},
				{kind: lines, title: "Gaps", help: "Share of the time in which a gateway was silent beyond its limit.", unit: percent, decimals: 1, width: 12, min: new(0.0), max: new(1.0), steps: rising(0.01, 0.1), queries: []query{{"insighthub:gap:ratio5m" + byGateway, "{{site}} {{gateway}}"}}},
				{kind: rows, title: "All gateways", help: "Counts of the latest window of 5 s. Early: from a clock ahead of time. Refused, crowded, unverified: beyond the bounds of what the bridge keeps.", unit: "short", decimals: 0, width: 24, queries: []query{
					{"insighthub_gateway_devices" + window, "Devices"},
					{"insighthub_gateway_series" + window, "Series"},
					{"insighthub_window_events" + window, "Events"},
					{"insighthub_window_late_events" + window, "Late"},
					{"insighthub_window_early_events" + window, "Early"},
					{"insighthub_window_bad_quality_events" + window, "Bad"},
					{"insighthub_window_duplicate_events" + window, "Duplicate"},
					{"insighthub_window_refused_events" + window, "Refused"},
					{"insighthub_window_crowded_events" + window, "Crowded"},
					{"insighthub_window_unverified_events" + window, "Unverified"},
				}},
			}},
			{"Functions", []panel{
				{kind: lines, title: "Requests by status", help: "Per second.", unit: "reqps", decimals: 1, width: 8, min: new(0.0), queries: []query{{"sum by (code) (rate(insighthub_ingest_requests_total[5m]))", "{{code}}"}}},
				{kind: lines, title: "Events stored", help: "Per second, against those in the windows.", unit: "cps", decimals: 0, width: 8, min: new(0.0), queries: []query{{"insighthub:stored_events_per_second:rate5m", "stored"}, {"sum(insighthub:events_per_second:ratio5m" + bySite + ")", "in windows"}}},
				{kind: lines, title: "Invocation errors", help: "Share of each function's invocations.", unit: percent, decimals: 2, width: 8, min: new(0.0), steps: rising(0.001, 0.01), queries: []query{{"insighthub:invocation_errors_per_second:rate5m / (insighthub:invocations_per_second:rate5m > 0)", "{{function}}"}}},
				{kind: lines, title: "Samples written", help: "By the bridge to Prometheus, per second, and those refused.", unit: "cps", decimals: 0, width: 12, min: new(0.0), queries: []query{{`sum(rate(insighthub_bridge_samples_total{outcome="written"}[5m]))`, "written"}, {`sum(rate(insighthub_bridge_samples_total{outcome="rejected"}[5m]))`, "refused"}}},
				{kind: lines, title: "Bridge behind by shard", help: "Between the newest record of the shard and the newest in these KPIs.", unit: seconds, decimals: 1, width: 12, min: new(0.0), steps: rising(10, 30), queries: []query{{"insighthub:bridge_behind_seconds:max", "{{shard}}"}}},
			}},
			{"Detector", []panel{
				{kind: lines, title: "Detector behind by shard", help: "Between the newest record of the shard and the newest that was looked at for anomalies.", unit: seconds, decimals: 1, width: 8, min: new(0.0), steps: rising(15, 60), queries: []query{{"insighthub:detect_behind_seconds:max", "{{shard}}"}}},
				{kind: lines, title: "Events looked at", help: "Per second, by what became of them. Late: not newer than what their series has seen, in the database only. Unscored: states, counters and what only rules watch. Refused: of series past a limit.", unit: "cps", decimals: 1, width: 8, min: new(0.0), queries: []query{{"sum by (outcome) (rate(insighthub_detect_events_total[5m]))", "{{outcome}}"}}},
				{kind: lines, title: "Detector's errors", help: "Per second: invocations that failed and came again, records that nobody can read, anomalies that the bus or Prometheus did not take and that are in the database only.", unit: "cps", decimals: 3, width: 8, min: new(0.0), queries: []query{
					{`sum(rate(insighthub_detect_invocations_total{outcome="failed"}[5m]))`, "failed invocations"},
					{"sum(rate(insighthub_detect_poison_records_total[5m]))", "poison records"},
					{`sum by (outcome) (rate(insighthub_detect_notifications_total{outcome!="sent"}[5m]))`, "not told: {{outcome}}"},
					{`sum by (outcome) (rate(insighthub_detect_figures_total{outcome!="written"}[5m]))`, "not drawn: {{outcome}}"},
				}},
				{kind: lines, title: "Anomalies by kind", help: "Per minute, as they are found.", unit: "short", decimals: 2, width: 8, min: new(0.0), queries: []query{{"sum by (kind, severity) (rate(insighthub_anomalies_total[5m])) * 60", "{{kind}} {{severity}}"}}},
				{kind: lines, title: "Detector's state", help: "Size of the largest state that was saved; a shard's is at most 96 MiB.", unit: "bytes", decimals: 0, width: 8, min: new(0.0), queries: []query{{"max(last_over_time(insighthub_detect_state_bytes[5m]))", "state"}}},
				{kind: lines, title: "Series by shard", help: "That are scored or watched by rules.", unit: "short", decimals: 0, width: 8, min: new(0.0), queries: []query{{"max by (shard) (insighthub_detect_series)", "{{shard}}"}}},
			}},
		},
	}
}

func latencyAndCost() spec {
	const (
		byGateway = `{level="gateway", site=~"$site", gateway=~"$gateway"}`
		bySite    = `{level="site", site=~"$site"}`
		events    = "insighthub:stored_events_per_second:rate5m"
		// USD an hour. A function is paid by configured memory × duration, and by request.
		lambda  = "sum(sum by (function) (rate(insighthub_invocation_duration_seconds_sum[5m])) * on (function) max by (function) (insighthub_function_memory_bytes)) / 2^30 * $gb_second * 3600 + sum(insighthub:invocations_per_second:rate5m) * 3600 * $million_requests / 1e6"
		kinesis = "$shards * $shard_hour + sum(rate(insighthub_ingest_records_total[5m])) * 3600 * $million_puts / 1e6"
	)
	quantile := func(q, metric, by string) string {
		return "histogram_quantile(" + q + ", sum by (" + by + "le) (rate(" + metric + "_bucket[5m])))"
	}
	return spec{
		uid: "insighthub-latency", folder: "platform", title: "Latency and cost",
		help: "How long an event takes, and what a million of them cost. The prices are those of us-east-1; correct them above.",
		variables: []cog.Builder[dashboard.VariableModel]{
			source(), site(), gateway(),
			price("gb_second", "USD per GB-second", "Lambda, arm64", "0.0000133334"),
			price("million_requests", "USD per million requests", "Lambda", "0.20"),
			price("shards", "Shards", "Of the stream", "4"),
			price("shard_hour", "USD per shard-hour", "Kinesis, provisioned", "0.015"),
			price("million_puts", "USD per million PUT units", "Kinesis; a record of up to 25 KB is one", "0.014"),
		},
		sections: []section{
			{"Latency", []panel{
				{kind: number, title: "Ingest lag p99", help: "From the source's clock to the platform, per site.", unit: seconds, decimals: 3, width: 6, steps: rising(1, 5), queries: []query{{"insighthub:ingest_lag_seconds:p99_5m" + bySite, "{{site}}"}}},
				{kind: number, title: "Ingest lag median", help: "From the source's clock to the platform, per site.", unit: seconds, decimals: 3, width: 6, steps: rising(0.5, 2), queries: []query{{"insighthub:ingest_lag_seconds:p50_5m" + bySite, "{{site}}"}}},
				{kind: number, title: "Request p99", help: "From a gateway's request to the durable acknowledgement, inside the function.", unit: seconds, decimals: 3, width: 6, steps: rising(0.025, 0.1), queries: []query{{quantile("0.99", "insighthub_ingest_request_duration_seconds", ""), "p99"}}},
				{kind: number, title: "Age of these KPIs", help: "Time since the end of the newest window: window, lateness, write.", unit: seconds, decimals: 1, width: 6, steps: rising(10, 30), queries: []query{{"time() - max(timestamp(insighthub_window_events))", "age"}}},
				{kind: lines, title: "Ingest lag by gateway", help: "p99. A gateway that stands out has a slow clock or empties its spool.", unit: seconds, decimals: 3, width: 12, min: new(0.0), steps: rising(1, 5), queries: []query{{"insighthub:ingest_lag_seconds:p99_5m" + byGateway, "{{site}} {{gateway}}"}}},
				{kind: lines, title: "Request duration", help: "Of the ingest function.", unit: seconds, decimals: 3, width: 12, min: new(0.0), queries: []query{
					{quantile("0.5", "insighthub_ingest_request_duration_seconds", ""), "p50"},
					{quantile("0.99", "insighthub_ingest_request_duration_seconds", ""), "p99"},
				}},
				{kind: lines, title: "Invocation duration p99", help: "By function.", unit: seconds, decimals: 3, width: 24, min: new(0.0), queries: []query{{quantile("0.99", "insighthub_invocation_duration_seconds", "function, "), "{{function}}"}}},
			}},
			{"Cost", []panel{
				{kind: number, title: "Lambda per hour", help: "Memory × duration and requests.", unit: "currencyUSD", decimals: 4, width: 6, queries: []query{{lambda, "Lambda"}}},
				{kind: number, title: "Kinesis per hour", help: "Shards and PUT units.", unit: "currencyUSD", decimals: 4, width: 6, queries: []query{{kinesis, "Kinesis"}}},
				{kind: number, title: "Per million events", help: "Lambda and Kinesis; the database's machine comes on top.", unit: "currencyUSD", decimals: 4, width: 6, queries: []query{{"(" + lambda + " + " + kinesis + ") / (" + events + " * 3600 > 0) * 1e6", "USD"}}},
				{kind: number, title: "CPU per million events", help: "Processor seconds of all functions.", unit: seconds, decimals: 2, width: 6, steps: rising(5, 10), queries: []query{{"sum(rate(process_cpu_seconds_total[5m])) / (" + events + " > 0) * 1e6", "CPU"}}},
				{kind: stacked, title: "Processors in use", help: "By function.", unit: "short", decimals: 2, width: 12, min: new(0.0), queries: []query{{"sum by (function) (rate(process_cpu_seconds_total[5m]))", "{{function}}"}}},
				{kind: lines, title: "Events per record", help: "The fuller a record, the cheaper an event.", unit: "short", decimals: 0, width: 12, min: new(0.0), queries: []query{{events + " / (sum(rate(insighthub_ingest_records_total[5m])) > 0)", "events"}}},
			}},
		},
	}
}
