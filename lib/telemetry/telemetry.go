package telemetry

import (
	"errors"
	"time"
)

// The words of the domain that the record carries. Each is a type of its own so
// that a device's name can not be passed where a gateway's is wanted.
type (
	// SiteID names a plant, the unit of access.
	SiteID string
	// GatewayID names the edge computer that speaks for a site's machines. It
	// comes from the caller's token, never from a body.
	GatewayID string
	// DeviceName names a machine; it is scoped by its gateway.
	DeviceName string
	// MetricName names a quantity that a device reports; it is scoped by its gateway.
	MetricName string
)

// Micros is a point in time in microseconds since 1970-01-01T00:00:00Z, the
// resolution that the database keeps.
type Micros int64

// MicrosOf returns t truncated to the microsecond.
func MicrosOf(t time.Time) Micros { return Micros(t.UnixMicro()) }

// Time returns m as a time in UTC.
func (m Micros) Time() time.Time { return time.UnixMicro(int64(m)).UTC() }

// Quality says how far a reading can be trusted, by the three classes of an
// OPC UA status code (OPC 10000-4, 7.39: the two severity bits).
type Quality uint8

// The three qualities. Good is the zero value and is what an event has that names none.
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

// The four kinds of failure that every layer tells apart; anything else is
// internal and its text never leaves the process. Wrap them with %w.
var (
	// ErrInvalid: the input is wrong and will be wrong again; do not retry.
	ErrInvalid = errors.New("invalid")
	// ErrNotFound: what was named does not exist.
	ErrNotFound = errors.New("not found")
	// ErrConflict: what was asked contradicts what is stored.
	ErrConflict = errors.New("conflict")
	// ErrUnavailable: a dependency is down or overloaded; the same call may succeed later.
	ErrUnavailable = errors.New("unavailable")
)

// Bounds on what an event may hold, in bytes of UTF-8.
const (
	MaxNameBytes = 128
	// MaxBatchEvents bounds the events of one batch and so of one request.
	MaxBatchEvents = 10_000
)
