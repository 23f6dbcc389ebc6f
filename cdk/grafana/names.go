package grafana

import "github.com/insighthub/insighthub/lib/kpi"

// KPIMetrics returns the names of the metrics that the bridge writes for each closed
// window, all of them gauges of that window. IngestLag is a histogram: a native one, or
// one with classic buckets.
func KPIMetrics() []string {
	var out []string
	for _, d := range kpi.MachineSums() {
		out = append(out, string(d.Name))
	}
	for _, name := range []kpi.Name{
		kpi.SeriesMin, kpi.SeriesMax, kpi.SeriesMean, kpi.SeriesLast, kpi.SeriesSamples,
		kpi.Events, kpi.BadQualityEvents, kpi.DuplicateEvents, kpi.LateEvents, kpi.EarlyEvents, kpi.RefusedEvents,
		kpi.UnverifiedEvents, kpi.CrowdedEvents, kpi.IngestLag, kpi.Freshness, kpi.GapSeconds, kpi.GatewayDevices, kpi.GatewaySeries,
	} {
		out = append(out, string(name))
	}
	return append(out, string(kpi.IngestLag)+"_bucket")
}

// AnomalyMetrics returns the names of the metrics of which the detect function writes a
// sample for each anomaly, at the time of its event, with the labels site, gateway,
// device, kind, and metric unless the anomaly is of a whole machine. The number of
// samples is the number of anomalies.
func AnomalyMetrics() []string { return []string{"insighthub_anomaly_score"} }

// FunctionMetrics returns the names of the functions' own metrics, with the labels job
// (insighthub), function, instance, and those in the comments. An instance is one
// execution environment: take rate(), then sum over the instances.
func FunctionMetrics() []string {
	return []string{
		"insighthub_invocations_total",
		"insighthub_invocation_errors_total",
		"insighthub_invocation_duration_seconds_bucket", // histogram
		"insighthub_invocation_duration_seconds_sum",
		"insighthub_function_memory_bytes",                  // configured, which is what Lambda charges
		"insighthub_ingest_requests_total",                  // code
		"insighthub_ingest_request_duration_seconds_bucket", // histogram
		"insighthub_ingest_records_total",
		"insighthub_store_events_total",
		"insighthub_store_conflicts_total",
		"insighthub_store_poison_records_total",
		"insighthub_bridge_handled_timestamp_seconds", // shard
		"insighthub_bridge_arrival_timestamp_seconds", // shard
		"insighthub_bridge_samples_total",             // outcome: written, rejected, duplicate, not_sent
		"insighthub_bridge_rejections_total",          // reason
		"insighthub_bridge_invalid_kpi_configs",       // rows with problems
		"insighthub_detect_handled_timestamp_seconds", // shard
		"insighthub_detect_arrival_timestamp_seconds", // shard
		"insighthub_detect_invocations_total",         // outcome: done, failed
		"insighthub_detect_events_total",              // outcome: scored, unscored, late, bad, refused, held
		"insighthub_detect_notifications_total",       // outcome: sent, failed, left_out
		"insighthub_detect_scores_exported_total",     // outcome: written, failed, left_out
		"insighthub_detect_poison_records_total",
		"insighthub_detect_state_bytes",
		"insighthub_detect_series",   // shard
		"insighthub_anomalies_total", // kind, severity
		"insighthub_audit_checks",    // of the last self-check; result: pass, warn, fail
		"insighthub_trail_unsealed_seconds",
		"insighthub_deny_list_reads_total", // outcome: ok, failed
		"insighthub_access_unrecorded_total",
		"process_cpu_seconds_total",
	}
}

// ServerMetrics returns the names of metrics that Prometheus itself adds.
func ServerMetrics() []string { return []string{"ALERTS"} }
