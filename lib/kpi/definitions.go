package kpi

import "strings"

// Needs are what a machine must report in a window, or have, to take part in a sum.
type Needs uint8

// The parts of Needs. A metric is reported from the window of its first reading on; the sums
// of ratios need counters that were reported before the window.
const (
	NeedState Needs = 1 << iota
	NeedCount
	NeedGood
	NeedIdealCycle
)

// String returns the needs in words, for documents.
func (n Needs) String() string {
	var out []string
	for i, text := range []string{"state", "count", "good count", "ideal cycle"} {
		if n&(1<<i) != 0 {
			out = append(out, text)
		}
	}
	return strings.Join(out, ", ")
}

// SumDefinition defines a sum of a machine and window.
type SumDefinition struct {
	Name  Name
	Needs Needs
	// Is says what is added up, with the term of ISO 22400-2.
	Is string
}

const (
	inPerformance  = NeedState | NeedCount | NeedIdealCycle
	inQuality      = NeedCount | NeedGood
	inQualityIdeal = inQuality | NeedIdealCycle
	inOEE          = inPerformance | inQuality
)

// ofRatio reports whether the sum is one side of a ratio of the machines that take part in it:
// it needs several things, which must be of one configuration.
func (d *SumDefinition) ofRatio() bool { return d.Needs&(d.Needs-1) != 0 }

// counters are the counters that the sum needs.
func (d *SumDefinition) counters() Needs { return d.Needs & (NeedCount | NeedGood) }

// MachineSums are the sums of machines, in the order in which they are documented. They
// are the only definition: the samples of windows, the API, the recording rules and
// docs/KPIS.md follow it.
func MachineSums() []SumDefinition {
	return []SumDefinition{
		{CalendarSeconds, 0, "all time of the window"},
		{PlannedSeconds, 0, "time in shifts; all of it without shifts"},
		{BusySeconds, NeedState, "planned busy time (PBT): production, idle, setup and down"},
		{ProductionSeconds, NeedState, "actual production time (APT)"},
		{IdleSeconds, NeedState, "actual delay time (ADET)"},
		{SetupSeconds, NeedState, "actual setup time (AUST)"},
		{DownSeconds, NeedState, "actual down time (ADOT), by reason"},
		{UnknownSeconds, NeedState, "planned time in an unknown state"},
		{Failures, NeedState, "failure events (FE): changes to down"},
		{Produced, NeedCount, "produced quantity (PQ)"},
		{Good, NeedGood, "good quantity (GQ)"},
		{IdealSeconds, inPerformance, "ideal time of the items produced in busy time (PRI × PQ)"},
		{PerformanceProductionSeconds, inPerformance, "production time of the machines that take part in performance"},
		{QualityProduced, inQuality, "produced items of the machines that take part in quality"},
		{QualityGood, inQuality, "good items of the same"},
		{QualityIdealSeconds, inQualityIdeal, "ideal time of the produced items of the same"},
		{QualityGoodIdealSeconds, inQualityIdeal, "ideal time of the good items of the same"},
		{OEEGoodIdealSeconds, inOEE, "ideal time of the good items made in busy time (PRI × GQ), of the machines that take part in OEE"},
		{OEEBusySeconds, inOEE, "planned busy time of the same"},
	}
}

// Short returns the name without the prefix of a window's metrics: the member of the API's
// response and a part of the names of recording rules.
func (n Name) Short() string { return strings.TrimPrefix(string(n), "insighthub_window_") }

// The sums of the clock: what a range of time has whatever was reported. They are in Totals
// and in recording rules, and not samples of windows.
const (
	// ClockSeconds is the length of the range up to the present.
	ClockSeconds Name = "clock_seconds"
	// AllCalendarSeconds is ClockSeconds for each machine.
	AllCalendarSeconds Name = "calendar_seconds"
	// OEECalendarSeconds is ClockSeconds for each machine that takes part in OEE.
	OEECalendarSeconds Name = "oee_calendar_seconds"
	// UnreportedSeconds is the part of AllCalendarSeconds without windows.
	UnreportedSeconds Name = "unreported_seconds"
)

