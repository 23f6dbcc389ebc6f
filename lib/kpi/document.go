package kpi

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// Document is an operator's configuration of a machine in the form in which the API accepts
// it and the database stores it. Its zero value has no metrics: the device is no machine.
type Document struct {
	// The metrics that the device reports; empty for one that it does not report.
	StateMetric telemetry.MetricName `json:"state_metric"`
	CountMetric telemetry.MetricName `json:"count_metric"`
	GoodMetric  telemetry.MetricName `json:"good_metric"`
	// AssumeGood says that every item is good.
	AssumeGood bool `json:"assume_good" nullable:""`
	// States has the meaning of state codes, which are whole numbers.
	States map[string]DocumentState `json:"states" nullable:""`
	// IdealCycle is the planned runtime per item in seconds; 0 if it is not known.
	IdealCycle float64 `json:"ideal_cycle_seconds" nullable:""`
	// CounterModulus is the number of values of the counters; 0 if they do not roll over.
	CounterModulus float64 `json:"counter_modulus" nullable:""`
	// StaleAfter is the time without events, in seconds, after which the state is unknown.
	StaleAfter float64 `json:"stale_after_seconds"`
	// Planned has the shifts of a week in UTC by day, mon to sun, each as start and exclusive
	// end, such as 06:00 and 24:00. Nil is always; a day that is missing is not planned.
	Planned map[string][][]string `json:"planned" nullable:""`
}

// DocumentState is the meaning of a state code: production, idle, setup, down or
// not_planned. Only down can have a reason.
type DocumentState struct {
	Element string `json:"element"`
	Reason  string `json:"reason,omitempty"`
}

// Problem is what is wrong with a member of a document.
type Problem struct{ Member, Text string }

func (p Problem) String() string { return p.Member + ": " + p.Text }

// Limits of a document.
const (
	maxShiftsOfDay  = 24
	maxReasonBytes  = 1024
	maxCycleSeconds = 86400
	maxStaleSeconds = 86400
	leastSeconds    = 1e-6 // times are in µs
)

// Machine returns the machine that the document describes, or nil if it describes none: it
// has no metrics, or there are problems. These are in a fixed order. The machine counts what
// the document says to the last value, so nothing is both accepted and unused. own says that
// the document is for this device alone.
func (d *Document) Machine(own bool) (*Machine, []Problem) {
	config, problems := d.config()
	if len(problems) > 0 || !d.IsMachine() {
		return nil, problems
	}
	config.Own = own
	m, err := NewMachine(config)
	if err != nil {
		return nil, []Problem{{"configuration", err.Error()}}
	}
	return m, nil
}

// Warnings says which members have no effect, each as "member: reason", in a fixed order. They are
// no problems: a client may send every member, or the states later.
func (d *Document) Warnings() (out []string) {
	for _, w := range []struct {
		applies bool
		text    string
	}{
		{d.StateMetric == "" && len(d.States) > 0, "states: not used, there is no state_metric"},
		{d.StateMetric != "" && len(d.States) == 0, "states: there are none, so the state is always unknown"},
		{d.CountMetric == "" && d.IdealCycle > 0, "ideal_cycle_seconds: not used, there is no count_metric"},
	} {
		if w.applies {
			out = append(out, w.text)
		}
	}
	return out
}

// IsMachine reports whether the document names a metric.
func (d *Document) IsMachine() bool {
	return d.StateMetric != "" || d.CountMetric != "" || d.GoodMetric != ""
}

// checker collects the problems of a document.
type checker struct{ problems []Problem }

func (c *checker) require(met bool, member, format string, args ...any) bool {
	if !met {
		c.problems = append(c.problems, Problem{member, fmt.Sprintf(format, args...)})
	}
	return met
}

