package kpi

import (
	"fmt"
	"math"
	"math/big"
	"slices"

	"github.com/insighthub/insighthub/lib/kpi/kpitest"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// offer is one event as a record delivers it.
type offer struct {
	gateway telemetry.GatewayID
	event   telemetry.Event
	// received is of the batch, arrival of the record.
	received, arrival telemetry.Micros
}

// key identifies a sample.
type key struct {
	name    Name
	gateway telemetry.GatewayID
	device  telemetry.DeviceName
	metric  telemetry.MetricName
	reason  string
	end     telemetry.Micros
}

func keyOf(s *Sample) key { return key{s.Name, s.Gateway, s.Device, s.Metric, s.Reason, s.Time} }

// oracle computes every KPI from the list of all offers, in stream order, in the simplest
// way: microsecond by microsecond, window by window.
type oracle struct {
	c        Config
	machines map[telemetry.DeviceName]MachineConfig
	accepted []offer
	turned   map[key]float64 // duplicates, late, early
	active   map[telemetry.GatewayID][]telemetry.Micros
	begin    telemetry.Micros
	out      map[key]float64
	lags     map[key]Lags
}

func (o *oracle) window() telemetry.Micros { return micros(o.c.Window) }

func (o *oracle) endOf(t telemetry.Micros) telemetry.Micros {
	start := t - ((t%o.window())+o.window())%o.window()
	return start + o.window()
}

// reduce computes all samples up to the clock last.
func (o *oracle) reduce(offers []offer, last telemetry.Micros) {
	o.turned, o.active = map[key]float64{}, map[telemetry.GatewayID][]telemetry.Micros{}
	o.out, o.lags = map[key]float64{}, map[key]Lags{}
	clock := telemetry.Micros(math.MinInt64)
	seen := map[string]bool{}
	closedBy := func(end telemetry.Micros) bool { return end+micros(o.c.Lateness) <= clock }
	count := func(f Name, g telemetry.GatewayID, end telemetry.Micros) {
		o.turned[key{name: f, gateway: g, end: end}]++
		o.active[g] = append(o.active[g], end)
	}
	for i, of := range offers {
		clock = max(clock, of.arrival)
		if i == 0 {
			o.begin = o.endOf(clock-micros(o.c.Lateness)) - o.window()
		}
		end := o.endOf(of.event.Time)
		id := fmt.Sprint(of.gateway, "|", of.event.Device, "|", of.event.Metric, "|", of.event.Time)
		switch {
		case closedBy(end):
			count(LateEvents, of.gateway, o.endOf(clock))
		case end-o.window() > clock+micros(o.c.Ahead):
			count(EarlyEvents, of.gateway, o.endOf(clock))
		case seen[id]:
			count(DuplicateEvents, of.gateway, end)
		default:
			seen[id] = true
			o.accepted = append(o.accepted, of)
			o.active[of.gateway] = append(o.active[of.gateway], end)
		}
	}
	clock = max(clock, last)
	gateways := map[telemetry.GatewayID]bool{}
	for _, of := range offers {
		gateways[of.gateway] = true
	}
	for g := range gateways {
		o.gateway(g, closedBy)
	}
}

func usable(of offer) bool {
	return of.event.Quality != telemetry.Bad && !math.IsNaN(of.event.Value) && !math.IsInf(of.event.Value, 0)
}

func (o *oracle) of(match func(offer) bool) (out []offer) {
	for _, of := range o.accepted {
		if match(of) {
			out = append(out, of)
		}
	}
	slices.SortStableFunc(out, func(a, b offer) int { return int(a.event.Time - b.event.Time) })
	return out
}

func (o *oracle) gateway(g telemetry.GatewayID, closedBy func(telemetry.Micros) bool) {
	all := o.of(func(of offer) bool { return of.gateway == g })
	newest := telemetry.Micros(math.MinInt64)
	for end := o.begin + o.window(); closedBy(end); end += o.window() {
		start := end - o.window()
		recent := false
		for _, at := range o.active[g] {
			recent = recent || at <= end && at > end-micros(o.c.Forget)
		}
		if !recent {
			newest = math.MinInt64
			continue
		}
		set := func(f Name, v float64) { o.out[key{name: f, gateway: g, end: end}] = v }
		for _, f := range []Name{LateEvents, EarlyEvents, DuplicateEvents} {
			set(f, o.turned[key{name: f, gateway: g, end: end}])
		}
		for _, f := range []Name{RefusedEvents, UnverifiedEvents, CrowdedEvents} {
			set(f, 0)
		}
		events, bad := 0., 0.
		var lags Lags
		devices, series := map[telemetry.DeviceName]bool{}, map[string]bool{}
		gap, any := telemetry.Micros(0), newest != math.MinInt64
		readings := map[telemetry.Micros]bool{}
		for _, of := range all {
			if at := o.endOf(of.event.Time); at <= end && at > end-micros(o.c.Forget) {
				devices[of.event.Device] = true
				series[fmt.Sprint(of.event.Device, "|", of.event.Metric)] = true
			}
			if of.event.Time < start || of.event.Time >= end {
				continue
			}
			events++
			if !usable(of) {
				bad++
			} else {
				any = true
				readings[of.event.Time] = true
			}
			lag := of.received - of.event.Time
			lags.Count++
			lags.SumMicros += int64(lag)
			if s := float64(lag) / 1e6; s <= 1./1024 {
				lags.Zero++
			} else {
				k := 0
				for k < LagBuckets-1 && s > math.Pow(2, float64(LagFirstBucket+k)/4) {
					k++
				}
				lags.Buckets[k]++
			}
		}
		for at := start; at < end; at++ {
			if readings[at] {
				newest = at
			}
			if newest != math.MinInt64 && at >= newest+micros(max(o.c.Gap, o.c.Window)) {
				gap++
			}
		}
		set(Events, events)
		set(BadQualityEvents, bad)
		set(GatewayDevices, float64(len(devices)))
		set(GatewaySeries, float64(len(series)))
		if lags.Count > 0 {
			set(IngestLag, float64(lags.Count))
			o.lags[key{name: IngestLag, gateway: g, end: end}] = lags
		}
		if any {
			set(GapSeconds, float64(gap)/1e6)
			set(Freshness, float64(end-newest)/1e6)
		}
	}
	names := map[telemetry.DeviceName]map[telemetry.MetricName]bool{}
	for _, of := range all {
		if names[of.event.Device] == nil {
			names[of.event.Device] = map[telemetry.MetricName]bool{}
		}
		names[of.event.Device][of.event.Metric] = true
	}
	for d, metrics := range names {
		for m := range metrics {
			o.series(g, d, m, closedBy)
		}
		if c, ok := o.machines[d]; ok {
			o.machine(g, d, c, closedBy)
		}
	}
}

func (o *oracle) series(g telemetry.GatewayID, d telemetry.DeviceName, m telemetry.MetricName, closedBy func(telemetry.Micros) bool) {
	all := o.of(func(of offer) bool {
		return of.gateway == g && of.event.Device == d && of.event.Metric == m && usable(of)
	})
	for end := o.begin + o.window(); closedBy(end); end += o.window() {
		var values []float64
		for _, of := range all {
			if of.event.Time >= end-o.window() && of.event.Time < end {
				values = append(values, of.event.Value)
			}
		}
		if len(values) == 0 {
			continue
		}
		exact := new(big.Float).SetPrec(5000)
		for _, v := range values {
			exact.Add(exact, new(big.Float).SetFloat64(v))
		}
		rounded, _ := exact.Float64()
		for f, v := range map[Name]float64{
			SeriesMin: slices.Min(values), SeriesMax: slices.Max(values), SeriesLast: values[len(values)-1],
			SeriesMean: rounded / float64(len(values)), SeriesSamples: float64(len(values)),
		} {
			o.out[key{f, g, d, m, "", end}] = v
		}
	}
}

// machine processes a machine's events microsecond by microsecond.
func (o *oracle) machine(g telemetry.GatewayID, d telemetry.DeviceName, c MachineConfig, closedBy func(telemetry.Micros) bool) {
	at := map[telemetry.Micros][]telemetry.Event{}
	var all []telemetry.Event
	for _, of := range o.of(func(of offer) bool { return of.gateway == g && of.event.Device == d && usable(of) }) {
		at[of.event.Time] = append(at[of.event.Time], of.event)
		all = append(all, of.event)
	}
	lives := o.lives(all, c.Own, closedBy)
	counts, goodCounts := o.grown(c, lives, c.CountMetric), o.grown(c, lives, c.GoodMetric)
	count, good := false, false // a reading was seen
	const none = telemetry.Micros(math.MinInt64)
	alive := none
	var state *float64
	known := Unknown // the last state with a meaning
	stale := c.StaleLimit
	busyBefore := false // the microsecond before is planned busy time
	for end := o.begin + o.window(); closedBy(end); end += o.window() {
		var planned, production, idle, setup, unknown telemetry.Micros
		down := map[string]telemetry.Micros{}
		failures, produced, goods, busyProduced, busyGoods := 0., 0., 0., 0., 0.
		readings := false
		countBefore, goodBefore := count, good
		for t := end - o.window(); t < end; t++ {
			inPlan := c.Shifts == nil
			sinceMonday := ((t-4*86400*second)%(7*86400*second) + 7*86400*second) % (7 * 86400 * second) // 1970-01-05 was a Monday
			for _, s := range c.Shifts {
				inPlan = inPlan || sinceMonday >= micros(s.Start) && sinceMonday < micros(s.End)
			}
			for _, e := range at[t] {
				readings, alive = true, t
				v := e.Value
				switch e.Metric {
				case c.StateMetric:
					state = &v
					element := c.States[int(v)].Element
					if inPlan && element == Down && known != Down && known != Unknown {
						failures++
					}
					if element != Unknown {
						known = element
					}
				case c.CountMetric:
					if inPlan {
						produced += counts[t]
					}
					if inPlan && busyBefore {
						busyProduced += counts[t]
					}
					count = true
				case c.GoodMetric:
					if inPlan {
						goods += goodCounts[t]
					}
					if inPlan && busyBefore {
						busyGoods += goodCounts[t]
					}
					good = true
				}
			}
			busyBefore = false
			if !inPlan {
				continue
			}
			planned++
			meaning := State{}
			if state != nil && alive != none && t < alive+micros(stale) {
				meaning = c.States[int(*state)]
			}
			busyBefore = meaning.Element != Unknown && meaning.Element != NotPlanned
			switch meaning.Element {
			case Production:
				production++
			case Idle:
				idle++
			case Setup:
				setup++
			case Down:
				down[meaning.Reason]++
			case Unknown:
				unknown++
			default:
			}
		}
		if !readings && (alive == none || alive <= end-micros(o.c.Forget) && !c.Own) {
			alive, state, known, count, good = none, nil, Unknown, false, false
			continue
		}
		if c.AssumeGood {
			goods, busyGoods, good, goodBefore = produced, busyProduced, count, countBefore
		}
		// What the machine reports decides which sums there are.
		if !c.Own && state == nil && !count && !good {
			continue
		}
		set := func(f Name, v float64) { o.out[key{name: f, gateway: g, device: d, end: end}] = v }
		timed := func(f Name, v telemetry.Micros) { set(f, float64(v)/1e6) }
		busy := production + idle + setup
		for _, v := range down {
			busy += v
		}
		cycle := float64(c.IdealCycle.Microseconds())
		timed(CalendarSeconds, o.window())
		timed(PlannedSeconds, planned)
		if state != nil {
			timed(BusySeconds, busy)
			timed(ProductionSeconds, production)
			timed(IdleSeconds, idle)
			timed(SetupSeconds, setup)
			timed(UnknownSeconds, unknown)
			set(Failures, failures)
			for _, s := range c.States {
				if s.Element == Down {
					o.out[key{DownSeconds, g, d, "", s.Reason, end}] = float64(down[s.Reason]) / 1e6
				}
			}
		}
		if count {
			set(Produced, produced)
		}
		if good {
			set(Good, goods)
		}
		if state != nil && countBefore && cycle > 0 {
			set(IdealSeconds, cycle*busyProduced/1e6)
			timed(PerformanceProductionSeconds, production)
		}
		if countBefore && goodBefore {
			set(QualityProduced, produced)
			set(QualityGood, goods)
			if cycle > 0 {
				set(QualityIdealSeconds, cycle*produced/1e6)
				set(QualityGoodIdealSeconds, cycle*goods/1e6)
			}
			if state != nil && cycle > 0 {
				set(OEEGoodIdealSeconds, cycle*busyGoods/1e6)
				timed(OEEBusySeconds, busy)
			}
		}
	}
}

// grown returns how many items each reading of a counter adds, by its time. A counter is
// forgotten with its machine, so each of lives is counted by itself.
func (o *oracle) grown(c MachineConfig, lives [][]telemetry.Event, metric telemetry.MetricName) map[telemetry.Micros]float64 {
	out := map[telemetry.Micros]float64{}
	rates := kpitest.Rates{
		IdealCycle: c.IdealCycle.Microseconds(), StaleLimit: c.StaleLimit.Microseconds(), Modulus: float64(c.CounterModulus),
	}
	for _, life := range lives {
		var readings []kpitest.Count
		for _, e := range life {
			if e.Metric == metric {
				readings = append(readings, kpitest.Count{At: int64(e.Time), Value: e.Value})
			}
		}
		for i, items := range kpitest.Grown(rates, readings) {
			out[telemetry.Micros(readings[i].At)] = items
		}
	}
	return out
}

// lives returns the events of a machine, in order, from one time that it was forgotten to
// the next; one with a configuration of its own is not forgotten.
func (o *oracle) lives(all []telemetry.Event, own bool, closedBy func(telemetry.Micros) bool) (out [][]telemetry.Event) {
	const none = telemetry.Micros(math.MinInt64)
	alive := none
	var life []telemetry.Event
	for end := o.begin + o.window(); closedBy(end); end += o.window() {
		if len(all) > 0 && all[0].Time < end {
			for len(all) > 0 && all[0].Time < end {
				alive, life, all = all[0].Time, append(life, all[0]), all[1:]
			}
		} else if alive != none && alive <= end-micros(o.c.Forget) && !own {
			alive, out, life = none, append(out, life), nil
		}
	}
	return append(out, life)
}
