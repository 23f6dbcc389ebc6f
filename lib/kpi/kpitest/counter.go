// Package kpitest computes a machine's KPI sums from its events in the simplest way, as
// docs/KPIS.md and docs/adr/0027-counters.md define them. It shares no code with lib/kpi,
// whose tests compare the two.
package kpitest

import "math"

// Rates are what the judgement of a counter depends on. Times are in µs.
type Rates struct {
	IdealCycle int64   // 0: not known
	StaleLimit int64   // > 0
	Modulus    float64 // 0: none
}

// Count is a reading of a counter.
type Count struct {
	At    int64 // µs
	Value float64
}

// Grown returns for each reading of a counter, in order of time, how many items it adds.
func Grown(r Rates, readings []Count) []float64 {
	out := make([]float64, len(readings))
	if len(readings) == 0 {
		return out
	}
	var (
		mark   = readings[0].Value
		held   []Count // the increase that waits for its confirmation
		dip    []Count // the readings of a dip that lasts
		before []Count // the reading before a reset
	)
	for i := 1; i < len(readings); i++ {
		now, v := readings[i].At, readings[i].Value
		gap := now - readings[i-1].At
		if len(before) > 0 && now-before[0].At > r.StaleLimit {
			before = nil
		}
		step := r.step(mark, v)
		if len(before) > 0 && r.continues(before[0], readings[i], mark, gap) {
			out[i] = v - before[0].Value - mark
			if out[i] < 0 {
				out[i] = 0
			}
			mark, held, dip, before = v, nil, nil, nil
			continue
		}
		if len(held) > 0 && step > 0 && r.step(held[0].Value, v) > 0 {
			out[i] = step
			mark, held = v, nil
			continue
		}
		if !(len(dip) > 0 && r.step(r.least(dip), v) >= 0) && r.reset(mark, v, step, gap) {
			if len(before) == 0 {
				before = []Count{{readings[i-1].At, mark}}
			}
			out[i] = v
			mark, held, dip = v, nil, nil
			continue
		}
		if step < 0 {
			held, before = nil, nil
			dip = append(dip, readings[i])
			if now-dip[0].At >= r.StaleLimit && len(dip) > 1 {
				out[i] = r.step(r.least(dip), v)
				mark, dip = v, nil
			}
			continue
		}
		if most := r.most(10_000, 100, gap); r.IdealCycle == 0 && step > 1_000_000 || r.IdealCycle > 0 && step > most {
			held, dip, before = []Count{readings[i]}, nil, nil
			continue
		}
		out[i] = step
		mark, held, dip = v, nil, nil
	}
	return out
}

// most is a number of items and a multiple of those that the ideal cycle allows in a time.
func (r Rates) most(items, factor float64, time int64) float64 {
	if r.IdealCycle == 0 {
		return items
	}
	return items + factor*(float64(time)/float64(r.IdealCycle))
}

func (r Rates) step(from, to float64) float64 {
	d := to - from
	if r.Modulus == 0 {
		return d
	}
	d -= r.Modulus * math.Floor(d/r.Modulus)
	if d > r.Modulus/2 {
		d -= r.Modulus
	}
	return d
}

// least is the lowest of the readings of a dip.
func (r Rates) least(dip []Count) float64 {
	least := dip[0].Value
	for _, d := range dip {
		if r.step(least, d.Value) < 0 {
			least = d.Value
		}
	}
	return least
}

// reset reports whether a reading below the mark is a fresh count.
func (r Rates) reset(mark, v, step float64, gap int64) bool {
	if v >= mark || v < 0 {
		return false
	}
	if step >= 0 { // it passed the modulus, unless that takes too many items
		limit := r.Modulus / 10
		if r.IdealCycle > 0 {
			limit = max(r.most(10, 10, gap), r.Modulus/100)
		}
		if step <= limit {
			return false
		}
	}
	silent := gap > r.StaleLimit
	if r.IdealCycle > 0 {
		if v > r.most(10, 10, gap) {
			return false
		}
		if silent {
			return mark-v > 5 && mark-v > mark*0.01
		}
		return v < mark/2
	}
	return v < mark/2 && (silent || v <= 10 || v <= mark/10)
}

// continues reports whether a reading belongs to the counter from before its reset.
func (r Rates) continues(before, now Count, mark float64, gap int64) bool {
	if now.Value < before.Value {
		return false
	}
	from, since := max(10, before.Value/10), max(10, before.Value/10)
	if r.IdealCycle > 0 {
		from, since = r.most(10, 10, gap), r.most(10, 10, now.At-before.At)
	}
	return now.Value-mark > from && now.Value-before.Value <= since
}
