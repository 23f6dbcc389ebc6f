package kpi

import (
	"math"
	"time"
)

// Sums are the times and counts of a machine in a window, or of many machines
// and windows added up. Every ratio is made from sums, never from other ratios.
type Sums struct {
	// Calendar is all time, Planned what the shifts plan.
	Calendar, Planned time.Duration
	// Busy is the planned busy time (PBT) as far as the state is known: Production,
	// Idle, Setup and Down together.
	Busy time.Duration
	// Production is the actual production time (APT).
	Production time.Duration
	// Idle, Setup and Down are the actual delay, setup and down times (ADET, AUST, ADOT).
	Idle, Setup, Down time.Duration
	// Unknown is planned time in which the state is not known.
	Unknown time.Duration
	// IdealSeconds is the planned runtime per item (PRI) times Produced.
	IdealSeconds float64
	// Produced and Good are the produced and the good quantity (PQ, GQ).
	Produced, Good float64
	// Failures are the changes to down (failure events, FE).
	Failures uint64
}

// Add adds other.
func (s *Sums) Add(other Sums) {
	s.Calendar += other.Calendar
	s.Planned += other.Planned
	s.Busy += other.Busy
	s.Production += other.Production
	s.Idle += other.Idle
	s.Setup += other.Setup
	s.Down += other.Down
	s.Unknown += other.Unknown
	s.IdealSeconds += other.IdealSeconds
	s.Produced += other.Produced
	s.Good += other.Good
	s.Failures += other.Failures
}

// Availability is APT / PBT (ISO 22400-2, Availability); NaN without busy time.
func (s Sums) Availability() float64 { return s.Production.Seconds() / s.Busy.Seconds() }

// Performance is PRI × PQ / APT (ISO 22400-2, Effectiveness); NaN without
// production time. It passes 1 where the ideal cycle is too long.
func (s Sums) Performance() float64 { return s.IdealSeconds / s.Production.Seconds() }

// Quality is GQ / PQ (ISO 22400-2, Quality ratio); NaN where nothing was produced.
func (s Sums) Quality() float64 { return s.Good / s.Produced }

// OEE is Availability × Effectiveness × Quality ratio (ISO 22400-2, OEE index).
// It is reduced to the ideal time of the good items over the busy time, so
// that it is 0, not NaN, where a busy machine produced nothing.
func (s Sums) OEE() float64 { return s.idealGood() / s.Busy.Seconds() }

// TEEP is the total effective equipment performance: as OEE, over all time.
func (s Sums) TEEP() float64 { return s.idealGood() / s.Calendar.Seconds() }

// idealGood is the seconds that the good items would have taken at the ideal cycle.
func (s Sums) idealGood() float64 {
	if s.Produced == 0 {
		return 0
	}
	return s.IdealSeconds * s.Good / s.Produced
}

// Scrap is the part of the produced items that is not good (ISO 22400-2, Scrap
// ratio, with all that is not good as scrap); NaN where nothing was produced.
func (s Sums) Scrap() float64 { return (s.Produced - s.Good) / s.Produced }

// Throughput is the items per hour of all time (ISO 22400-2, Throughput rate,
// there per order execution time).
func (s Sums) Throughput() float64 { return s.Produced / s.Calendar.Hours() }

// MTBF is the production time per failure (ISO 22400-2, Mean operating time
// between failures). Without failures there is none: ok is false.
func (s Sums) MTBF() (mean time.Duration, ok bool) { return perFailure(s.Production, s.Failures) }

// MTTR is the down time per failure (ISO 22400-2, Mean time to restoration).
// Without failures there is none: ok is false.
func (s Sums) MTTR() (mean time.Duration, ok bool) { return perFailure(s.Down, s.Failures) }

func perFailure(d time.Duration, failures uint64) (time.Duration, bool) {
	if failures == 0 || failures > math.MaxInt64 {
		return 0, false
	}
	return d / time.Duration(failures), true
}

// Ratios are the OEE and its parts.
type Ratios struct{ Availability, Performance, Quality, OEE, TEEP float64 }

// OEE returns the ratios of the sums. Where ok is false one of them is not
// defined and is NaN or infinite: no busy time, no production or no items.
func OEE(s Sums) (r Ratios, ok bool) {
	r = Ratios{s.Availability(), s.Performance(), s.Quality(), s.OEE(), s.TEEP()}
	ok = true
	for _, v := range []float64{r.Availability, r.Performance, r.Quality, r.OEE, r.TEEP} {
		ok = ok && !math.IsNaN(v) && !math.IsInf(v, 0)
	}
	return r, ok
}
