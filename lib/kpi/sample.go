package kpi

import "github.com/insighthub/insighthub/lib/telemetry"

// Name is the name of a metric in Prometheus.
type Name string

// The metrics of a series and window, with labels site, gateway, device, metric. Bad
// readings and values that are not finite are excluded.
const (
	SeriesMin     Name = "insighthub_series_min"
	SeriesMax     Name = "insighthub_series_max"
	SeriesMean    Name = "insighthub_series_mean"
	SeriesLast    Name = "insighthub_series_last" // by event time
	SeriesSamples Name = "insighthub_series_samples"
)

// The metrics of a machine and window, with labels site, gateway, device, and reason for
// DownSeconds. All but CalendarSeconds are of planned time only. MachineSums defines them,
// and what a machine must report for each; without that there is no sample.
const (
	CalendarSeconds   Name = "insighthub_window_calendar_seconds"
	PlannedSeconds    Name = "insighthub_window_planned_seconds"
	BusySeconds       Name = "insighthub_window_busy_seconds"
	ProductionSeconds Name = "insighthub_window_production_seconds"
	IdleSeconds       Name = "insighthub_window_idle_seconds"
	SetupSeconds      Name = "insighthub_window_setup_seconds"
	DownSeconds       Name = "insighthub_window_down_seconds" // {reason}
	UnknownSeconds    Name = "insighthub_window_unknown_seconds"
	Failures          Name = "insighthub_window_failures"
	Produced          Name = "insighthub_window_produced"
	Good              Name = "insighthub_window_good"

	// Those of the ratios, each of the machines that take part in it.
	IdealSeconds                 Name = "insighthub_window_ideal_seconds"
	PerformanceProductionSeconds Name = "insighthub_window_performance_production_seconds"
	QualityProduced              Name = "insighthub_window_quality_produced"
	QualityGood                  Name = "insighthub_window_quality_good"
	QualityIdealSeconds          Name = "insighthub_window_quality_ideal_seconds"
	QualityGoodIdealSeconds      Name = "insighthub_window_quality_good_ideal_seconds"
	OEEGoodIdealSeconds          Name = "insighthub_window_oee_good_ideal_seconds"
	OEEBusySeconds               Name = "insighthub_window_oee_busy_seconds"
)

// The metrics of a gateway and window, with labels site, gateway. Events,
// BadQualityEvents, DuplicateEvents, UnverifiedEvents, CrowdedEvents and IngestLag are
// counted by the events' own times; LateEvents, EarlyEvents and RefusedEvents by arrival.
const (
	Events           Name = "insighthub_window_events" // without duplicates, including bad ones
	BadQualityEvents Name = "insighthub_window_bad_quality_events"
	DuplicateEvents  Name = "insighthub_window_duplicate_events"
	LateEvents       Name = "insighthub_window_late_events"
	EarlyEvents      Name = "insighthub_window_early_events"
	RefusedEvents    Name = "insighthub_window_refused_events"
	UnverifiedEvents Name = "insighthub_window_unverified_events"
	CrowdedEvents    Name = "insighthub_window_crowded_events"
	IngestLag        Name = "insighthub_ingest_lag_seconds" // Sample.Lags
	Freshness        Name = "insighthub_freshness_seconds"
	GapSeconds       Name = "insighthub_gap_seconds"
	GatewayDevices   Name = "insighthub_gateway_devices"
	GatewaySeries    Name = "insighthub_gateway_series"
)

// Sample is one value of one metric in one window.
type Sample struct {
	Name    Name
	Site    telemetry.SiteID
	Gateway telemetry.GatewayID
	Device  telemetry.DeviceName
	Metric  telemetry.MetricName
	Reason  string // of DownSeconds; may be empty there too
	// Time is the end of the window.
	Time  telemetry.Micros
	Value float64
	// Lags is the histogram of the window for IngestLag, otherwise nil. It is valid
	// during the call of emit.
	Lags *Lags
}
