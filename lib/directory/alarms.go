package directory

import (
	"time"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// AnomalyKind says what found an anomaly.
type AnomalyKind string

// The detector finds by score and machine, a rule by the others.
const (
	ByScore     AnomalyKind = "score"
	ByMachine   AnomalyKind = "machine"
	ByThreshold AnomalyKind = "threshold"
	ByRate      AnomalyKind = "rate"
	ByNoData    AnomalyKind = "no_data"
)

// Severity says how soon somebody should look.
type Severity string

// The severities.
const (
	Info     Severity = "info"
	Warning  Severity = "warning"
	Critical Severity = "critical"
)

// RuleID names an alarm rule: a UUID.
type RuleID string

// Anomaly is an event that was found unusual, or a rule's alarm. Its identity is
// (gateway, device, metric, time, kind, rule): found again it is the same.
type Anomaly struct {
	ID      int64
	Site    telemetry.SiteID
	Gateway telemetry.GatewayID
	Device  telemetry.DeviceName
	// Metric is empty when it is about the whole machine.
	Metric telemetry.MetricName
	Time   telemetry.Micros
	Kind   AnomalyKind
	// Rule is empty for the detector's.
	Rule RuleID
	// Score is 0 to 1, a rule's is 1.
	Score float64
	// Value is nil when it is about the whole machine, or about silence.
	Value          *float64
	Severity       Severity
	Message        string
	AcknowledgedAt time.Time
	AcknowledgedBy string
	Comments       []AnomalyComment
	Version        Version
}

// AnomalyComment is what a person wrote to an anomaly.
type AnomalyComment struct {
	ID     int64
	Author string
	Time   time.Time
	Text   string
}

// AnomalyFilter narrows a list of anomalies; empty members are any.
type AnomalyFilter struct {
	Site     telemetry.SiteID
	Gateway  telemetry.GatewayID
	Device   telemetry.DeviceName
	Metric   telemetry.MetricName
	Kind     AnomalyKind
	From, To time.Time
	// Open leaves out those that are acknowledged.
	Open bool
	// BeforeTime and BeforeID are those of the last one seen: the newest come first.
	BeforeTime telemetry.Micros
	BeforeID   int64
	Limit      int
}

// AlarmRule is an alarm beside the detector's.
type AlarmRule struct {
	ID      RuleID
	Site    telemetry.SiteID
	Gateway telemetry.GatewayID
	Device  telemetry.DeviceName
	Metric  telemetry.MetricName
	// Kind is threshold, rate or no_data.
	Kind AnomalyKind
	// Low and High bound the value of a threshold; either may be nil. It counts as back
	// only Hysteresis inside.
	Low, High  *float64
	Hysteresis float64
	// PerSecond is the most that the value may change in a second, of a rate.
	PerSecond *float64
	// Silence is the longest time without an event, of no_data.
	Silence  time.Duration
	Severity Severity
	Enabled  bool
	Version  Version
}

// ClientReport is what a console says of itself.
type ClientReport struct {
	Site    telemetry.SiteID
	Subject string
	Kind    string
	Message string
	// Detail is a JSON object.
	Detail string
}
