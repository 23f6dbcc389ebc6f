package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/insighthub/insighthub/lib/bridge"
	"github.com/insighthub/insighthub/lib/kpi"
	"github.com/insighthub/insighthub/lib/kpi/kpitest"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/loadtest/fleet/fleettest"
)

// plantMachine is a device of a random plant, with its configuration in both forms: as the
// API accepts it, and as the brute force has it.
type plantMachine struct {
	site    telemetry.SiteID
	gateway telemetry.GatewayID
	device  telemetry.DeviceName
	rule    *kpi.Document // nil: the row of a new database applies
	spec    kpitest.Machine
	events  []telemetry.Event // in order of time, each identity once
}

// The range of the plants: it contains a change of shifts at noon of a Monday.
var (
	plantsFrom = time.Date(2026, 11, 23, 11, 59, 30, 0, time.UTC)
	plantsTo   = plantsFrom.Add(80 * time.Second)
)

// drawPlant returns the machines of a site with one or two gateways, and sensors that are
// no machines.
func drawPlant(r *rand.Rand, n int) (out []*plantMachine) {
	for g := range 1 + r.IntN(2) {
		for d := range 1 + r.IntN(2) {
			m := &plantMachine{
				site: telemetry.SiteID(fmt.Sprintf("plant-%04d", n)), gateway: telemetry.GatewayID(fmt.Sprintf("gw-%04d-%d", n, g)),
				device: telemetry.DeviceName([]string{"press", "mill*", "conveyor"}[(n+d)%3]),
			}
			m.configure(r)
			m.report(r)
			out = append(out, m)
		}
		if r.IntN(3) == 0 {
			sensor := &plantMachine{site: out[0].site, gateway: out[len(out)-1].gateway, device: "sensor"}
			sensor.spec = defaultSpec()
			sensor.add(r, "temperature", 0, func(int64) float64 { return r.Float64() })
			out = append(out, sensor)
		}
	}
	return out
}

// defaultSpec is the row of a new database.
func defaultSpec() kpitest.Machine {
	return kpitest.Machine{
		State: "state", Count: "cycle_count", Good: "good_count", Always: true,
		Elements: map[float64]string{0: "production", 1: "idle", 2: "setup", 3: "down"}, Reasons: map[float64]string{3: "fault"},
		Rates: kpitest.Rates{IdealCycle: 2_000_000, StaleLimit: 60_000_000},
	}
}

func (m *plantMachine) configure(r *rand.Rand) {
	if m.spec = defaultSpec(); r.IntN(4) == 0 {
		return
	}
	s, d := &m.spec, &kpi.Document{States: map[string]kpi.DocumentState{}}
	s.Own, s.State, s.Count, s.Good = true, "", "", ""
	s.Elements, s.Reasons = map[float64]string{}, map[float64]string{}
	if r.IntN(5) > 0 {
		s.State = "mode"
		for code, element := range []string{"production", "idle", "setup", "down", "down", "not_planned"} {
			state := kpi.DocumentState{Element: element}
			if element == "down" {
				state.Reason = fmt.Sprint("reason ", code)
				s.Reasons[float64(code)] = state.Reason
			}
			s.Elements[float64(code)] = element
			d.States[fmt.Sprint(code)] = state
		}
	}
	if r.IntN(5) > 0 {
		s.Count = "parts"
	}
	switch r.IntN(3) {
	case 0:
		s.Good = "fine"
	case 1:
		s.AssumeGood = s.Count != ""
	default:
	}
	s.IdealCycle, s.StaleLimit = 0, int64(1+r.IntN(35))*1_000_000
	if r.IntN(3) > 0 {
		s.IdealCycle = int64(1+r.IntN(3000)) * 1000
	}
	if s.Count+s.Good != "" && r.IntN(4) == 0 {
		s.Modulus = []float64{100, 65536, 1_000_000}[r.IntN(3)]
	}
	s.Always, s.Shifts, d.Planned = drawShifts(r)
	d.StateMetric, d.CountMetric, d.GoodMetric = telemetry.MetricName(s.State), telemetry.MetricName(s.Count), telemetry.MetricName(s.Good)
	d.AssumeGood, d.CounterModulus = s.AssumeGood, s.Modulus
	d.IdealCycle, d.StaleAfter = float64(s.IdealCycle)/1e6, float64(s.StaleLimit)/1e6
	m.rule = d
}

func drawShifts(r *rand.Rand) (always bool, shifts [][2]int64, planned map[string][][]string) {
	const hour = 3600 * 1_000_000
	switch r.IntN(6) {
	case 0:
		return false, [][2]int64{{0, 12 * hour}}, map[string][][]string{"mon": {{"00:00", "12:00"}}}
	case 1:
		return false, [][2]int64{{12 * hour, 24 * hour}}, map[string][][]string{"mon": {{"12:00", "24:00"}}, "tue": {}}
	case 2:
		return false, nil, map[string][][]string{"mon": {}}
	default:
		return true, nil, nil
	}
}

// report draws the machine's events.
func (m *plantMachine) report(r *rand.Rand) {
	const second = 1_000_000
	if m.spec.State != "" && r.IntN(8) > 0 {
		m.add(r, m.spec.State, 8*second, func(int64) float64 { return float64(r.IntN(8)) }) // 6 and 7 have no meaning
	}
	for _, metric := range []string{m.spec.Count, m.spec.Good} {
		if metric != "" && r.IntN(8) > 0 {
			m.add(r, metric, 2*second, counterOf(r, m.spec.Modulus))
		}
	}
	if r.IntN(2) == 0 {
		m.add(r, "temperature", 5*second, func(int64) float64 { return 20 * r.Float64() })
	}
	if r.IntN(3) == 0 { // silence
		from := int64(r.IntN(60)) * second
		to := from + int64(r.IntN(50))*second
		m.events = slices.DeleteFunc(m.events, func(e telemetry.Event) bool {
			after := int64(e.Time - telemetry.MicrosOf(plantsFrom))
			return after >= from && after < to
		})
	}
	slices.SortFunc(m.events, func(a, b telemetry.Event) int { return int(a.Time - b.Time) })
}