func (d *Document) config() (MachineConfig, []Problem) {
	var c checker
	c.metrics(d)
	inRange := func(v, least, most float64) bool { return v >= least && v <= most } // false for NaN
	c.require(d.IdealCycle == 0 || inRange(d.IdealCycle, leastSeconds, maxCycleSeconds), "ideal_cycle_seconds",
		"must be 0.000001 to %d, or 0 if it is not known", maxCycleSeconds)
	c.require(d.CounterModulus == 0 || inRange(d.CounterModulus, 2, maxInteger) && d.CounterModulus == math.Trunc(d.CounterModulus),
		"counter_modulus", "must be a whole number from 2 to 2^53, or 0 if the counters do not roll over")
	c.require(d.CounterModulus == 0 || d.CountMetric != "" || d.GoodMetric != "", "counter_modulus", "needs a count_metric or good_metric")
	c.require(inRange(d.StaleAfter, leastSeconds, maxStaleSeconds), "stale_after_seconds",
		"must be 0.000001 to %d", maxStaleSeconds)
	config := MachineConfig{
		StateMetric: d.StateMetric, CountMetric: d.CountMetric, GoodMetric: d.GoodMetric, AssumeGood: d.AssumeGood,
		States: c.states(d.States), Shifts: c.shifts(d.Planned),
	}
	if len(c.problems) == 0 { // the numbers are in their ranges
		config.IdealCycle, config.StaleLimit = duration(microsOf(d.IdealCycle)), duration(microsOf(d.StaleAfter))
		config.CounterModulus = int64(d.CounterModulus)
	}
	return config, c.problems
}

// microsOf rounds seconds to µs.
func microsOf(s float64) telemetry.Micros { return telemetry.Micros(math.Round(s * 1e6)) }

func (c *checker) metrics(d *Document) {
	named := []struct {
		member string
		name   telemetry.MetricName
	}{{"state_metric", d.StateMetric}, {"count_metric", d.CountMetric}, {"good_metric", d.GoodMetric}}
	for i, m := range named {
		if m.name == "" {
			continue
		}
		c.require(telemetry.ValidName(m.name) == nil, m.member,
			"must be the name of a metric, 1 to 128 bytes of UTF-8 without control characters, or empty")
		for _, other := range named[:i] {
			if other.name != m.name {
				continue
			}
			hint := "one metric cannot be both"
			if other.member == "count_metric" {
				hint = "leave it empty, and set assume_good if every item is good"
			}
			c.require(false, m.member, "is the same metric as %s: %s", other.member, hint)
		}
	}
	c.require(!d.AssumeGood || d.GoodMetric == "", "assume_good", "cannot be true with a good_metric")
	c.require(!d.AssumeGood || d.CountMetric != "", "assume_good", "needs a count_metric")
}

// elementNames are the elements that a document can name, in the order of the contract.
func elementNames() []string { return []string{"production", "idle", "setup", "down", "not_planned"} }

func (c *checker) states(states map[string]DocumentState) map[int]State {
	if !c.require(len(states) <= maxStates, "states", "must be at most %d", maxStates) {
		return nil
	}
	out := make(map[int]State, len(states))
	for _, text := range slices.Sorted(maps.Keys(states)) {
		s, member := states[text], "states."+short(text)
		code, err := strconv.Atoi(text)
		c.require(err == nil && strconv.Itoa(code) == text && code >= -maxInteger && code <= maxInteger, member,
			"the code must be a whole number up to 2^53, such as 7")
		element := slices.Index(elementNames(), s.Element)
		c.require(element >= 0, member, "element must be production, idle, setup, down or not_planned")
		c.require(s.Reason == "" || s.Element == "down", member, "only the element down can have a reason")
		c.require(len(s.Reason) <= maxReasonBytes && utf8.ValidString(s.Reason) && !strings.ContainsFunc(s.Reason, unicode.IsControl),
			member, "reason must be at most %d bytes of UTF-8 without control characters", maxReasonBytes)
		out[code] = State{Element: Production + Element(max(element, 0)), Reason: s.Reason}
	}
	return out
}

// span is a shift of a day, from start to end.
type span struct {
	start, end time.Duration
	text       string
}

// shifts returns nil for always, and an empty slice for never.
func (c *checker) shifts(planned map[string][][]string) []Shift {
	if planned == nil {
		return nil
	}
	days := []string{"mon", "tue", "wed", "thu", "fri", "sat", "sun"}
	for _, day := range slices.Sorted(maps.Keys(planned)) {
		c.require(slices.Contains(days, day), "planned."+short(day), "the day must be mon, tue, wed, thu, fri, sat or sun")
	}
	out := []Shift{}
	for i, day := range days {
		midnight := time.Duration(i) * 24 * time.Hour
		for _, s := range c.day("planned."+day, planned[day]) {
			out = append(out, Shift{midnight + s.start, midnight + s.end})
		}
	}
	return out
}

