package kpi

import (
	"maps"
	"time"
)

// Totals are the sums over machines and a range of time.
type Totals struct {
	// Sums are the sums of windows that were reported, and those of WithClock. Times are
	// in seconds. One that no machine reported is not in it.
	Sums map[Name]float64
	// Machines is the number of machines that have windows of a sum, for those of Counted.
	Machines map[Name]int64
	// Downtime is the down time in seconds by reason, which may be empty.
	Downtime map[string]float64
	// Windows is the number of windows of machines in the sums.
	Windows int64
}

// Counted returns the sums of which Totals counts the machines: those of CalendarSeconds
// are all machines, the others those that take part in availability, performance, quality
// and OEE. Those of QualityIdealSeconds are the ones that take part in the quality of several.
func Counted() []Name {
	return []Name{CalendarSeconds, BusySeconds, PerformanceProductionSeconds, QualityProduced, QualityIdealSeconds, OEEBusySeconds}
}

// WithClock returns t with the sums of the clock for a range of that length.
func (t Totals) WithClock(clock time.Duration) Totals {
	sums := maps.Clone(t.Sums)
	if sums == nil {
		sums = make(map[Name]float64)
	}
	length := seconds(micros(max(clock, 0)))
	sums[ClockSeconds] = length
	if n := t.Machines[CalendarSeconds]; n > 0 {
		sums[AllCalendarSeconds] = float64(n) * length
		sums[UnreportedSeconds] = max(0, float64(n)*length-t.Sums[CalendarSeconds])
	}
	if n := t.Machines[OEEBusySeconds]; n > 0 {
		sums[OEECalendarSeconds] = float64(n) * length
	}
	t.Sums = sums
	return t
}

// Of returns the KPI; ok is false if it is not defined: a sum was not reported, or the
// divisor is 0. Group says that t is of a gateway or a site, not of one device.
func (d Definition) Of(t Totals, group bool) (value float64, ok bool) {
	over, under := d.sums(t, group)
	o, hasOver := t.Sums[over]
	u, hasUnder := t.Sums[under]
	if !hasOver || !hasUnder || u <= 0 {
		return 0, false
	}
	if d.Rest {
		o = u - o
	}
	return o * d.Factor / u, true
}

// sums returns the sums above and below the fraction bar.
func (d Definition) sums(t Totals, group bool) (over, under Name) {
	if group && d.GroupOver != "" && t.Machines[d.Under] != 1 {
		return d.GroupOver, d.GroupUnder
	}
	return d.Over, d.Under
}

// Machines returns how many machines take part in the KPI, if its lower sum is one of Counted.
func (d Definition) Machines(t Totals, group bool) int64 {
	_, under := d.sums(t, group)
	return t.Machines[under]
}

// rounding is how much more than 1 a share may be by rounding alone.
const rounding = 1e-9

// Above reports whether the KPI's value is more than it can be.
func (d Definition) Above(value float64) bool { return d.Share && value > 1+rounding }