// counterOf returns the readings of a counter with resets, dips, single zeros and spikes.
func counterOf(r *rand.Rand, modulus float64) func(int64) float64 {
	count := float64(r.IntN(70_000))
	faulty := r.IntN(2) == 0
	step := 1 + r.IntN(6)
	return func(int64) float64 {
		count += float64(r.IntN(step))
		if modulus > 0 {
			count = math.Mod(count, modulus)
		}
		if !faulty {
			return count
		}
		switch r.IntN(20) {
		case 0:
			count = float64(r.IntN(3)) // a reset
		case 1, 2:
			return max(0, count-float64(1+r.IntN(5)))
		case 3:
			return 0
		case 4:
			return count + 5e6
		case 5:
			count = float64(r.IntN(70_000)) // it was set
		default:
		}
		return count
	}
}

// add draws the events of a metric, about one in each of so many µs (0: 10 s).
func (m *plantMachine) add(r *rand.Rand, metric string, each int64, value func(int64) float64) {
	each = cmp.Or(each, 10_000_000)
	start := int64(telemetry.MicrosOf(plantsFrom))
	for at := start + r.Int64N(3*each); at < int64(telemetry.MicrosOf(plantsTo)); at += 1 + r.Int64N(2*each) {
		e := telemetry.Event{Device: m.device, Metric: telemetry.MetricName(metric), Time: telemetry.Micros(at), Value: value(at)}
		if r.IntN(30) == 0 {
			e.Quality, e.Value = telemetry.Bad, 1e9
		}
		m.events = append(m.events, e)
	}
}

// sums returns the sums of the brute force.
func (m *plantMachine) sums() kpitest.Sums {
	var events []kpitest.Event
	for _, e := range m.events {
		if e.Quality != telemetry.Bad {
			events = append(events, kpitest.Event{Metric: string(e.Metric), At: int64(e.Time), Value: e.Value})
		}
	}
	return m.spec.Sums(events, int64(telemetry.MicrosOf(plantsFrom)), int64(telemetry.MicrosOf(plantsTo)), windowMicros64)
}

const windowMicros64 = int64(window / time.Microsecond)

// plantRules returns the machines' own rows, before that of a new database.
func plantRules(t *testing.T, machines []*plantMachine) *fixedRules {
	t.Helper()
	rules := &fixedRules{}
	for _, m := range machines {
		if m.rule == nil {
			continue
		}
		states, err := json.Marshal(m.rule.States)
		if err != nil {
			t.Fatal(err)
		}
		planned, err := json.Marshal(m.rule.Planned)
		if err != nil {
			t.Fatal(err)
		}
		*rules = append(*rules, bridge.Rule{
			Devices: telemetry.DevicePattern{Gateway: string(m.gateway), Device: string(m.device), Exact: true},
			Config:  kpi.NewRow(*m.rule, states, planned),
		})
		if _, problems := (*rules)[len(*rules)-1].Config.Machine(true); len(problems) > 0 {
			t.Fatal(problems)
		}
	}
	*rules = append(*rules, bridge.DefaultRules()...)
	return rules
}

// plantRecords returns the records in which the events arrive: out of order within the
// lateness, some of them more than once.
func plantRecords(t *testing.T, r *rand.Rand, machines []*plantMachine) (records []fleettest.Record) {
	t.Helper()
	p := fleettest.New(t, 1, 1, 1, plantsFrom)
	type tick struct {
		gateway telemetry.GatewayID
		second  int
	}
	batches := map[tick][]telemetry.Event{}
	var order []tick
	sites := map[telemetry.GatewayID]telemetry.SiteID{}
	for _, m := range machines {
		sites[m.gateway] = m.site
		for _, e := range m.events {
			for again := true; again; again = r.IntN(15) == 0 {
				// A window closes 2 s after its end, so an arrival within 2 s of the event is in time.
				late := telemetry.Micros(r.IntN(900_000))
				at := tick{m.gateway, int((e.Time+late-telemetry.MicrosOf(plantsFrom))/1_000_000) + 1}
				if batches[at] == nil {
					order = append(order, at)
				}
				batches[at] = append(batches[at], e)
			}
		}
	}
	slices.SortFunc(order, func(a, b tick) int { return cmp.Or(a.second-b.second, cmp.Compare(a.gateway, b.gateway)) })
	for _, at := range order {
		events := batches[at]
		r.Shuffle(len(events), func(i, k int) { events[i], events[k] = events[k], events[i] })
		arrival := plantsFrom.Add(time.Duration(at.second) * time.Second)
		b := &telemetry.Batch{Site: sites[at.gateway], Gateway: at.gateway, Received: telemetry.MicrosOf(arrival)}
		for _, e := range events {
			b.Append(e)
		}
		records = append(records, p.Record(b, arrival))
	}
	last := plantsTo.Add(4 * time.Second) // closes all windows
	b := &telemetry.Batch{Site: "other", Gateway: "other", Received: telemetry.MicrosOf(last)}
	b.Append(telemetry.Event{Device: "sensor", Metric: "temperature", Time: telemetry.MicrosOf(last), Value: 1})
	return append(records, p.Record(b, last))
}
