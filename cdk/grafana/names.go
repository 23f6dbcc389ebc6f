package grafana

import "github.com/insighthub/insighthub/lib/kpi"

// Figures are the metrics that the bridge writes of each closed window, all of
// them gauges of that window. IngestLag is a histogram: a native one, or buckets.
func Figures() []string {
	var out []string
	for _, figure := range []kpi.Figure{
		kpi.SeriesMin, kpi.SeriesMax, kpi.SeriesMean, kpi.SeriesLast, kpi.SeriesSamples,
		kpi.CalendarSeconds, kpi.PlannedSeconds, kpi.BusySeconds, kpi.ProductionSeconds, kpi.IdleSeconds, kpi.SetupSeconds,
		kpi.DownSeconds, kpi.UnknownSeconds, kpi.Failures, kpi.Produced, kpi.Good, kpi.IdealSeconds,
		kpi.Events, kpi.BadQualityEvents, kpi.DuplicateEvents, kpi.LateEvents, kpi.EarlyEvents, kpi.RefusedEvents,
		kpi.UnverifiedEvents, kpi.CrowdedEvents, kpi.IngestLag, kpi.Freshness, kpi.GapSeconds, kpi.GatewayDevices, kpi.GatewaySeries,
	} {
		out = append(out, string(figure))
	}
	return append(out, string(kpi.IngestLag)+"_bucket")
}

// AnomalyFigures are what the detect function writes of each anomaly, a sample each at
// the time of its event: labels site, gateway, device, metric (of a machine's none) and
// kind. How many there were is how many samples there are.
func AnomalyFigures() []string { return []string{"insighthub_anomaly_score"} }

// FunctionMetrics are the metrics that the functions count themselves, each
// process for itself: labels job (insighthub), function and instance, and those named
// here. An instance is one execution environment: sum over it, after rate().
func FunctionMetrics() []string {
	return []string{
		"insighthub_invocations_total",
		"insighthub_invocation_errors_total",
		"insighthub_invocation_duration_seconds_bucket", // histogram
		"insighthub_invocation_duration_seconds_sum",
		"insighthub_function_memory_bytes",                  // as configured, which is what is paid for
		"insighthub_ingest_requests_total",                  // code
		"insighthub_ingest_request_duration_seconds_bucket", // histogram
		"insighthub_ingest_records_total",
		"insighthub_store_events_total",
		"insighthub_store_conflicts_total",
		"insighthub_store_poison_records_total",
		"insighthub_bridge_handled_timestamp_seconds", // shard
		"insighthub_bridge_arrival_timestamp_seconds", // shard
		"insighthub_bridge_samples_total",             // outcome: written, rejected, known
		"insighthub_detect_handled_timestamp_seconds", // shard
		"insighthub_detect_arrival_timestamp_seconds", // shard
		"insighthub_detect_invocations_total",         // outcome: done, failed
		"insighthub_detect_events_total",              // outcome: scored, unscored, late, bad, refused
		"insighthub_detect_notifications_total",       // outcome: sent, failed, left_out
		"insighthub_detect_figures_total",             // outcome: written, failed, left_out
		"insighthub_detect_poison_records_total",
		"insighthub_detect_state_bytes",
		"insighthub_detect_series",   // shard
		"insighthub_anomalies_total", // kind, severity
		"process_cpu_seconds_total",
	}
}

// ServerMetrics are what Prometheus itself adds.
func ServerMetrics() []string { return []string{"ALERTS"} }
