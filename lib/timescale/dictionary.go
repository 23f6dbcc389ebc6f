package timescale

import (
	"maps"
	"sync"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// maxCachedNames bounds the cache; past it the cache starts again from nothing.
const maxCachedNames = 2_000_000

// dictionary caches the ids of names. It is true for the connections of one
// generation: a new connection may lead to a database that was restored or made
// anew, where a name has another id, and that would put a reading under a wrong
// name.
type dictionary struct {
	mu         sync.RWMutex
	generation uint64
	names      int
	gateways   map[telemetry.GatewayID]*gatewayNames
	series     map[uint64]struct{} // those that are in the table series
}

type gatewayNames struct {
	id        int32
	site      telemetry.SiteID
	siteSince telemetry.Micros
	devices   map[telemetry.DeviceName]int32
	metrics   map[telemetry.MetricName]int32
}

func newDictionary() *dictionary {
	return &dictionary{gateways: make(map[telemetry.GatewayID]*gatewayNames), series: make(map[uint64]struct{})}
}

// renew forgets everything if it was learnt before generation.
func (d *dictionary) renew(generation uint64) {
	d.mu.RLock()
	current := d.generation == generation
	d.mu.RUnlock()
	if current {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.generation < generation {
		d.generation = generation
		d.forget()
	}
}

func (d *dictionary) forget() {
	d.names = 0
	clear(d.gateways)
	clear(d.series)
}

// lookup fills into with the ids of b's names and reports whether all are known
// and the gateway's site is as b says.
func (d *dictionary) lookup(b *telemetry.Batch, into *ids) bool {
	into.device, into.metric = into.device[:0], into.metric[:0]
	d.mu.RLock()
	defer d.mu.RUnlock()
	g, ok := d.gateways[b.Gateway]
	if !ok || g.outdatedBy(b) {
		return false
	}
	for _, name := range b.Devices {
		id, ok := g.devices[name]
		if !ok {
			return false
		}
		into.device = append(into.device, id)
	}
	for _, name := range b.Metrics {
		id, ok := g.metrics[name]
		if !ok {
			return false
		}
		into.metric = append(into.metric, id)
	}
	return true
}

// outdatedBy reports whether b tells of a move to another site.
func (g *gatewayNames) outdatedBy(b *telemetry.Batch) bool {
	return g.site != b.Site && g.siteSince < b.Received
}

// learn adds what was looked up over a connection of generation; what came over
// an older one is not taken.
func (d *dictionary) learn(generation uint64, learnt map[telemetry.GatewayID]*gatewayNames) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.generation != generation {
		return
	}
	if d.names > maxCachedNames {
		d.forget()
	}
	for name, l := range learnt {
		g := d.gateways[name]
		if g == nil || g.id != l.id {
			g = &gatewayNames{id: l.id, devices: make(map[telemetry.DeviceName]int32), metrics: make(map[telemetry.MetricName]int32)}
			d.gateways[name] = g
			d.names++
		}
		g.site, g.siteSince = l.site, l.siteSince
		maps.Copy(g.devices, l.devices)
		maps.Copy(g.metrics, l.metrics)
		d.names += len(l.devices) + len(l.metrics)
	}
}

// unknownSeries keeps those of keys that are not in the cache, in the same memory.
func (d *dictionary) unknownSeries(keys []uint64) []uint64 {
	d.mu.RLock()
	defer d.mu.RUnlock()
	unknown := keys[:0]
	for _, key := range keys {
		if _, ok := d.series[key]; !ok {
			unknown = append(unknown, key)
		}
	}
	return unknown
}

// learnSeries adds series that were registered over a connection of generation.
func (d *dictionary) learnSeries(generation uint64, keys []uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.generation != generation {
		return
	}
	if d.names+len(d.series) > maxCachedNames {
		d.forget()
	}
	for _, key := range keys {
		d.series[key] = struct{}{}
	}
}
