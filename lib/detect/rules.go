package detect

import (
	"math"
	"strconv"
	"time"

	"github.com/insighthub/insighthub/lib/directory"
)

// newRule returns nil for a rule that says nothing.
func newRule(r directory.AlarmRule) *rule {
	out := &rule{id: r.ID, kind: r.Kind, severity: r.Severity}
	switch r.Kind {
	case directory.ByThreshold:
		if r.Low == nil && r.High == nil {
			return nil
		}
		out.low, out.high = math.Inf(-1), math.Inf(1)
		if r.Low != nil {
			out.low = *r.Low
		}
		if r.High != nil {
			out.high = *r.High
		}
		out.backLow, out.backHigh = out.low+r.Hysteresis, out.high-r.Hysteresis
		if out.backLow > out.backHigh { // nothing is that far inside: the middle half is then
			quarter := out.high/4 - out.low/4
			out.backLow, out.backHigh = out.low+quarter, out.high-quarter
		}
	case directory.ByRate:
		if r.PerSecond == nil {
			return nil
		}
		out.perSecond = *r.PerSecond
	case directory.ByNoData:
		if r.Silence <= 0 {
			return nil
		}
		out.silence = micros(r.Silence)
	case directory.ByScore, directory.ByMachine:
		return nil
	default:
		return nil
	}
	return out
}

// alarm is a rule and whether it is raised.
type alarm struct {
	*rule
	raised bool
}

// value takes a series' next value, which is a number, and reports whether the
// alarm is raised by it. The change is that from the value before in a second; NaN
// when there was none.
func (a *alarm) value(value, change float64) bool {
	switch a.kind {
	case directory.ByThreshold:
		if value < a.low || value > a.high {
			return a.raise()
		}
		if value >= a.backLow && value <= a.backHigh {
			a.raised = false
		}
	case directory.ByRate:
		if change > a.perSecond {
			return a.raise()
		}
		a.raised = false
	case directory.ByNoData, directory.ByScore, directory.ByMachine:
	}
	return false
}

// raise reports whether the alarm was not raised before.
func (a *alarm) raise() bool {
	was := a.raised
	a.raised = true
	return !was
}

// message says what an alarm is about, without any name: names are the callers'.
func (a *alarm) message(value, change float64) string {
	switch a.kind {
	case directory.ByThreshold:
		if value < a.low {
			return "value " + number(value) + " is below " + number(a.low)
		}
		return "value " + number(value) + " is above " + number(a.high)
	case directory.ByRate:
		return "value changed by " + number(change) + " per second, more than " + number(a.perSecond)
	case directory.ByNoData:
		return "no data for " + time.Duration(a.silence*1000).String()
	case directory.ByScore, directory.ByMachine:
	}
	return ""
}

func number(v float64) string { return strconv.FormatFloat(v, 'g', 6, 64) }
