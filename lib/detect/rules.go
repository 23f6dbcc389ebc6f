package detect

import (
	"cmp"
	"encoding/binary"
	"hash/fnv"
	"math"
	"strconv"
	"time"

	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// rule is an alarm rule prepared for evaluation.
type rule struct {
	id       directory.RuleID
	kind     directory.AnomalyKind
	severity directory.Severity
	// print is a hash of what the rule says: an alarm ends when it changes.
	print uint64
	// The alarm of a limit is raised beyond it, and cleared inside of clearLow or clearHigh.
	low, high           float64
	clearLow, clearHigh float64
	perSecond           float64
	minInterval         telemetry.Micros
	silence             telemetry.Micros
	ignoreBad           bool
	// changed is when the rule was last changed; 0 if not known.
	changed telemetry.Micros
}

// defaultMinInterval applies to a rate without one.
const defaultMinInterval = time.Second

// newRule returns nil for a rule without a condition.
func newRule(r directory.AlarmRule) *rule {
	out := &rule{id: r.ID, kind: r.Kind, severity: r.Severity}
	if !r.ChangedAt.IsZero() {
		out.changed = telemetry.MicrosOf(r.ChangedAt)
	}
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
		out.perSecond, out.minInterval = *r.PerSecond, micros(cmp.Or(r.MinInterval, defaultMinInterval))
	case directory.ByNoData:
		if r.Silence <= 0 {
			return nil
		}
		out.silence, out.ignoreBad = micros(r.Silence), r.IgnoreBad
	default: // the kind of a rule is one of the above
		return nil
	}
	out.print = out.fingerprint()
	return out
}

// fingerprint returns a hash of the rule's members but for its id and the time of its change.
func (r *rule) fingerprint() uint64 {
	h := fnv.New64a()
	text := []byte(string(r.kind) + " " + string(r.severity))
	if r.ignoreBad {
		text = append(text, " ignore bad"...)
	}
	for _, v := range [...]float64{r.low, r.high, r.clearLow, r.clearHigh, r.perSecond, float64(r.minInterval), float64(r.silence)} {
		text = binary.LittleEndian.AppendUint64(text, math.Float64bits(v))
	}
	h.Write(text)
	return h.Sum64()
}

// side says which alarm of a rule is raised: a threshold has one for each limit.
type side uint8

const (
	none  side = iota
	above      // the high limit, or the only alarm of another kind
	below      // the low limit
)

// threshold returns the state of a threshold after a value, which is finite.
func (r *rule) threshold(was side, value float64) side {
	switch {
	case value < r.low:
		return below
	case value > r.high:
		return above
	case was == below && value < r.clearLow, was == above && value > r.clearHigh:
		return was
	}
	return none
}

// point is a value of a series and its time.
type point struct {
	at    telemetry.Micros
	value float64
	known bool
}

// perSecond returns the change from p to a value, by the time between them, which counts
// as least if it is shorter. It is 0 if p is not known or has the same time.
func (p point) perSecond(at telemetry.Micros, value float64, least telemetry.Micros) float64 {
	if !p.known || p.at == at {
		return 0
	}
	return math.Abs(value-p.value) / (float64(max(at-p.at, p.at-at, least)) / 1e6)
}

// change is what a rate remembers: the first values of the current and of the previous
// stretch of at least its least interval.
type change struct{ previous, current point }

// rate returns the change per second to a value: the greater of that since the value
// before, and that since a value of one to two intervals before, which a slow change of a
// series with many values a second needs.
func (c *change) rate(before point, at telemetry.Micros, value float64, least telemetry.Micros) float64 {
	if c.current.known && at < c.current.at { // the clock was set back
		*c = change{}
	}
	rate := before.perSecond(at, value, least)
	if !c.current.known {
		c.current = point{at, value, true}
		return rate
	}
	from := c.previous
	if at-c.current.at >= least {
		from = c.current
		c.previous, c.current = c.current, point{at, value, true}
	}
	return max(rate, from.perSecond(at, value, least))
}

// message describes an alarm without names: an anomaly has them in its own fields.
func (r *rule) message(raised side, value, change float64) string {
	switch r.kind {
	case directory.ByThreshold:
		if raised == below {
			return "value " + number(value) + " is below " + number(r.low)
		}
		return "value " + number(value) + " is above " + number(r.high)
	case directory.ByRate:
		return "value changed by " + rounded(change, r.perSecond) + " per second, more than " + number(r.perSecond)
	case directory.ByNoData:
		return "no data for " + time.Duration(r.silence*1000).String()
	case directory.ByScore, directory.ByMachine:
	}
	return ""
}

// number formats a value with all its digits, and without an exponent unless it is very small
// or great.
func number(v float64) string {
	if size := math.Abs(v); size != 0 && size < 1e-6 || size >= 1e21 {
		return strconv.FormatFloat(v, 'g', -1, 64)
	}
	return strconv.FormatFloat(v, 'f', -1, 64)
}

// rounded formats a number that was computed with six digits, or all if it would not be above
// the limit otherwise.
func rounded(v, limit float64) string {
	if short, err := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 6, 64), 64); err == nil && short > limit {
		v = short
	}
	return number(v)
}
