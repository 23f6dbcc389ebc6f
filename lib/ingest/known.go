package ingest

import (
	"context"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// Names says which gateways have little room for new names.
type Names interface {
	// Crowded returns the names of a gateway that has nearly as many as it may have. It is
	// called when a gateway sends a name that was not seen before, and a request waits for
	// it. After an error ingest goes on without it, and the store decides.
	Crowded(ctx context.Context, gateway telemetry.GatewayID) (directory.CrowdedNames, error)
}

// AnyNames is Names without a store: every gateway has room.
type AnyNames struct{}

// Crowded implements Names.
func (AnyNames) Crowded(context.Context, telemetry.GatewayID) (directory.CrowdedNames, error) {
	return directory.CrowdedNames{}, nil
}

const (
	// viewLifetime is after how long all names of a gateway are new again: some may have been
	// deleted.
	viewLifetime = 5 * time.Minute
	// pendingLifetime is how long a new name counts as known before it is looked up once more:
	// several processes may have given the last room to different names, and the store takes
	// the first.
	pendingLifetime = 10 * time.Second
	// lookUpPause is the time between two look-ups of a name without room, and after a
	// look-up that failed.
	lookUpPause   = time.Second
	lookUpTimeout = 300 * time.Millisecond
	// maxViewNames bounds the names in memory; beyond it all are forgotten.
	maxViewNames = 500_000
)

// knownNames is the bounded view of the gateways' names that one process has. Only a batch
// with a name that is not in it causes a look-up.
type knownNames struct {
	names    Names
	limit    [2]int // of devices, of metrics
	gateways map[telemetry.GatewayID]*gatewayView
	size     int
	failed   prometheus.Counter
	rejected [2][]bool // by index in the batch's dictionaries
}

// gatewayView is what is known of a gateway, of its devices (0) and its metrics (1).
type gatewayView struct {
	names [2]map[string]knownName
	// count is how many names the gateway has at least, those that are pending included.
	count [2]int
	// crowded is whether the last look-up had a list.
	crowded [2]bool
	begun   time.Time
	paused  time.Time // no look-up before it
}

// knownName says what is known of a name until a time.
type knownName struct {
	until int64 // in ns since 1970: there is one comparison for each name of each batch
	state nameState
}

type nameState uint8

const (
	stored  nameState = iota + 1
	pending           // it had room; that the store has it is not known
	refused           // it had none
)

func newKnownNames(config Config) knownNames {
	return knownNames{
		names: config.Names, limit: [2]int{config.DevicesPerGateway, config.MetricsPerGateway},
		gateways: make(map[telemetry.GatewayID]*gatewayView),
		failed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "insighthub_ingest_name_lookups_failed_total",
			Help: "Look-ups of names that failed; the store decides about those names.",
		}),
	}
}

func (k *knownNames) view(gateway telemetry.GatewayID, now time.Time) *gatewayView {
	if g := k.gateways[gateway]; g != nil {
		if now.Sub(g.begun) < viewLifetime {
			return g
		}
		k.size -= g.size()
	}
	if k.size > maxViewNames {
		clear(k.gateways)
		k.size = 0
	}
	g := &gatewayView{begun: now, names: [2]map[string]knownName{{}, {}}}
	k.gateways[gateway] = g
	k.size += g.size()
	return g
}

func (g *gatewayView) size() int { return 1 + len(g.names[0]) + len(g.names[1]) }

