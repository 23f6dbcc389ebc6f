package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/insighthub/insighthub/lib/gateway/video"
	"github.com/insighthub/insighthub/lib/rtc"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// Signaling connects a Publisher with the signaling service; lib/gateway/signal implements it.
type Signaling interface {
	// Messages returns what the service sends, in order: welcome after each connect, joined, peer,
	// left, offer, answer, candidate, bye. It is closed when the client ends for good.
	Messages() <-chan rtc.Message
	// Send sends a message to a peer. It does not wait for the network; while there is no connection
	// messages wait in a bounded queue. An error is final for the message.
	Send(rtc.Message) error
	// ICEServers fetches ICE servers with new credentials.
	ICEServers(context.Context) ([]rtc.ICEServer, error)
}

// Config configures a Publisher. Gateway and Signaling are required.
type Config struct {
	Gateway   telemetry.GatewayID
	Signaling Signaling
	Network   Network
	// Cameras are what viewers may watch; nil: none. They are the caller's, who closes them after the
	// Publisher.
	Cameras *video.Cameras

	// MaxViewers bounds the peer connections, 32 by default: at most 4 of one peer, and of one
	// account half of all.
	MaxViewers int
	// MaxAge is how long a reading waits for a viewer's channel at most, unless it is the newest of its
	// series; 200 ms by default.
	MaxAge time.Duration
	// History and HistoryBytes bound what is remembered for viewers: 2 minutes and 64 MiB by default.
	History      time.Duration
	HistoryBytes int
	// Heartbeat is the interval of heartbeats, 500 ms by default.
	Heartbeat time.Duration

	Logger     *slog.Logger          // nil: none
	Registerer prometheus.Registerer // nil: no metrics
	Clock      func() time.Time      // nil: time.Now
}

// Publisher publishes one gateway. Its methods are safe for concurrent use.
type Publisher struct {
	gateway       telemetry.GatewayID
	signaling     Signaling
	network       Network
	cameras       *video.Cameras
	maxViewers    int
	maxAge        time.Duration
	historyLength time.Duration
	heartbeat     time.Duration
	log           *slog.Logger
	clock         func() time.Time
	metrics       *metrics

	history history

	mu         sync.Mutex
	catalog    *catalog
	pumps      map[*viewer]*pump
	selections map[string]*selection

	cancel context.CancelCauseFunc
	done   chan struct{}
}

// New returns a running Publisher; Close ends it. The error wraps telemetry.ErrInvalid.
func New(c Config) (*Publisher, error) {
	if err := telemetry.ValidName(c.Gateway); err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	if c.Signaling == nil {
		return nil, fmt.Errorf("%w: no Signaling", telemetry.ErrInvalid)
	}
	if c.MaxViewers < 0 || c.MaxAge < 0 || c.History < 0 || c.HistoryBytes < 0 || c.Heartbeat < 0 {
		return nil, fmt.Errorf("%w: a limit of the publisher is negative", telemetry.ErrInvalid)
	}
	p := &Publisher{
		gateway: c.Gateway, signaling: c.Signaling, network: c.Network, cameras: c.Cameras,
		maxViewers: orDefault(c.MaxViewers, 32), maxAge: orDefault(c.MaxAge, 200*time.Millisecond),
		historyLength: orDefault(c.History, 2*time.Minute), heartbeat: orDefault(c.Heartbeat, 500*time.Millisecond),
		log: c.Logger, clock: c.Clock, catalog: newCatalog(),
		pumps: make(map[*viewer]*pump), selections: make(map[string]*selection), done: make(chan struct{}),
	}
	p.history.length, p.history.maxBytes = telemetry.Micros(p.historyLength.Microseconds()), orDefault(c.HistoryBytes, 64<<20)
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	p.log = p.log.With("gateway", string(c.Gateway))
	if p.clock == nil {
		p.clock = time.Now
	}
	var err error
	if p.metrics, err = newMetrics(p, c.Registerer); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	p.cancel = cancel
	go p.run(ctx)
	return p, nil
}

