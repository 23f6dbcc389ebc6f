package directory

import (
	"time"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// AnomalyKind says what found an anomaly.
type AnomalyKind string

// The detector finds anomalies of the first two kinds, alarm rules the others.
const (
	ByScore     AnomalyKind = "score"
	ByMachine   AnomalyKind = "machine"
	ByThreshold AnomalyKind = "threshold"
	ByRate      AnomalyKind = "rate"
	ByNoData    AnomalyKind = "no_data"
)

// Severity says how soon an operator should respond.
type Severity string

// The severities.
const (
	Info     Severity = "info"
	Warning  Severity = "warning"
	Critical Severity = "critical"
)

// RuleID names an alarm rule: a UUID.
type RuleID string

// Anomaly is an unusual event that the detector found, or the alarm of a rule. Its
// identity is (gateway, device, metric, time, kind, rule): finding it twice stores it once.
type Anomaly struct {
	ID      int64
	Site    telemetry.SiteID
	Gateway telemetry.GatewayID
	Device  telemetry.DeviceName
	// Metric is empty for an anomaly of the whole machine.
	Metric telemetry.MetricName
	Time   telemetry.Micros
	Kind   AnomalyKind
	// Rule is empty for anomalies of the detector.
	Rule RuleID
	// Score is 0 to 1; it is 1 for alarms of rules.
	Score float64
	// Value is nil for an anomaly of the whole machine, and for no_data.
	Value          *float64
	Severity       Severity
	Message        string
	AcknowledgedAt time.Time
	AcknowledgedBy string
	Comments       []AnomalyComment
	Version        Version
}

// AnomalyComment is a person's comment on an anomaly.
type AnomalyComment struct {
	ID     int64
	Author string
	Time   time.Time
	Text   string
}

// AnomalyFilter selects anomalies; an empty member selects all.
type AnomalyFilter struct {
	Site     telemetry.SiteID
	Gateway  telemetry.GatewayID
	Device   telemetry.DeviceName
	Metric   telemetry.MetricName
	Kind     AnomalyKind
	From, To time.Time
	// Open leaves out acknowledged anomalies.
	Open bool
	// BeforeTime and BeforeID are those of the last anomaly of the page before: the newest
	// come first.
	BeforeTime telemetry.Micros
	BeforeID   int64
	Limit      int
}

// AlarmRule is a rule that raises alarms independently of the detector.
type AlarmRule struct {
	ID      RuleID
	Site    telemetry.SiteID
	Gateway telemetry.GatewayID
	Device  telemetry.DeviceName
	Metric  telemetry.MetricName
	// Kind is threshold, rate or no_data.
	Kind AnomalyKind
	// Low and High are the limits of a threshold; either may be nil. The alarm ends when
	// the value is inside the limits by Hysteresis.
	Low, High  *float64
	Hysteresis float64
	// PerSecond is the largest allowed change per second, of a rate.
	PerSecond *float64
	// Silence is the longest allowed time without an event, of no_data.
	Silence  time.Duration
	Severity Severity
	Enabled  bool
	Version  Version
}

// ClientReport is what a console reports about itself.
type ClientReport struct {
	Site    telemetry.SiteID
	Subject string
	Kind    string
	Message string
	// Detail is a JSON object.
	Detail string
}
