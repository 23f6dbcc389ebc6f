// Package readings defines the queries for the readings of machines and their results:
// single points of a series in a range of time, buckets, and the last reading of each
// series.
package readings

import (
	"fmt"
	"math"
	"time"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// Series identifies a time series: a metric of a device of a gateway of a site.
type Series struct {
	Site    telemetry.SiteID
	Gateway telemetry.GatewayID
	Device  telemetry.DeviceName
	Metric  telemetry.MetricName
}

// Range is a range of event time with an exclusive end.
type Range struct{ From, To telemetry.Micros }

// Seconds is the length of the range.
func (r Range) Seconds() float64 { return float64(r.To-r.From) / 1e6 }

// Qualities selects readings by quality.
type Qualities []telemetry.Quality

// PointQuery selects single readings in the order of their times.
type PointQuery struct {
	Range     Range
	Qualities Qualities
	Limit     int
	// Whole requests all readings or none: if there are more than Limit, Points.More is
	// set and Points may be empty.
	Whole bool
}

// Points are readings in columns of the same length. The value of a bad reading without a
// value is NaN.
type Points struct {
	Unit    string
	Times   []telemetry.Micros
	Values  []float64
	Quality []telemetry.Quality
	// More is set when more readings follow.
	More bool
	// StoredWidth is set when Whole was requested and the older readings of the range are
	// stored as buckets of this width only; Points is empty then.
	StoredWidth time.Duration
}

// Aggregate is a function of the readings of a bucket.
type Aggregate string

// The aggregates. Sum and Mean have the rounding errors of floating point sums, and
// values beyond ±1e290 count as ±1e290; the others are exact.
const (
	Min   Aggregate = "min"
	Max   Aggregate = "max"
	Mean  Aggregate = "mean"
	Sum   Aggregate = "sum"
	Count Aggregate = "count"
	First Aggregate = "first" // by event time, as Last
	Last  Aggregate = "last"
)

// Aggregates returns all aggregates.
func Aggregates() []Aggregate { return []Aggregate{Min, Max, Mean, Sum, Count, First, Last} }

// BucketQuery selects readings in buckets.
type BucketQuery struct {
	Range     Range
	Qualities Qualities
	// Width is the length of a bucket, a whole number of microseconds; buckets are
	// aligned on the Unix epoch.
	Width      time.Duration
	Aggregates []Aggregate
}

// Buckets are in the order of their times, without empty ones. Readings without a value are
// in none of them. The first and the last
// have only the readings that are in the range.
type Buckets struct {
	Unit  string
	Times []telemetry.Micros // start of each
	// Columns has a column for each aggregate of the query, in its order. All are as long
	// as Times.
	Columns [][]float64
}

// LatestQuery selects the last reading of each series of a gateway.
type LatestQuery struct {
	Site    telemetry.SiteID
	Gateway telemetry.GatewayID
	// Device and Metric may be empty, which selects all.
	Device telemetry.DeviceName
	Metric telemetry.MetricName
	// After is the last series of the page before; its Device is empty for the first page.
	After Series
	Limit int
	// Until is the present: no reading after it is returned. Zero means the database's clock.
	Until time.Time
}

// Latest is the last reading of a series by event time, of any quality, that is not in the
// future. Value is NaN if the event had none.
type Latest struct {
	Device  telemetry.DeviceName
	Metric  telemetry.MetricName
	Unit    string
	Time    telemetry.Micros
	Value   float64
	Quality telemetry.Quality
}

// Selection selects series of a gateway: all, those of a device, or those of a metric.
type Selection struct {
	Site    telemetry.SiteID
	Gateway telemetry.GatewayID
	Device  telemetry.DeviceName
	Metric  telemetry.MetricName
	Range   Range
}

// Block is a part of the readings of a series in the order of their times. It is valid
// during the call that it is passed to.
type Block struct {
	Device telemetry.DeviceName
	Metric telemetry.MetricName
	Unit   string
	Points
}

// Resolution is the width of buckets, or single readings.
type Resolution struct {
	Name  string
	Width time.Duration // 0: single readings
}

// Raw is the resolution of single readings.
func Raw() Resolution { return Resolution{Name: "raw"} }

// Resolutions returns the supported widths, the finest first.
func Resolutions() []Resolution {
	return []Resolution{
		{"1s", time.Second},
		{"10s", 10 * time.Second},
		{"1m", time.Minute},
		{"10m", 10 * time.Minute},
		{"1h", time.Hour},
		{"1d", 24 * time.Hour},
	}
}

// ParseResolution returns the resolution of that name; telemetry.ErrInvalid when it is
// not supported.
func ParseResolution(name string) (Resolution, error) {
	for _, r := range append(Resolutions(), Raw()) {
		if r.Name == name {
			return r, nil
		}
	}
	return Resolution{}, fmt.Errorf("%w: unknown resolution", telemetry.ErrInvalid)
}

// Buckets returns the largest number of buckets that the range can have.
func (r Resolution) Buckets(of Range) int64 {
	if r.Width <= 0 {
		return math.MaxInt64
	}
	width := telemetry.Micros(r.Width.Microseconds())
	return int64((of.To-of.From)/width) + 2
}

// Finest returns the finest resolution, at least as wide as stored, at which the range has
// at most that many buckets, or else the coarsest.
func Finest(of Range, most int64, stored time.Duration) Resolution {
	all := Resolutions()
	for _, r := range all {
		if r.Width >= stored && r.Buckets(of) <= most+1 {
			return r
		}
	}
	return all[len(all)-1]
}
