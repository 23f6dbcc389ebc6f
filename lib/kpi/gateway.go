package kpi

import (
	"slices"
	"strings"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// gateway is what is kept of a gateway.
type gateway struct {
	name telemetry.GatewayID
	site telemetry.SiteID
	// newest is the time of the last usable reading in a closed window.
	newest    telemetry.Micros
	hasNewest bool
	// seen is the end of the last closed window in which anything was counted.
	seen telemetry.Micros

	devices     []*device // in order of name
	byKey       map[seriesKey]*series
	seriesCount int
	windows     []tallies // open ones in order of start

	// The dictionaries of the last batch and the series that each pair means.
	deviceNames []telemetry.DeviceName
	metricNames []telemetry.MetricName
	known       []*device
	table       []*series
}

type seriesKey struct {
	device telemetry.DeviceName
	metric telemetry.MetricName
}

// tallies are a gateway's counts of one window. Duplicates and lags are by the
// events' own times, what was turned away is by arrival.
type tallies struct {
	start                            telemetry.Micros
	duplicates, late, early, refused uint64
	unverified, crowded              uint64
	lags                             Lags
}

// maxTable bounds the table of a batch's pairs; a batch that has more names looks
// each event's series up.
const maxTable = 1 << 16

func newGateway(name telemetry.GatewayID, site telemetry.SiteID) *gateway {
	return &gateway{name: name, site: site, byKey: make(map[seriesKey]*series)}
}

// layout returns the series of each pair of the batch's dictionaries, nil where
// it is not known yet; or nil where the table would be too large. A sender's
// dictionaries hardly change, so most often the last batch's table will do.
func (g *gateway) layout(b *telemetry.Batch, machines Machines) []*series {
	n := len(b.Devices) * len(b.Metrics)
	if n > maxTable {
		for _, name := range b.Devices {
			g.describe(g.device(name), machines)
		}
		return nil
	}
	if g.table == nil || !slices.Equal(g.metricNames, b.Metrics) || !slices.Equal(g.deviceNames, b.Devices) {
		g.metricNames = append(g.metricNames[:0], b.Metrics...)
		g.deviceNames = append(g.deviceNames[:0], b.Devices...)
		g.known = g.known[:0]
		for _, name := range b.Devices {
			g.known = append(g.known, g.device(name))
		}
		g.table = slices.Grow(g.table[:0], n)[:n]
		for i, device := range b.Devices {
			for k, metric := range b.Metrics {
				g.table[i*len(b.Metrics)+k] = g.byKey[seriesKey{device, metric}]
			}
		}
	}
	for i, d := range g.known {
		if d == nil { // it may have come with the events of the last batch
			d = g.device(b.Devices[i])
			g.known[i] = d
		}
		g.describe(d, machines)
	}
	return g.table
}

func (g *gateway) describe(d *device, machines Machines) {
	if d != nil && machines != nil {
		d.describe(machines.Machine(g.name, d.name))
	}
}

// forgetLayout is due whenever a series or device is given up.
func (g *gateway) forgetLayout() { g.table = nil }

func (g *gateway) find(name telemetry.DeviceName) (int, bool) {
	return slices.BinarySearchFunc(g.devices, name, func(d *device, name telemetry.DeviceName) int {
		return strings.Compare(string(d.name), string(name))
	})
}

func (g *gateway) device(name telemetry.DeviceName) *device {
	if i, ok := g.find(name); ok {
		return g.devices[i]
	}
	return nil
}

// admit returns the series, which is made where it is not there and the limits
// allow it, else nil.
func (g *gateway) admit(name telemetry.DeviceName, metric telemetry.MetricName, s *Shard) *series {
	key := seriesKey{name, metric}
	if sr, ok := g.byKey[key]; ok {
		return sr
	}
	l := &s.config.Limits
	i, ok := g.find(name)
	if g.seriesCount >= l.Series || !ok && len(g.devices) >= l.Devices {
		return nil
	}
	if !ok {
		d := &device{name: name}
		g.describe(d, s.config.Machines)
		g.devices = slices.Insert(g.devices, i, d)
	}
	return g.addSeries(g.devices[i], metric)
}

func (g *gateway) addSeries(d *device, metric telemetry.MetricName) *series {
	sr := &series{metric: metric, device: d, role: d.roleOf(metric)}
	i, _ := slices.BinarySearchFunc(d.series, metric, func(s *series, metric telemetry.MetricName) int {
		return strings.Compare(string(s.metric), string(metric))
	})
	d.series = slices.Insert(d.series, i, sr)
	g.byKey[seriesKey{d.name, metric}] = sr
	g.seriesCount++
	return sr
}

// tally returns the counts of the window that starts at start.
func (g *gateway) tally(start telemetry.Micros) *tallies {
	i := len(g.windows)
	for i > 0 && g.windows[i-1].start > start {
		i--
	}
	if i > 0 && g.windows[i-1].start == start {
		return &g.windows[i-1]
	}
	g.windows = slices.Insert(g.windows, i, tallies{start: start})
	return &g.windows[i]
}
