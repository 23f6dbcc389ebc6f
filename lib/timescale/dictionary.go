package timescale

import (
	"maps"
	"sync"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// maxCachedNames limits the cache; beyond it the cache is cleared.
const maxCachedNames = 2_000_000

// dictionary caches the ids of names, as read over the connections of one generation.
// A new connection may lead to a database that was restored or created again, where a
// name has another id: a cached id would store an event under a wrong name.
type dictionary struct {
	mu         sync.RWMutex
	generation uint64
	names      int
	gateways   map[telemetry.GatewayID]*gatewayNames
	series     map[uint64]struct{} // keys of rows in the table series
}

type gatewayNames struct {
	id        int32
	site      telemetry.SiteID
	siteSince telemetry.Micros
	devices   map[telemetry.DeviceName]int32
	metrics   map[telemetry.MetricName]int32
	crowded   bool // as loaded: names were added, and there is little room left
}

func newGatewayNames() *gatewayNames {
	return &gatewayNames{devices: make(map[telemetry.DeviceName]int32), metrics: make(map[telemetry.MetricName]int32)}
}

func newDictionary() *dictionary {
	return &dictionary{gateways: make(map[telemetry.GatewayID]*gatewayNames), series: make(map[uint64]struct{})}
}

// setGeneration clears the cache if its content is of an earlier generation.
func (d *dictionary) setGeneration(generation uint64) {
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
		d.clear()
	}
}

// forget clears the cache.
func (d *dictionary) forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.clear()
}

func (d *dictionary) clear() {
	d.names = 0
	clear(d.gateways)
	clear(d.series)
}

// lookup fills into with the ids of b's names. It reports whether all are cached and
// the gateway's site is that of b.
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

// outdatedBy reports whether b shows that the gateway moved to another site.
func (g *gatewayNames) outdatedBy(b *telemetry.Batch) bool {
	return g.site != b.Site && g.siteSince < b.Received
}

// add caches names that were read over a connection of generation. Names of an earlier
// generation are ignored.
func (d *dictionary) add(generation uint64, loaded map[telemetry.GatewayID]*gatewayNames) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.generation != generation {
		return
	}
	if d.names > maxCachedNames {
		d.clear()
	}
	for name, l := range loaded {
		g := d.gateways[name]
		if g == nil || g.id != l.id {
			g = newGatewayNames()
			g.id = l.id
			d.gateways[name] = g
			d.names++
		}
		g.site, g.siteSince = l.site, l.siteSince
		maps.Copy(g.devices, l.devices)
		maps.Copy(g.metrics, l.metrics)
		d.names += len(l.devices) + len(l.metrics)
	}
}

// uncachedSeries filters keys in place: it returns those that are not in the cache.
func (d *dictionary) uncachedSeries(keys []uint64) []uint64 {
	d.mu.RLock()
	defer d.mu.RUnlock()
	uncached := keys[:0]
	for _, key := range keys {
		if _, ok := d.series[key]; !ok {
			uncached = append(uncached, key)
		}
	}
	return uncached
}

// addSeries caches series that were inserted over a connection of generation.
func (d *dictionary) addSeries(generation uint64, keys []uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.generation != generation {
		return
	}
	if d.names+len(d.series) > maxCachedNames {
		d.clear()
	}
	for _, key := range keys {
		d.series[key] = struct{}{}
	}
}
