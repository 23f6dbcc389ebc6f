package detect

import (
	"math"
	"strconv"
	"time"

	"github.com/insighthub/insighthub/lib/directory"
)

// newRule returns nil for a rule without a condition.
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
		out.clearLow, out.clearHigh = out.low+r.Hysteresis, out.high-r.Hysteresis
		if out.clearLow > out.clearHigh { // no value is that far inside: clear in the middle half
			quarter := out.high/4 - out.low/4
			out.clearLow, out.clearHigh = out.low+quarter, out.high-quarter
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
	default: // the kind of a rule is one of the above
		return nil
	}
	return out
}

// alarm is a rule and whether it is raised.
type alarm struct {
	*rule
	raised bool
}

// evaluate reports whether a series' next value, which is finite, raises the alarm.
// The change is that since the value before, per second; NaN if there was none.
func (a *alarm) evaluate(value, change float64) bool {
	switch a.kind {
	case directory.ByThreshold:
		if value < a.low || value > a.high {
			return a.raise()
		}
		if value >= a.clearLow && value <= a.clearHigh {
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

// raise raises the alarm, and reports whether it was not raised before.
func (a *alarm) raise() bool {
	was := a.raised
	a.raised = true
	return !was
}

// message describes an alarm without names: an anomaly has them in its own fields.
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
