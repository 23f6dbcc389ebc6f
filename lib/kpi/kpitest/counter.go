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
		mark  = readings[0]   // the last reading that was counted
		doubt = ""            // why the readings since are not: "up", "dip", "fresh"
		since []Count         // those readings, while the reason is the same
		old   = (*Count)(nil) // the mark before a reset that was counted
	)
	for i := 1; i < len(readings); i++ {
		now := readings[i]
		v := now.Value
		last := 0.0
		for _, items := range out[:i] {
			if items > 0 {
				last = items
			}
		}
		accept := func(items float64, before *Count) {
			out[i] = items
			mark, doubt, since, old = now, "", nil, before
		}
		lasting := len(since) > 0 && now.At-since[0].At >= r.StaleLimit
		if old != nil && mark.Value > 0 && now.At-old.At > r.StaleLimit {
			old = nil
		}
		// A fresh count that the reading goes on from.
		if doubt == "fresh" {
			first := since[0]
			near := v >= first.Value && v-first.Value <= r.atOnce(first, now, last)
			rises := v > first.Value && v < mark.Value && (r.IdealCycle > 0 || v < mark.Value/2)
			zero := first.Value == 0 && v >= mark.Value
			if near && !zero && (lasting || rises) {
				before := mark
				accept(v, &before)
				continue
			}
			if v == first.Value {
				continue
			}
		}
		forward := r.step(mark.Value, v)
		if v < mark.Value && forward > 0 && (r.belongs(doubt, since, v) || !r.passes(mark, now, forward)) {
			forward = v - mark.Value
		}
		if doubt == "up" {
			held := since[0].Value
			if v == held && !lasting {
				continue
			}
			if forward > 0 && (v == held || r.confirms(mark, since[0], now)) {
				accept(forward, nil)
				continue
			}
		}
		if old != nil && v >= old.Value {
			sinceOld, sinceMark := r.most(now.At-old.At), r.most(now.At-mark.At)
			if r.IdealCycle == 0 {
				sinceOld = max(10, old.Value/10)
				sinceMark = sinceOld
			}
			if v-old.Value <= sinceOld && v-mark.Value > sinceMark {
				accept(max(0, v-old.Value-mark.Value), nil)
				continue
			}
		}
		if forward >= 0 {
			if forward <= r.atOnce(mark, now, last) {
				accept(forward, old)
			} else {
				doubt, since, old = "up", []Count{now}, nil
			}
			continue
		}
		if !r.belongs(doubt, since, v) && r.fresh(mark, now) {
			few := max(10, mark.Value/10)
			if r.IdealCycle > 0 {
				few = r.most(now.At - mark.At)
			}
			if mark.Value == 1 && v == 0 || v > 0 && mark.Value-v > few {
				before := mark
				accept(v, &before)
			} else {
				doubt, since, old = "fresh", []Count{now}, nil
			}
			continue
		}
		if doubt != "dip" {
			doubt, since, old = "dip", nil, nil
		}
		if since = append(since, now); lasting && len(since) > 1 {
			accept(v-least(since), nil)
		}
	}
	return out
}

// belongs reports whether v goes on from doubted readings that are lower than the mark.
func (r Rates) belongs(doubt string, since []Count, v float64) bool {
	return doubt == "fresh" && v >= since[0].Value || doubt == "dip" && v >= least(since) && (least(since) >= 0 || v < 0)
}

// most is 10 items and ten times those that the ideal cycle allows in a time.
func (r Rates) most(time int64) float64 {
	return 10 + 10*(float64(time)/float64(r.IdealCycle))
}

// atOnce is the greatest increase from one reading to another that needs no confirmation;
// last is the last increase that was counted.
func (r Rates) atOnce(from, to Count, last float64) float64 {
	if r.IdealCycle == 0 {
		return max(100, math.Abs(from.Value)/10, 2*last)
	}
	return r.most(to.At - from.At)
}

// confirms reports whether a reading goes on from one that was too high.
func (r Rates) confirms(mark, held, now Count) bool {
	rise, first := r.step(held.Value, now.Value), r.step(mark.Value, held.Value)
	if rise <= 0 {
		return false
	}
	if r.IdealCycle == 0 || rise <= r.most(now.At-held.At) {
		return true
	}
	a, b := first/float64(held.At-mark.At), rise/float64(now.At-held.At)
	return b <= 1.5*a && a <= 1.5*b
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

// least is the lowest of the readings of a dip, but not a negative one before others.
func least(dip []Count) float64 {
	lowest := dip[0].Value
	for _, d := range dip {
		if d.Value < lowest || lowest < 0 && d.Value >= 0 {
			lowest = d.Value
		}
	}
	return lowest
}

// passes reports whether a lower reading is the counter passing its end.
func (r Rates) passes(mark, now Count, forward float64) bool {
	fresh := r.fresh(mark, now)
	gap := now.At - mark.At
	if r.IdealCycle > 0 {
		if fresh {
			return forward <= 20+2*float64(gap)/float64(r.IdealCycle)
		}
		return forward <= r.most(gap)
	}
	return forward <= 10 || !fresh || forward <= r.Modulus/10 && now.Value >= forward/10
}

// fresh reports whether a reading below the mark can be a count since a reset.
func (r Rates) fresh(mark, now Count) bool {
	v, gap := now.Value, now.At-mark.At
	if v >= mark.Value || v < 0 {
		return false
	}
	silent, half := gap > r.StaleLimit, v < mark.Value/2
	if r.IdealCycle == 0 {
		return half && (silent || v <= 10 || v <= mark.Value/10)
	}
	if v > r.most(gap) {
		return false
	}
	by := mark.Value - v
	return half || silent && by > 5 && by > mark.Value*0.01
}