// day returns the shifts of a day in order.
func (c *checker) day(member string, shifts [][]string) []span {
	if !c.require(len(shifts) <= maxShiftsOfDay, member, "must have at most %d shifts", maxShiftsOfDay) {
		return nil
	}
	var spans []span
	for _, shift := range shifts {
		const want = `each shift must be a start and an end from 00:00 to 24:00, such as ["06:00","14:00"]`
		if !c.require(len(shift) == 2, member, want) {
			continue
		}
		start, ok := timeOfDay(shift[0])
		end, ok2 := timeOfDay(shift[1])
		if !c.require(ok && ok2, member, want) {
			continue
		}
		text := shift[0] + "–" + shift[1]
		if c.require(start != end, member, "%s ends when it starts: write 00:00–24:00 for a whole day, or leave it out", text) &&
			c.require(start < end, member,
				"%s ends before it starts: write a shift across midnight as two, up to 24:00 and from 00:00 on the next day", text) {
			spans = append(spans, span{start, end, text})
		}
	}
	slices.SortFunc(spans, func(a, b span) int { return int(a.start - b.start) })
	for i := 1; i < len(spans); i++ {
		c.require(spans[i-1].end <= spans[i].start, member, "%s and %s overlap", spans[i-1].text, spans[i].text)
	}
	return spans
}

// timeOfDay reads hh:mm, from 00:00 to 24:00.
func timeOfDay(s string) (time.Duration, bool) {
	if len(s) != len("15:04") || s[2] != ':' {
		return 0, false
	}
	h, hErr := strconv.ParseUint(s[:2], 10, 8)
	m, mErr := strconv.ParseUint(s[3:], 10, 8)
	return time.Duration(h*60+m) * time.Minute, hErr == nil && mErr == nil && m < 60 && h*60+m <= 24*60
}

// short returns a name of a member that an error's text may hold.
func short(s string) string {
	if len(s) > 32 {
		s = s[:32] + "…"
	}
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}

// Row is a stored document. Rows that an earlier version stored, or that were written with
// SQL, may have problems: the device is then configured, and nothing is computed for it
// until the configuration is corrected.
type Row struct {
	Document
	// States and Planned are the stored JSON values, also where the document cannot hold them.
	States, Planned json.RawMessage
	problems        []Problem
}

// NewRow returns a row of a document whose states and planned time are stored as JSON.
func NewRow(d Document, states, planned []byte) Row {
	r := Row{Document: d, States: states, Planned: planned}
	r.Document.States, r.Document.Planned = nil, nil
	var byCode map[string]json.RawMessage
	if json.Unmarshal(states, &byCode) != nil {
		r.problems = append(r.problems, Problem{"states", "must be an object"})
	}
	r.Document.States = make(map[string]DocumentState, len(byCode))
	for _, code := range slices.Sorted(maps.Keys(byCode)) {
		var s DocumentState
		if json.Unmarshal(byCode[code], &s) != nil {
			r.problems = append(r.problems, Problem{"states." + short(code), "must be an object with an element, and a reason for down"})
		}
		r.Document.States[code] = s
	}
	var byDay map[string]json.RawMessage
	if json.Unmarshal(planned, &byDay) != nil {
		r.problems = append(r.problems, Problem{"planned", "must be an object or null"})
	}
	if byDay == nil {
		return r
	}
	r.Document.Planned = make(map[string][][]string, len(byDay))
	for _, day := range slices.Sorted(maps.Keys(byDay)) {
		var shifts [][]string
		if json.Unmarshal(byDay[day], &shifts) != nil {
			r.problems = append(r.problems, Problem{"planned." + short(day), "must be an array of shifts"})
		}
		r.Document.Planned[day] = shifts
	}
	return r
}

// Machine is as that of Document, with the problems of the stored JSON first.
func (r *Row) Machine(own bool) (*Machine, []Problem) {
	m, problems := r.Document.Machine(own)
	if problems = append(slices.Clone(r.problems), problems...); len(problems) > 0 {
		return nil, problems
	}
	return m, nil
}
