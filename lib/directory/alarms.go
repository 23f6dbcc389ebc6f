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

// EndReason says why an anomaly has ended.
type EndReason string

// The reasons.
const (
	// EndCleared: the condition does not hold any more.
	EndCleared EndReason = "cleared"
	// EndSuperseded: the next value of the series is an anomaly as well.
	EndSuperseded EndReason = "superseded"
	// EndPast: it was over when it was found, in a late value.
	EndPast EndReason = "past"
	// EndRuleChanged: its rule was changed while it was active.
	EndRuleChanged EndReason = "rule_changed"
	// EndRuleRemoved: its rule was deleted or disabled, or does not apply any more, as the
	// gateway was revoked or moved to another site.
	EndRuleRemoved EndReason = "rule_removed"
	// EndUnwatched: the detector no longer watches the series.
	EndUnwatched EndReason = "unwatched"
	// EndUnknown: found before ends were stored.
	EndUnknown EndReason = "unknown"
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
	Value    *float64
	Severity Severity
	Message  string
	// EndedAt is not before Time. It is 0 for an active anomaly, and where the end is not
	// known. EndReason is empty for an active one.
	EndedAt   telemetry.Micros
	EndReason EndReason
	// BeganAt is that of the end of a late anomaly of which an older value has arrived since;
	// Value and Message are those of its begin then. Time is the one that identifies the anomaly
	// until that end is stored. It is 0 for others, and when read.
	BeganAt telemetry.Micros
	// Lag is the time from the event to its arrival; 0 for no_data, and when the event's time
	// was ahead. Late says that the lag was more than a minute, or that a newer event of the
	// series had arrived before.
	Lag            time.Duration
	Late           bool
	AcknowledgedAt time.Time
	AcknowledgedBy string
	Comments       []AnomalyComment
	Version        Version
}

// Active reports whether the anomaly has not ended.
func (a *Anomaly) Active() bool { return a.EndedAt == 0 && a.EndReason == "" }

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
	// Active selects anomalies that have not ended, or those that have; nil selects both.
	Active *bool
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
	// Low and High are the limits of a threshold; either may be nil. Each has an alarm of
	// its own, which ends when the value is inside of the limit by Hysteresis.
	Low, High  *float64
	Hysteresis float64
	// PerSecond is the largest allowed change per second, of a rate.
	PerSecond *float64
	// MinInterval is the time that counts for a change in a shorter time, of a rate.
	MinInterval time.Duration
	// Silence is the longest allowed time without an event, of no_data.
	Silence time.Duration
	// IgnoreBad says that an event of bad quality, without a finite value or with the time
	// of the event before does not end a silence, of no_data.
	IgnoreBad bool
	Severity  Severity
	Enabled   bool
	Version   Version
	// ChangedAt is when the rule was created or last changed.
	ChangedAt time.Time
	// Expected says that the gateway is one of the site's, so that a series that never
	// reported is silent from ChangedAt on, of no_data.
	Expected bool
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
