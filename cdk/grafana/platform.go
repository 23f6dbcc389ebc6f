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
		// The age at the end of the window plus the time since: it grows when windows stop.
		age = "time() - timestamp(insighthub_freshness_seconds" + window + ") + insighthub_freshness_seconds" + window
	)
	return spec{
		uid: "insighthub-pipeline", folder: "platform", title: "Pipeline health",
		help:      "Whether all events of the gateways arrive, exactly once and with good quality.",
		variables: []cog.Builder[dashboard.VariableModel]{source(), site(), gateway()},
		sections: []section{
			{"Now", []panel{
				{
					kind: number, title: "Events", unit: "cps", decimals: 0, width: 4,
					help:    "Per second, by event time.",
					queries: []query{{"sum(insighthub:events_per_second:ratio5m" + bySite + ")", "events"}},
				},
				{
					kind: number, title: "Alerts", unit: "short", decimals: 0, width: 4, steps: rising(1, 3),
					help:    "Firing alerts.",
					queries: []query{{`count(ALERTS{alertstate="firing"}) or vector(0)`, "firing"}},
				},
				{
					kind: number, title: "Stalest gateway", unit: seconds, decimals: 1, width: 4, steps: rising(15, 60),
					help:    "Time since the last event of the gateway that has been silent longest.",
					queries: []query{{"max(" + age + ")", "freshness"}},
				},
				{
					kind: number, title: "Bridge behind stream", unit: seconds, decimals: 1, width: 4, steps: rising(10, 30),
					help:    "Time between the newest record on the stream and the newest in the KPIs.",
					queries: []query{{"max(insighthub:bridge_behind_seconds:max)", "behind"}},
				},
				{
					kind: number, title: "Poison records", unit: "cps", decimals: 2, width: 4, steps: rising(0.001, 0.1),
					help:    "Per second; records that cannot be decoded.",
					queries: []query{{"insighthub:poison_records_per_second:rate5m", "poison"}},
				},
				{
					kind: number, title: "Conflicts", unit: "cps", decimals: 2, width: 4, steps: rising(0.001, 0.1),
					help:    "Per second; readings whose value differs from the stored one.",
					queries: []query{{"insighthub:conflicts_per_second:rate5m", "conflicts"}},
				},
			}},
			{"Gateways", []panel{
				{
					kind: lines, title: "Events by gateway", unit: "cps", decimals: 0, width: 12, min: new(0.0),
					help:    "Per second.",
					queries: []query{{"insighthub:events_per_second:ratio5m" + byGateway, "{{site}} {{gateway}}"}},
				},
				{
					kind: lines, title: "Freshness", unit: seconds, decimals: 1, width: 12, min: new(0.0), steps: rising(15, 60),
					help:    "Time since the last event of each gateway.",
					queries: []query{{age, "{{site}} {{gateway}}"}},
				},
				{
					kind: lines, title: "Late, bad, duplicate", unit: percent, decimals: 2, width: 12, min: new(0.0),
					help: "Share of a site's events in five minutes. Late events arrived after their window closed: they are in " +
						"the database, not in the KPIs.",
					queries: []query{
						{"insighthub:late:ratio5m" + bySite, "late {{site}}"},
						{"insighthub:bad_quality:ratio5m" + bySite, "bad {{site}}"},
						{"insighthub:duplicate:ratio5m" + bySite, "duplicate {{site}}"},
					},
				},
				{
					kind: lines, title: "Gaps", unit: percent, decimals: 1, width: 12,
					min: new(0.0), max: new(1.0), steps: rising(0.01, 0.1),
					help:    "Share of time in which a gateway was silent for longer than its limit.",
					queries: []query{{"insighthub:gap:ratio5m" + byGateway, "{{site}} {{gateway}}"}},
				},
				{
					kind: rows, title: "All gateways", unit: "short", decimals: 0, width: 24,
					help: "Counts of the latest window of 5 s. Early: event times too far in the future. Refused, crowded, " +
						"unverified: limits of the bridge's state were reached.",
					queries: []query{
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
					},
				},
			}},
			{"Functions", []panel{
				{
					kind: lines, title: "Requests by status", unit: "reqps", decimals: 1, width: 8, min: new(0.0),
					help:    "Per second.",
					queries: []query{{"sum by (code) (rate(insighthub_ingest_requests_total[5m]))", "{{code}}"}},
				},
				{
					kind: lines, title: "Events stored", unit: "cps", decimals: 0, width: 8, min: new(0.0),
					help: "Per second, compared with the events in the KPI windows.",
					queries: []query{
						{"insighthub:stored_events_per_second:rate5m", "stored"},
						{"sum(insighthub:events_per_second:ratio5m" + bySite + ")", "in windows"},
					},
				},
				{
					kind: lines, title: "Invocation errors", unit: percent, decimals: 2, width: 8,
					min: new(0.0), steps: rising(0.001, 0.01),
					help: "Share of each function's invocations.",
					queries: []query{
						{"insighthub:invocation_errors_per_second:rate5m / (insighthub:invocations_per_second:rate5m > 0)", "{{function}}"},
					},
				},
				{
					kind: lines, title: "Samples written", unit: "cps", decimals: 0, width: 12, min: new(0.0),
					help: "By the bridge to Prometheus, per second, and those that Prometheus rejected.",
					queries: []query{
						{`sum(rate(insighthub_bridge_samples_total{outcome="written"}[5m]))`, "written"},
						{`sum(rate(insighthub_bridge_samples_total{outcome="rejected"}[5m]))`, "rejected"},
					},
				},
				{
					kind: lines, title: "Bridge behind stream by shard", unit: seconds, decimals: 1, width: 12,
					min: new(0.0), steps: rising(10, 30),
					help:    "Time between the newest record of the shard and the newest in the KPIs.",
					queries: []query{{"insighthub:bridge_behind_seconds:max", "{{shard}}"}},
				},
			}},
			{"Detector", []panel{
				{
					kind: lines, title: "Detector behind stream by shard", unit: seconds, decimals: 1, width: 8,
					min: new(0.0), steps: rising(15, 60),
					help:    "Time between the newest record of the shard and the newest that was scored for anomalies.",
					queries: []query{{"insighthub:detect_behind_seconds:max", "{{shard}}"}},
				},
				{
					kind: lines, title: "Events by outcome", unit: "cps", decimals: 1, width: 8, min: new(0.0),
					help: "Per second. Late: not newer than the last event of their series, so in the database only. Unscored: " +
						"states, counters, and metrics that only rules evaluate. Refused: the limit of series was reached.",
					queries: []query{{"sum by (outcome) (rate(insighthub_detect_events_total[5m]))", "{{outcome}}"}},
				},
				{
					kind: lines, title: "Detector errors", unit: "cps", decimals: 3, width: 8, min: new(0.0),
					help: "Per second: failed invocations, which are retried; records that cannot be decoded; anomalies that " +
						"were not published on the bus or not exported to Prometheus, and are in the database only.",
					queries: []query{
						{`sum(rate(insighthub_detect_invocations_total{outcome="failed"}[5m]))`, "failed invocations"},
						{"sum(rate(insighthub_detect_poison_records_total[5m]))", "poison records"},
						{
							`sum by (outcome) (rate(insighthub_detect_notifications_total{outcome!="sent"}[5m]))`,
							"not published: {{outcome}}",
						},
						{
							`sum by (outcome) (rate(insighthub_detect_scores_exported_total{outcome!="written"}[5m]))`,
							"not exported: {{outcome}}",
						},
					},
				},
				{
					kind: lines, title: "Anomalies by kind", unit: "short", decimals: 2, width: 8, min: new(0.0),
					help:    "Per minute, by time of detection.",
					queries: []query{{"sum by (kind, severity) (rate(insighthub_anomalies_total[5m])) * 60", "{{kind}} {{severity}}"}},
				},
				{
					kind: lines, title: "Detector state", unit: "bytes", decimals: 0, width: 8, min: new(0.0),
					help:    "Size of the largest saved state of a shard; the limit is 96 MiB.",
					queries: []query{{"max(last_over_time(insighthub_detect_state_bytes[5m]))", "state"}},
				},
				{
					kind: lines, title: "Series by shard", unit: "short", decimals: 0, width: 8, min: new(0.0),
					help:    "Series that are scored or evaluated by rules.",
					queries: []query{{"max by (shard) (insighthub_detect_series)", "{{shard}}"}},
				},
			}},
		},
	}
}

