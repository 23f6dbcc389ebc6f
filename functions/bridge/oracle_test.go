package main

import (
	"cmp"
	"fmt"
	"math/big"
	"slices"
	"time"

	"github.com/insighthub/insighthub/lib/prometheus/remotewrite"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/loadtest/fleet/fleettest"
)

// oracle recomputes the samples of all closed windows from the records, as simply as
// possible. It supports only the default rules.
type oracle struct {
	events []reading // that are accepted, in order of time
	begin  telemetry.Micros
	clock  telemetry.Micros
	out    map[string][]remotewrite.Sample
}

type reading struct {
	gateway telemetry.GatewayID
	telemetry.Event
}

const (
	windowMicros   = telemetry.Micros(window / time.Microsecond)
	latenessMicros = 2_000_000
	staleMicros    = 60_000_000
)

func endOf(t telemetry.Micros) telemetry.Micros { return t - t%windowMicros + windowMicros }

// recompute returns the samples by series, without lags, freshness and gaps.
func recompute(records []fleettest.Record) map[string][]remotewrite.Sample {
	o := &oracle{out: map[string][]remotewrite.Sample{}}
	type identity struct {
		gateway telemetry.GatewayID
		device  telemetry.DeviceName
		metric  telemetry.MetricName
		time    telemetry.Micros
	}
	seen := map[identity]bool{}
	late := map[telemetry.GatewayID]map[telemetry.Micros]float64{}
	for i, r := range records {
		o.clock = max(o.clock, telemetry.MicrosOf(r.Arrival))
		if i == 0 {
			o.begin = endOf(o.clock-latenessMicros) - windowMicros
		}
		if r.Batch == nil {
			continue
		}
		for k := range r.Batch.Len() {
			e := reading{r.Batch.Gateway, r.Batch.Event(k)}
			id := identity{e.gateway, e.Device, e.Metric, e.Time}
			switch {
			case endOf(e.Time)+latenessMicros <= o.clock:
				if late[e.gateway] == nil {
					late[e.gateway] = map[telemetry.Micros]float64{}
				}
				late[e.gateway][endOf(o.clock)]++
			case !seen[id]:
				seen[id] = true
				o.events = append(o.events, e)
			}
		}
	}
	slices.SortStableFunc(o.events, func(a, b reading) int { return cmp.Compare(a.Time, b.Time) })
	byGateway := map[telemetry.GatewayID][]reading{}
	byDevice := map[[2]string][]reading{}
	bySeries := map[[3]string][]reading{}
	for _, e := range o.events {
		g, d, m := string(e.gateway), string(e.Device), string(e.Metric)
		byGateway[e.gateway] = append(byGateway[e.gateway], e)
		byDevice[[2]string{g, d}] = append(byDevice[[2]string{g, d}], e)
		bySeries[[3]string{g, d, m}] = append(bySeries[[3]string{g, d, m}], e)
	}
	for g, all := range byGateway {
		first := endOf(all[0].Time)
		for at := range late[g] {
			first = min(first, at)
		}
		o.windows(first, func(end telemetry.Micros) {
			o.put("events", end, g, "", "", "", float64(len(in(all, end))))
			o.put("late_events", end, g, "", "", "", late[g][end])
		})
	}
	for key, all := range byDevice {
		o.machine(telemetry.GatewayID(key[0]), key[1], all)
	}
	for key, all := range bySeries {
		o.series(telemetry.GatewayID(key[0]), key[1], key[2], all)
	}
	return o.out
}

// windows calls f for each closed window from the one that ends at first.
func (o *oracle) windows(first telemetry.Micros, f func(end telemetry.Micros)) {
	for end := max(first, o.begin+windowMicros); end+latenessMicros <= o.clock; end += windowMicros {
		f(end)
	}
}

func in(all []reading, end telemetry.Micros) []reading {
	from, _ := slices.BinarySearchFunc(all, end-windowMicros, func(e reading, t telemetry.Micros) int { return cmp.Compare(e.Time, t) })
	to, _ := slices.BinarySearchFunc(all, end, func(e reading, t telemetry.Micros) int { return cmp.Compare(e.Time, t) })
	return all[from:to]
}

