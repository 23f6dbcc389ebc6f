package kpi

import (
	"math"
	"time"
)

// Sums are the times and counts of a machine in a window, or the sums over many machines
// and windows. Every ratio is computed from sums, never from other ratios.
type Sums struct {
	// Calendar is all time, Planned the time in shifts.
	Calendar, Planned time.Duration
	// Busy is the planned busy time (PBT) in known states: the sum of Production, Idle,
	// Setup and Down.
	Busy time.Duration
	// Production is the actual production time (APT).
	Production time.Duration
	// Idle, Setup and Down are the actual delay, setup and down times (ADET, AUST, ADOT).
	Idle, Setup, Down time.Duration
	// Unknown is the planned time in unknown states.
	Unknown time.Duration
	// IdealSeconds is the planned runtime per item (PRI) times Produced.
	IdealSeconds float64
	// Produced and Good are the produced and the good quantity (PQ, GQ).
	Produced, Good float64
	// Failures is the number of transitions to down (failure events, FE).
	Failures uint64
}

// Availability is APT / PBT (ISO 22400-2, Availability); NaN without busy time.
func (s Sums) Availability() float64 { return s.Production.Seconds() / s.Busy.Seconds() }

// Performance is PRI × PQ / APT (ISO 22400-2, Effectiveness); NaN without production
// time. It exceeds 1 if the configured ideal cycle is too long.
func (s Sums) Performance() float64 { return s.IdealSeconds / s.Production.Seconds() }

// Quality is GQ / PQ (ISO 22400-2, Quality ratio); NaN without produced items.
func (s Sums) Quality() float64 { return s.Good / s.Produced }

// OEE is Availability × Effectiveness × Quality ratio (ISO 22400-2, OEE index),
// simplified to the ideal time of the good items divided by the busy time, so that it is
// 0, not NaN, for a busy machine that produced nothing.
func (s Sums) OEE() float64 { return s.idealGood() / s.Busy.Seconds() }

// TEEP is the total effective equipment performance: as OEE, relative to calendar time.
func (s Sums) TEEP() float64 { return s.idealGood() / s.Calendar.Seconds() }

// idealGood returns the seconds that the good items would have taken at the ideal cycle.
func (s Sums) idealGood() float64 {
	if s.Produced == 0 {
		return 0
	}
	return s.IdealSeconds * s.Good / s.Produced
}

// Scrap is the share of produced items that are not good (ISO 22400-2, Scrap ratio, with
// every item that is not good as scrap); NaN without produced items.
func (s Sums) Scrap() float64 { return (s.Produced - s.Good) / s.Produced }

// Throughput is items per hour of calendar time (ISO 22400-2, Throughput rate, there per
// order execution time).
func (s Sums) Throughput() float64 { return s.Produced / s.Calendar.Hours() }

// MTBF is the production time per failure (ISO 22400-2, Mean operating time between
// failures). ok is false without failures.
func (s Sums) MTBF() (mean time.Duration, ok bool) { return perFailure(s.Production, s.Failures) }

// MTTR is the down time per failure (ISO 22400-2, Mean time to restoration). ok is false
// without failures.
func (s Sums) MTTR() (mean time.Duration, ok bool) { return perFailure(s.Down, s.Failures) }

func perFailure(d time.Duration, failures uint64) (time.Duration, bool) {
	if failures == 0 || failures > math.MaxInt64 {
		return 0, false
	}
	return d / time.Duration(failures), true
}