// Definition defines a KPI as a quotient of two sums.
type Definition struct {
	// Name is the member of the API's response and a part of the recording rule's name.
	Name string
	// Title is how people read it.
	Title string
	// ISO is the KPI's name in ISO 22400-2.
	ISO string
	// Over and Under are the sums above and below the fraction bar.
	Over, Under Name
	// GroupOver and GroupUnder are those of several machines, unless they are empty; then
	// they are Over and Under. Machines with Under take part: for one of them alone Over
	// and Under apply.
	GroupOver, GroupUnder Name
	// Rest: the KPI is the rest to 1, (Under − Over) / Under.
	Rest bool
	// Factor is 3,600 for a value per hour, otherwise 1.
	Factor float64
	// Share: the KPI is a share, and more than 1 shows an error in configuration or counters.
	Share bool
	// Help is a sentence for dashboards and documents.
	Help string
}

// The names of the KPIs.
const (
	Availability = "availability"
	Performance  = "performance"
	Quality      = "quality"
	Scrap        = "scrap"
	OEE          = "oee"
	TEEP         = "teep"
	Throughput   = "throughput_per_hour"
	MTBF         = "mtbf_seconds"
	MTTR         = "mttr_seconds"
)

// Definitions are the KPIs of production. They are the only definition: the API, the
// recording rules and docs/KPIS.md follow it.
func Definitions() []Definition {
	return []Definition{
		{
			Name: Availability, Title: "Availability", ISO: "Availability",
			Over: ProductionSeconds, Under: BusySeconds, Factor: 1, Share: true,
			Help: "Production time / planned busy time.",
		},
		{
			Name: Performance, Title: "Performance", ISO: "Effectiveness",
			Over: IdealSeconds, Under: PerformanceProductionSeconds, Factor: 1, Share: true,
			Help: "Ideal time of the produced items / production time.",
		},
		{
			Name: Quality, Title: "Quality", ISO: "Quality ratio",
			Over: QualityGood, Under: QualityProduced, Factor: 1, Share: true,
			GroupOver: QualityGoodIdealSeconds, GroupUnder: QualityIdealSeconds,
			Help: "Good / produced items; of several machines by ideal time.",
		},
		{
			Name: Scrap, Title: "Scrap", ISO: "Scrap ratio",
			Over: QualityGood, Under: QualityProduced, Rest: true, Factor: 1,
			GroupOver: QualityGoodIdealSeconds, GroupUnder: QualityIdealSeconds,
			Help: "1 - quality: every item that is not good is scrap.",
		},
		{
			Name: OEE, Title: "OEE", ISO: "OEE index",
			Over: OEEGoodIdealSeconds, Under: OEEBusySeconds, Factor: 1, Share: true,
			Help: "Ideal time of the good items / planned busy time.",
		},
		{
			Name: TEEP, Title: "TEEP", ISO: "– (OEE by calendar time)",
			Over: OEEGoodIdealSeconds, Under: OEECalendarSeconds, Factor: 1, Share: true,
			Help: "Ideal time of the good items / time of the clock.",
		},
		{
			Name: Throughput, Title: "Throughput", ISO: "Throughput rate",
			Over: Produced, Under: ClockSeconds, Factor: 3600,
			Help: "Items per hour of the clock, all machines together.",
		},
		{
			Name: MTBF, Title: "MTBF", ISO: "Mean operating time between failures",
			Over: ProductionSeconds, Under: Failures, Factor: 1,
			Help: "Production time / failures.",
		},
		{
			Name: MTTR, Title: "MTTR", ISO: "Mean time to restoration",
			Over: DownSeconds, Under: Failures, Factor: 1,
			Help: "Down time / failures.",
		},
	}
}
