package kpi

import "github.com/insighthub/insighthub/lib/telemetry"

// Figure names a quantity as Prometheus receives it.
type Figure string

// The figures of a series and window, with labels site, gateway, device, metric.
// Bad readings and values that are no finite numbers are not part of them.
const (
	SeriesMin     Figure = "insighthub_series_min"
	SeriesMax     Figure = "insighthub_series_max"
	SeriesMean    Figure = "insighthub_series_mean"
	SeriesLast    Figure = "insighthub_series_last" // by event time
	SeriesSamples Figure = "insighthub_series_samples"
)

// The figures of a machine and window, with labels site, gateway, device, and
// reason where said. All but CalendarSeconds are of planned time only.
const (
	CalendarSeconds   Figure = "insighthub_window_calendar_seconds"
	PlannedSeconds    Figure = "insighthub_window_planned_seconds"
	BusySeconds       Figure = "insighthub_window_busy_seconds"
	ProductionSeconds Figure = "insighthub_window_production_seconds"
	IdleSeconds       Figure = "insighthub_window_idle_seconds"
	SetupSeconds      Figure = "insighthub_window_setup_seconds"
	DownSeconds       Figure = "insighthub_window_down_seconds" // {reason}
	UnknownSeconds    Figure = "insighthub_window_unknown_seconds"
	Failures          Figure = "insighthub_window_failures"
	Produced          Figure = "insighthub_window_produced"
	Good              Figure = "insighthub_window_good"
	IdealSeconds      Figure = "insighthub_window_ideal_seconds"
)

// The figures of a gateway and window, with labels site, gateway. Events,
// BadQualityEvents, DuplicateEvents, UnverifiedEvents, CrowdedEvents and
// IngestLag are by the events' own times; LateEvents, EarlyEvents and
// RefusedEvents by arrival.
const (
	Events           Figure = "insighthub_window_events" // each once, bad ones among them
	BadQualityEvents Figure = "insighthub_window_bad_quality_events"
	DuplicateEvents  Figure = "insighthub_window_duplicate_events"
	LateEvents       Figure = "insighthub_window_late_events"
	EarlyEvents      Figure = "insighthub_window_early_events"
	RefusedEvents    Figure = "insighthub_window_refused_events"
	UnverifiedEvents Figure = "insighthub_window_unverified_events"
	CrowdedEvents    Figure = "insighthub_window_crowded_events"
	IngestLag        Figure = "insighthub_ingest_lag_seconds" // Sample.Lags
	Freshness        Figure = "insighthub_freshness_seconds"
	GapSeconds       Figure = "insighthub_gap_seconds"
	GatewayDevices   Figure = "insighthub_gateway_devices"
	GatewaySeries    Figure = "insighthub_gateway_series"
)

// Sample is one figure of one window.
type Sample struct {
	Figure  Figure
	Site    telemetry.SiteID
	Gateway telemetry.GatewayID
	Device  telemetry.DeviceName
	Metric  telemetry.MetricName
	Reason  string // of DownSeconds; may be empty there too
	// Time is the end of the window.
	Time  telemetry.Micros
	Value float64
	// Lags is the window's own histogram for IngestLag, else nil. It is valid
	// during the call that hands the sample over.
	Lags *Lags
}
