package kpitest

import (
	"cmp"
	"slices"
)

// Machine is the configuration of a machine. An empty name is a metric that it does not
// report. Times are in µs.
type Machine struct {
	State, Count, Good string
	// Own: it is configured by a row of its own.
	Own, AssumeGood bool
	// Elements and Reasons have the meaning of state codes: production, idle, setup, down or
	// not_planned.
	Elements map[float64]string
	Reasons  map[float64]string
	Rates
	// Always: all time is planned. Otherwise Shifts are, as times since Monday 00:00 UTC.
	Always bool
	Shifts [][2]int64
}

// Event is a usable reading: finite, not of bad quality, and each identity once.
type Event struct {
	Metric string
	At     int64
	Value  float64
}

// Sums are a machine's sums by name, without the prefix of the samples; down_seconds also by
// reason, as down_seconds/reason. A sum that was not reported is not in it. Times are in µs.
type Sums map[string]float64

// Sums returns the sums of the windows from the one that begins at from to the one that ends
// at to, as docs/KPIS.md defines them, for a machine that is never silent for an hour.
func (m Machine) Sums(events []Event, from, to, window int64) Sums {
	slices.SortFunc(events, func(a, b Event) int { return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(a.Metric, b.Metric)) })
	of := func(metric string) (out []Event) {
		for _, e := range events {
			if metric != "" && e.Metric == metric {
				out = append(out, e)
			}
		}
		return out
	}
	states, counts, goods := of(m.State), of(m.Count), of(m.Good)
	produced, good := m.items(counts), m.items(goods)
	failures := m.failures(states)
	if m.AssumeGood {
		goods, good = counts, produced
	}
	busyProduced, busyGood := m.whileBusy(produced, events, states), m.whileBusy(good, events, states)
	before := func(list []Event, end int64) bool { return len(list) > 0 && list[0].At < end }
	sums := Sums{}
	if m.State+m.Count+m.Good == "" { // the configuration says that it is no machine
		return sums
	}
	for start := from; start < to; start += window {
		end := start + window
		state, count, ok := before(states, end), before(counts, end), before(goods, end)
		// The ratios begin with the window after that of a counter's first reading.
		all, allGood := before(counts, start), before(goods, start)
		if !before(events, end) || !m.Own && !state && !count && !ok {
			continue
		}
		in := func(items map[int64]float64) (n float64) {
			for at, v := range items {
				if at >= start && at < end {
					n += v
				}
			}
			return n
		}
		times := m.times(events, states, start, end)
		pieces, fine, cycle := in(produced), in(good), float64(m.IdealCycle)
		busy := times["production"] + times["idle"] + times["setup"] + times["down"]
		add := func(reported bool, name string, v float64) {
			if reported {
				sums[name] += v
			}
		}
		add(true, "calendar_seconds", float64(window))
		add(true, "planned_seconds", times["planned"])
		add(state, "busy_seconds", busy)
		for _, element := range []string{"production", "idle", "setup", "down", "unknown"} {
			add(state, element+"_seconds", times[element])
		}
		for reason, v := range times {
			if name, is := cutPrefix(reason, "down/"); is {
				add(state, "down_seconds/"+name, v)
			}
		}
		add(state, "failures", in(failures))
		add(count, "produced", pieces)
		add(ok, "good", fine)
		ideal := m.IdealCycle > 0
		add(state && all && ideal, "ideal_seconds", cycle*in(busyProduced))
		add(state && all && ideal, "performance_production_seconds", times["production"])
		add(all && allGood, "quality_produced", pieces)
		add(all && allGood, "quality_good", fine)
		add(all && allGood && ideal, "quality_ideal_seconds", cycle*pieces)
		add(all && allGood && ideal, "quality_good_ideal_seconds", cycle*fine)
		add(state && all && allGood && ideal, "oee_good_ideal_seconds", cycle*in(busyGood))
		add(state && all && allGood && ideal, "oee_busy_seconds", busy)
	}
	return sums
}

func cutPrefix(s, prefix string) (string, bool) {
	if len(s) < len(prefix) || s[:len(prefix)] != prefix {
		return "", false
	}
	return s[len(prefix):], true
}

// items returns the items that count in planned time, by the time of their reading.
func (m Machine) items(readings []Event) map[int64]float64 {
	var list []Count
	for _, e := range readings {
		list = append(list, Count{e.At, e.Value})
	}
	out := map[int64]float64{}
	for i, items := range Grown(m.Rates, list) {
		if m.planned(list[i].At) {
			out[list[i].At] = items
		}
	}
	return out
}

// failures returns 1 for the time of each failure.
func (m Machine) failures(states []Event) map[int64]float64 {
	out := map[int64]float64{}
	last := ""
	for _, s := range states {
		element := m.Elements[s.Value]
		if element == "down" && last != "down" && last != "" && m.planned(s.At) {
			out[s.At] = 1
		}
		if element != "" {
			last = element
		}
	}
	return out
}

// planned reports whether a microsecond is planned.
func (m Machine) planned(at int64) bool {
	if m.Always {
		return true
	}
	const day = 24 * 3600 * 1_000_000
	at = (at + 3*day) % (7 * day) // 1970-01-01 was a Thursday
	for _, s := range m.Shifts {
		if s[0] <= at && at < s[1] {
			return true
		}
	}
	return false
}

// times returns the planned time of a window by element. It cuts the window wherever anything
// can change, and looks at the first microsecond of each part.
func (m Machine) times(all, states []Event, start, end int64) map[string]float64 {
	cuts := []int64{start, end}
	for _, e := range all {
		cuts = append(cuts, e.At, e.At+m.StaleLimit)
	}
	const day = 24 * 3600 * 1_000_000
	monday := start - (start+3*day)%(7*day)
	for _, s := range m.Shifts {
		for week := monday - 7*day; week <= monday+7*day; week += 7 * day {
			cuts = append(cuts, week+s[0], week+s[1])
		}
	}
	slices.Sort(cuts)
	out := map[string]float64{}
	for i := 1; i < len(cuts); i++ {
		a, b := cuts[i-1], cuts[i]
		if a < start || b > end || a == b || !m.planned(a) {
			continue
		}
		length := float64(b - a)
		out["planned"] += length
		element, reason := m.elementAt(all, states, a)
		out[element] += length
		if element == "down" {
			out["down/"+reason] += length
		}
	}
	return out
}

// elementAt returns the element of the microsecond at, and the reason if it is down.
func (m Machine) elementAt(all, states []Event, at int64) (element, reason string) {
	alive := false
	for _, e := range all {
		alive = alive || e.At <= at && at < e.At+m.StaleLimit
	}
	element = "unknown"
	for _, s := range states {
		if alive && s.At <= at {
			element, reason = cmp.Or(m.Elements[s.Value], "unknown"), m.Reasons[s.Value]
		}
	}
	return element, reason
}

// whileBusy returns the items of readings before which the machine was busy, in planned time.
func (m Machine) whileBusy(items map[int64]float64, all, states []Event) map[int64]float64 {
	out := map[int64]float64{}
	for at, n := range items {
		element, _ := m.elementAt(all, states, at-1)
		if n != 0 && element != "unknown" && element != "not_planned" && m.planned(at-1) {
			out[at] = n
		}
	}
	return out
}