// check rejects the events of the collector's batch whose names are new and have no room.
func (k *knownNames) check(ctx context.Context, c *collector, now time.Time) {
	b := c.batch
	if b.Len() == 0 {
		return
	}
	g, at := k.view(b.Gateway, now), now.UnixNano()
	k.rejected[0] = cleared(k.rejected[0], len(b.Devices))
	k.rejected[1] = cleared(k.rejected[1], len(b.Metrics))
	var full [2]bool
	var unknown [2][]uint32 // indexes in the dictionaries
	for i, name := range b.Devices {
		if n := g.names[0][string(name)]; n.until <= at {
			unknown[0] = append(unknown[0], uint32(i))
		} else if n.state == refused {
			k.rejected[0][i], full[0] = true, true
		}
	}
	for i, name := range b.Metrics {
		if n := g.names[1][string(name)]; n.until <= at {
			unknown[1] = append(unknown[1], uint32(i))
		} else if n.state == refused {
			k.rejected[1][i], full[1] = true, true
		}
	}
	// A rejected event leaves its names in the dictionary.
	unknown[0] = used(unknown[0], b.Device, len(b.Devices))
	unknown[1] = used(unknown[1], b.Metric, len(b.Metrics))
	if len(unknown[0])+len(unknown[1]) > 0 && !now.Before(g.paused) && k.lookUp(ctx, g, b.Gateway, now) {
		full[0] = k.admit(g, 0, b, unknown[0], now) || full[0]
		full[1] = k.admit(g, 1, b, unknown[1], now) || full[1]
	}
	if !full[0] && !full[1] {
		return
	}
	c.rejectSome(func(i int) (fault, bool) {
		switch {
		case k.rejected[0][b.Device[i]]:
			return fault{reason: tooManyDevices, member: deviceMember}, true
		case k.rejected[1][b.Metric[i]]:
			return fault{reason: tooManyMetrics, member: metricMember}, true
		default:
			return fault{}, false
		}
	})
}

// used returns those of the indexes that an event has, in order.
func used(indexes, events []uint32, size int) []uint32 {
	if len(indexes) == 0 {
		return nil
	}
	seen := make([]bool, size)
	for _, i := range events {
		seen[i] = true
	}
	return slices.DeleteFunc(indexes, func(i uint32) bool { return !seen[i] })
}

// lookUp brings the view up to date. It returns false if that failed.
func (k *knownNames) lookUp(ctx context.Context, g *gatewayView, gateway telemetry.GatewayID, now time.Time) bool {
	ctx, cancel := context.WithTimeout(ctx, lookUpTimeout)
	defer cancel()
	crowded, err := k.names.Crowded(ctx, gateway)
	if err != nil {
		k.failed.Inc()
		g.paused = now.Add(lookUpPause)
		return false
	}
	refresh(k, g, 0, crowded.Devices, now)
	refresh(k, g, 1, crowded.Metrics, now)
	return true
}

// refresh notes the names that the store has, if they are nearly all that it takes, and
// counts.
func refresh[T ~string](k *knownNames, g *gatewayView, kind int, names []T, now time.Time) {
	viewEnd, at, crowded := g.begun.Add(viewLifetime).UnixNano(), now.UnixNano(), len(names) > 0
	g.count[kind] = 0
	for name, n := range g.names[kind] {
		switch {
		case n.state == pending && n.until <= at && !crowded:
			// There still is room: nothing was refused meanwhile.
			g.names[kind][name] = knownName{viewEnd, stored}
			g.count[kind]++
		case n.until <= at, n.state == stored && (crowded || g.crowded[kind]):
			delete(g.names[kind], name)
			k.size--
		case n.state != refused:
			g.count[kind]++
		}
	}
	g.crowded[kind] = crowded
	for _, name := range names {
		if g.names[kind][string(name)].state != pending {
			g.count[kind]++
		}
		k.add(g, kind, string(name), knownName{viewEnd, stored})
	}
}

// admit lets new names in as far as there is room. It returns whether it rejected any, and
// marks those in k.rejected.
func (k *knownNames) admit(g *gatewayView, kind int, b *telemetry.Batch, unknown []uint32, now time.Time) (full bool) {
	for _, i := range unknown {
		var name string
		if kind == 0 {
			name = string(b.Devices[i])
		} else {
			name = string(b.Metrics[i])
		}
		switch {
		case g.names[kind][name].until > now.UnixNano():
		case g.count[kind] < k.limit[kind]:
			g.count[kind]++
			k.add(g, kind, name, knownName{now.Add(pendingLifetime).UnixNano(), pending})
		default:
			k.add(g, kind, name, knownName{now.Add(lookUpPause).UnixNano(), refused})
			k.rejected[kind][i], full = true, true
		}
	}
	return full
}

func cleared(flags []bool, size int) []bool {
	flags = slices.Grow(flags[:0], size)[:size]
	clear(flags)
	return flags
}

func (k *knownNames) add(g *gatewayView, kind int, name string, n knownName) {
	if _, ok := g.names[kind][name]; !ok {
		k.size++
	}
	g.names[kind][name] = n
}