func orDefault[V comparable](v, fallback V) V {
	var zero V
	if v == zero {
		return fallback
	}
	return v
}

// Publish sends the events of b to all viewers that have subscribed to their devices, and remembers
// them as history. read holds for each event when the program read the value, by the clock of this
// machine; it is what latencies are counted from. The times of a series' events must grow, since
// viewers skip late ones.
//
// Publish never waits for a viewer. b and read may be reused when it has returned. The error wraps
// telemetry.ErrInvalid, and nothing of b was published then.
func (p *Publisher) Publish(b *telemetry.Batch, read []telemetry.Micros) error {
	now := telemetry.MicrosOf(p.clock())
	p.mu.Lock()
	defer p.mu.Unlock()
	block, err := p.catalog.add(b, read)
	if err != nil {
		p.metrics.rejected.Inc()
		return err
	}
	p.history.push(block, now)
	for _, pump := range p.pumps {
		pump.push(block, len(p.pumps) <= maxAtOnce)
	}
	p.metrics.published.Add(float64(block.len()))
	return nil
}

// maxAtOnce is the number of viewers up to which Publish sends by itself; with more their goroutines
// share the processors.
const maxAtOnce = 4

// Close closes all connections and waits until everything has ended. The Signaling is the caller's.
func (p *Publisher) Close() error {
	p.cancel(errStopped)
	<-p.done
	p.metrics.unregister()
	return nil
}

// Stats returns the counters of the present viewers, by the name that the service gives them and
// their connection.
func (p *Publisher) Stats() map[string]Stats {
	p.mu.Lock()
	viewers := slices.Collect(maps.Keys(p.pumps))
	p.mu.Unlock()
	out := make(map[string]Stats, len(viewers))
	for _, v := range viewers {
		out[string(v.id.peer)+"/"+string(v.id.connection)] = v.stats()
	}
	return out
}

func (p *Publisher) addPump(v *viewer) {
	p.mu.Lock()
	p.pumps[v] = v.pump
	p.mu.Unlock()
}

func (p *Publisher) removePump(v *viewer) {
	p.mu.Lock()
	delete(p.pumps, v)
	p.mu.Unlock()
	if v.pump != nil {
		p.metrics.ended(v.stats())
	}
}

func (p *Publisher) deviceCount() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.catalog.devices)
}

func (p *Publisher) deviceNames() []telemetry.DeviceName {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]telemetry.DeviceName{}, p.catalog.devices...)
}

// maxSelections bounds the shared selections; above it equal subscriptions are encoded one by one.
const maxSelections = 1024

// selection returns the selection of these devices, shared with viewers that want the same. Nil is all.
func (p *Publisher) selection(devices []telemetry.DeviceName) *selection {
	if devices == nil {
		return nil
	}
	names := slices.Clone(devices)
	slices.Sort(names)
	names = slices.Compact(names)
	texts := make([]string, len(names))
	s := &selection{name: make(map[telemetry.DeviceName]bool, len(names))}
	for i, n := range names {
		texts[i] = string(n)
		s.name[n] = true
	}
	s.key = strings.Join(texts, "\x00") // names have no control characters
	p.mu.Lock()
	defer p.mu.Unlock()
	if known := p.selections[s.key]; known != nil {
		return known
	}
	if len(p.selections) == maxSelections {
		clear(p.selections)
	}
	p.selections[s.key] = s
	return s
}

// iceServers returns ICE servers with new credentials. Without them a connection is tried with what
// the network gives.
func (p *Publisher) iceServers(ctx context.Context) []rtc.ICEServer {
	ctx, cancel := context.WithTimeout(ctx, iceTimeout)
	defer cancel()
	servers, err := p.signaling.ICEServers(ctx)
	if err != nil {
		p.log.Warn("fetch ICE servers", "error", err)
	}
	return servers
}