func (o *oracle) put(kpi string, end telemetry.Micros, gateway telemetry.GatewayID, device, metric, reason string, v float64) {
	name := "insighthub_window_" + kpi
	if metric != "" {
		name = "insighthub_series_" + kpi
	}
	key := fmt.Sprintf("{__name__=%q", name)
	for _, l := range [][2]string{
		{"device", device}, {"gateway", string(gateway)}, {"metric", metric}, {"reason", reason}, {"site", "plant-1"},
	} {
		if l[1] != "" {
			key += fmt.Sprintf(", %s=%q", l[0], l[1])
		}
	}
	key += "}"
	o.out[key] = append(o.out[key], remotewrite.Sample{Timestamp: int64(end / 1000), Value: v})
}

func (o *oracle) series(g telemetry.GatewayID, device, metric string, all []reading) {
	o.windows(endOf(all[0].Time), func(end telemetry.Micros) {
		part := in(all, end)
		if len(part) == 0 {
			return
		}
		least, most := part[0].Value, part[0].Value
		sum := new(big.Float).SetPrec(2200)
		for _, e := range part {
			least, most = min(least, e.Value), max(most, e.Value)
			sum.Add(sum, big.NewFloat(e.Value))
		}
		total, _ := sum.Float64()
		o.put("min", end, g, device, metric, "", least)
		o.put("max", end, g, device, metric, "", most)
		o.put("mean", end, g, device, metric, "", total/float64(len(part)))
		o.put("last", end, g, device, metric, "", part[len(part)-1].Value)
		o.put("samples", end, g, device, metric, "", float64(len(part)))
	})
}

// machine reads all of the device's events once for each window.
func (o *oracle) machine(g telemetry.GatewayID, device string, all []reading) {
	const unknown = -1
	o.windows(endOf(all[0].Time), func(end telemetry.Micros) {
		start := end - windowMicros
		var spent [4]telemetry.Micros
		var unknownTime telemetry.Micros
		var failures, produced, good float64
		spend := func(state int, from, to telemetry.Micros) {
			d := max(0, min(to, end)-max(from, start))
			if state == unknown {
				unknownTime += d
			} else {
				spent[state] += d
			}
		}
		state, at := unknown, start // the state since at, as long as it is not stale
		counts := map[telemetry.MetricName]float64{}
		alive := all[0].Time
		counted := false                           // before the window
		last, busy, made := all[0].Time, false, 0. // the state just before last is known; items of such time
		for _, e := range all {
			if e.Time >= end {
				break
			}
			if e.Time > at {
				fresh := min(e.Time, max(at, alive+staleMicros))
				spend(state, at, fresh)
				spend(unknown, fresh, e.Time)
			}
			if e.Time > last {
				busy, last = state != unknown && e.Time <= last+staleMicros, e.Time
			}
			at, alive = max(at, e.Time), e.Time
			switch e.Metric {
			case "state":
				if int(e.Value) == 3 && state != 3 && e.Time >= start {
					failures++
				}
				state = int(e.Value)
			case "cycle_count", "good_count":
				before, ok := counts[e.Metric]
				counted = counted || e.Metric == "cycle_count" && e.Time < start
				grown := e.Value - before
				if e.Value < before {
					grown = e.Value
				}
				if ok && e.Time >= start && e.Metric == "cycle_count" {
					produced += grown
					if busy {
						made += grown
					}
				} else if ok && e.Time >= start {
					good += grown
				}
				counts[e.Metric] = e.Value
			}
		}
		fresh := min(end, max(at, alive+staleMicros))
		spend(state, at, fresh)
		spend(unknown, fresh, end)
		seconds := func(m telemetry.Micros) float64 { return float64(m) / 1e6 }
		put := func(kpi, reason string, v float64) { o.put(kpi, end, g, device, "", reason, v) }
		put("calendar_seconds", "", 5)
		put("planned_seconds", "", 5)
		put("production_seconds", "", seconds(spent[0]))
		put("idle_seconds", "", seconds(spent[1]))
		put("setup_seconds", "", seconds(spent[2]))
		put("down_seconds", "fault", seconds(spent[3]))
		put("busy_seconds", "", seconds(spent[0]+spent[1]+spent[2]+spent[3]))
		put("unknown_seconds", "", seconds(unknownTime))
		put("failures", "", failures)
		put("produced", "", produced)
		put("good", "", good)
		if counted {
			put("ideal_seconds", "", 2*made)
		}
	})
}