func latencyAndCost() spec {
	const (
		byGateway = `{level="gateway", site=~"$site", gateway=~"$gateway"}`
		bySite    = `{level="site", site=~"$site"}`
		events    = "insighthub:stored_events_per_second:rate5m"
		// USD an hour. Lambda charges configured memory × duration, and requests.
		lambda = "sum(sum by (function) (rate(insighthub_invocation_duration_seconds_sum[5m]))" +
			" * on (function) max by (function) (insighthub_function_memory_bytes)) / 2^30 * $gb_second * 3600" +
			" + sum(insighthub:invocations_per_second:rate5m) * 3600 * $million_requests / 1e6"
		kinesis = "$shards * $shard_hour + sum(rate(insighthub_ingest_records_total[5m])) * 3600 * $million_puts / 1e6"
	)
	quantile := func(q, metric, by string) string {
		return "histogram_quantile(" + q + ", sum by (" + by + "le) (rate(" + metric + "_bucket[5m])))"
	}
	return spec{
		uid: "insighthub-latency", folder: "platform", title: "Latency and cost",
		help: "How long events take, and what a million of them cost. The prices are those of us-east-1; change them above.",
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
				{
					kind: number, title: "Ingest lag p99", unit: seconds, decimals: 3, width: 6, steps: rising(1, 5),
					help:    "From the event's time to its receipt by the platform, per site.",
					queries: []query{{"insighthub:ingest_lag_seconds:p99_5m" + bySite, "{{site}}"}},
				},
				{
					kind: number, title: "Ingest lag median", unit: seconds, decimals: 3, width: 6, steps: rising(0.5, 2),
					help:    "From the event's time to its receipt by the platform, per site.",
					queries: []query{{"insighthub:ingest_lag_seconds:p50_5m" + bySite, "{{site}}"}},
				},
				{
					kind: number, title: "Request p99", unit: seconds, decimals: 3, width: 6, steps: rising(0.025, 0.1),
					help:    "From the request to the response that acknowledges durable storage, inside the function.",
					queries: []query{{quantile("0.99", "insighthub_ingest_request_duration_seconds", ""), "p99"}},
				},
				{
					kind: number, title: "Age of the KPIs", unit: seconds, decimals: 1, width: 6, steps: rising(10, 30),
					help:    "Time since the end of the newest window; it includes the lateness and the write.",
					queries: []query{{"time() - max(timestamp(insighthub_window_events))", "age"}},
				},
				{
					kind: lines, title: "Ingest lag by gateway", unit: seconds, decimals: 3, width: 12, min: new(0.0), steps: rising(1, 5),
					help:    "p99. An outlier has a slow clock or is sending its backlog.",
					queries: []query{{"insighthub:ingest_lag_seconds:p99_5m" + byGateway, "{{site}} {{gateway}}"}},
				},
				{
					kind: lines, title: "Request duration", unit: seconds, decimals: 3, width: 12, min: new(0.0),
					help: "Of the ingest function.",
					queries: []query{
						{quantile("0.5", "insighthub_ingest_request_duration_seconds", ""), "p50"},
						{quantile("0.99", "insighthub_ingest_request_duration_seconds", ""), "p99"},
					},
				},
				{
					kind: lines, title: "Invocation duration p99", unit: seconds, decimals: 3, width: 24, min: new(0.0),
					help:    "By function.",
					queries: []query{{quantile("0.99", "insighthub_invocation_duration_seconds", "function, "), "{{function}}"}},
				},
			}},
			{"Cost", []panel{
				{
					kind: number, title: "Lambda per hour", unit: "currencyUSD", decimals: 4, width: 6,
					help:    "Memory × duration and requests.",
					queries: []query{{lambda, "Lambda"}},
				},
				{
					kind: number, title: "Kinesis per hour", unit: "currencyUSD", decimals: 4, width: 6,
					help:    "Shards and PUT units.",
					queries: []query{{kinesis, "Kinesis"}},
				},
				{
					kind: number, title: "Per million events", unit: "currencyUSD", decimals: 4, width: 6,
					help:    "Lambda and Kinesis, without the database.",
					queries: []query{{"(" + lambda + " + " + kinesis + ") / (" + events + " * 3600 > 0) * 1e6", "USD"}},
				},
				{
					kind: number, title: "CPU per million events", unit: seconds, decimals: 2, width: 6, steps: rising(5, 10),
					help:    "Processor seconds of all functions.",
					queries: []query{{"sum(rate(process_cpu_seconds_total[5m])) / (" + events + " > 0) * 1e6", "CPU"}},
				},
				{
					kind: stacked, title: "Processors in use", unit: "short", decimals: 2, width: 12, min: new(0.0),
					help:    "By function.",
					queries: []query{{"sum by (function) (rate(process_cpu_seconds_total[5m]))", "{{function}}"}},
				},
				{
					kind: lines, title: "Events per record", unit: "short", decimals: 0, width: 12, min: new(0.0),
					help:    "The more events a record has, the less each costs.",
					queries: []query{{events + " / (sum(rate(insighthub_ingest_records_total[5m])) > 0)", "events"}},
				},
			}},
		},
	}
}
