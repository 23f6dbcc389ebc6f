package telemetry

import (
	"errors"
	"time"
)

// The identifiers in a record. Each has a type of its own, so that a device's name cannot
// be passed as a gateway's.
type (
	// SiteID names a plant, the unit of access.
	SiteID string
	// GatewayID names the edge computer that sends the events of a site's machines. It
	// is taken from the caller's token, never from a body.
	GatewayID string
	// DeviceName names a machine; it is scoped by its gateway.
	DeviceName string
	// MetricName names a quantity that a device reports; it is scoped by its gateway.
	MetricName string
)

// Micros is a point in time in microseconds since 1970-01-01T00:00:00Z, the
// resolution of the database.
type Micros int64

// MicrosOf returns t truncated to the microsecond.
func MicrosOf(t time.Time) Micros { return Micros(t.UnixMicro()) }

// Time returns m as a time in UTC.
func (m Micros) Time() time.Time { return time.UnixMicro(int64(m)).UTC() }

// Quality says how far a reading can be trusted, by the three classes of an
// OPC UA status code (OPC 10000-4, 7.39: the two severity bits).
type Quality uint8

// The three qualities. Good is the zero value and the default of an event.
const (
	Good Quality = iota
	Uncertain
	Bad
)

// String returns "good", "uncertain" or "bad".
func (q Quality) String() string {
	switch q {
	case Good:
		return "good"
	case Uncertain:
		return "uncertain"
	case Bad:
		return "bad"
	default:
		return "invalid"
	}
}

// Valid reports whether q is one of the three qualities.
func (q Quality) Valid() bool { return q <= Bad }

// Event is one reading of one metric of one device. Its identity is
// (gateway, device, metric, time).
type Event struct {
	Device  DeviceName
	Metric  MetricName
	Time    Micros
	Value   float64
	Quality Quality
}

// The four kinds of failure that every layer distinguishes; any other is internal, and its
// text never leaves the process. Wrap them with %w.
var (
	// ErrInvalid: the input is not valid; a retry fails as well.
	ErrInvalid = errors.New("invalid")
	// ErrNotFound: the named object does not exist.
	ErrNotFound = errors.New("not found")
	// ErrConflict: the request conflicts with what is stored.
	ErrConflict = errors.New("conflict")
	// ErrUnavailable: a dependency is down or overloaded; a retry may succeed.
	ErrUnavailable = errors.New("unavailable")
)

// Limits of events.
const (
	// MaxNameBytes bounds a name, in bytes of UTF-8.
	MaxNameBytes = 128
	// MaxBatchEvents bounds the events of one batch and so of one request.
	MaxBatchEvents = 10_000
	// MaxDevices and MaxMetrics bound the devices and the metrics of a gateway.
	MaxDevices = 10_000
	MaxMetrics = 1_000
)
