package directory

import (
	"time"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// Conflict is an event with the identity of a stored one and another value or quality. A
// value is NaN where there is none.
type Conflict struct {
	ID            int64
	Gateway       telemetry.GatewayID
	Device        telemetry.DeviceName
	Metric        telemetry.MetricName
	Time          telemetry.Micros
	Value         float64
	Quality       telemetry.Quality
	StoredValue   float64
	StoredQuality telemetry.Quality
	// Stored is whether there is still a stored event.
	Stored bool
	// Seen is when it arrived first.
	Seen time.Time
}

// ConflictFilter selects conflicts; an empty name selects all.
type ConflictFilter struct {
	Site     telemetry.SiteID
	Gateway  telemetry.GatewayID
	Device   telemetry.DeviceName
	Metric   telemetry.MetricName
	From, To time.Time // of the event's time; zero is no bound
	// Before is the ID of the last conflict of the page before: the last to arrive come first.
	Before int64
	Limit  int
}

// ConflictCount counts the conflicts of a device that arrived in a range of time.
type ConflictCount struct {
	Gateway             telemetry.GatewayID
	Device              telemetry.DeviceName
	Count               int64
	Metrics             []telemetry.MetricName // that have some
	FirstSeen, LastSeen time.Time
}

// ConflictCountFilter selects devices with conflicts that arrived since then.
type ConflictCountFilter struct {
	Site    telemetry.SiteID
	Gateway telemetry.GatewayID // empty selects all
	Since   time.Time
	// AfterGateway and AfterDevice are those of the last entry of the page before.
	AfterGateway telemetry.GatewayID
	AfterDevice  telemetry.DeviceName
	Limit        int
}
