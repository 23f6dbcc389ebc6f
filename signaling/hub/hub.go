package hub

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/insighthub/insighthub/lib/denylist"
	"github.com/insighthub/insighthub/lib/rtc"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/token"
)

// Verifier checks access tokens; *token.Verifier does. An error that does not wrap
// telemetry.ErrInvalid means that the token could not be checked.
type Verifier interface {
	Verify(ctx context.Context, text string) (token.Claims, error)
}

// Config configures a Hub. Limits and times have defaults; the rest is required unless it
// says otherwise.
type Config struct {
	Verifier Verifier
	// Denials are none by default.
	Denials denylist.Denials
	// NewRelay makes the relay, which reports to the hub.
	NewRelay func(Events) (Relay, error)
	// TicketKey signs tickets: the same on all tasks, at least 16 bytes.
	TicketKey []byte
	ICE       ICE
	// Origins are those from which pages may connect, as scheme://host[:port]; of loopback
	// hosts the port may be *. A client without an Origin is not a page.
	Origins []string
	// TrustForwarded takes the client's address from the last element of X-Forwarded-For,
	// which a load balancer appends.
	TrustForwarded bool

	Limits     Limits
	Times      Times
	Log        *slog.Logger // tokens, tickets and credentials are never logged
	Registerer prometheus.Registerer
	Now        func() time.Time
	// Random is crypto/rand.Reader; it is used concurrently.
	Random io.Reader
}

// Limits of what clients take. A zero means the default.
type Limits struct {
	// Sessions limits those of this task; 25,000.
	Sessions int
	// Pending limits the sockets of one address that have not said hello; 256.
	Pending int
	// PerSubject limits the sessions of one account or gateway; 32.
	PerSubject int
	// Rooms limits those that a session may join; 16.
	Rooms int
	// Rate is how many messages a second a person's session may send in the long run; 50. A
	// gateway, which has many viewers, may send 10 times as many; all sessions of one subject
	// together 4 times as many as one.
	Rate int
	// Burst is how many messages may come at once, in seconds of Rate; 4.
	Burst int
	// Queue limits the messages, and QueueBytes the bytes, that wait for a socket; 512 and
	// 1 MiB.
	Queue, QueueBytes int
}

// Times of the protocol. A zero means the default.
type Times struct {
	// Hello is how long a socket may be without hello; rtc.HelloSeconds.
	Hello time.Duration
	// Ping is how often the service sends a WebSocket ping; rtc.HeartbeatSeconds.
	Ping time.Duration
	// Dead is how long a socket may be without any frame of the client; 2 × rtc.HeartbeatSeconds.
	Dead time.Duration
	// Grace is how long a lost session may be resumed; rtc.GraceSeconds.
	Grace time.Duration
	// Write is the deadline of one write; 5 s.
	Write time.Duration
	// Linger is how long the service waits for the client's part of a close; 2 s.
	Linger time.Duration
	// Sweep is how often a session is looked at; 1 s.
	Sweep time.Duration
	// Denials is how often sessions are compared with the deny list; 2 s.
	Denials time.Duration
}

// Hub has the sessions of one task. It is an http.Handler for the path of the protocol and
// safe for concurrent use.
type Hub struct {
	config  Config
	log     *slog.Logger
	metrics *metrics
	relay   Relay
	tickets ticketKey
	upgrade websocket.Upgrader
	buffers sync.Pool // *[]byte of messages
	// handle handles a message. The conformance tests replace it by an echo, so that all
	// around it is what the service has.
	handle func(s *session, kind int, raw []byte, now time.Time) *rtc.Error

	// ctx ends with Close; what runs for sessions uses it.
	ctx      context.Context //nolint:containedctx // the lifetime of the hub's goroutines
	cancel   context.CancelFunc
	draining atomic.Bool
	wg       sync.WaitGroup
	// verifying bounds the tokens that are checked at once, so that a storm of hellos leaves
	// processor time for relaying.
	verifying chan struct{}

	admission admission

	// open counts the sockets.
	open atomic.Int64

	mu     sync.RWMutex
	closed bool
	// sockets has all sessions with a socket, in slots that are looked at one after another.
	sockets  [slots]map[*session]struct{}
	lastSlot int
	sessions map[rtc.PeerID]*session
	// parked are those that have lost their socket.
	parked map[*session]struct{}
	// rooms has the sessions of this task that have joined.
	rooms map[telemetry.SiteID]map[rtc.PeerID]*session
}

var _ Events = (*Hub)(nil)

// New returns a running Hub. The error wraps telemetry.ErrInvalid for a bad configuration.
func New(config Config) (*Hub, error) {
	if len(config.TicketKey) < MinTicketKey {
		return nil, fmt.Errorf("%w: the key of tickets has %d bytes, want at least %d",
			telemetry.ErrInvalid, len(config.TicketKey), MinTicketKey)
	}
	if err := CheckOrigins(config.Origins); err != nil {
		return nil, err
	}
	config.setDefaults()
	m, err := newMetrics(config.Registerer)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	const verifyAtOnce = 4
	h := &Hub{
		config: config, log: config.Log, metrics: m, tickets: ticketKey{config.TicketKey, config.Now},
		ctx: ctx, cancel: cancel, verifying: make(chan struct{}, verifyAtOnce),
		admission: newAdmission(config.Limits),
		sessions:  make(map[rtc.PeerID]*session), parked: make(map[*session]struct{}),
		rooms: make(map[telemetry.SiteID]map[rtc.PeerID]*session), handle: (*session).handle,
	}
	for i := range h.sockets {
		h.sockets[i] = make(map[*session]struct{})
	}
	h.buffers.New = func() any { b := make([]byte, 0, smallMessage); return &b }
	h.upgrade = websocket.Upgrader{
		// Small: 20,000 idle sockets each have a read buffer; write buffers are shared.
		ReadBufferSize: readBuffer, WriteBufferSize: writeBuffer, WriteBufferPool: new(sync.Pool),
		Subprotocols: []string{rtc.Subprotocol},
	}
	h.upgrade.CheckOrigin = h.originAllowed
	if h.relay, err = config.NewRelay(h); err != nil {
		cancel()
		return nil, fmt.Errorf("relay: %w", err)
	}
	h.wg.Go(h.sweep)
	h.wg.Go(h.watchDenials)
	return h, nil
}

const (
	slots        = 256
	readBuffer   = 256
	writeBuffer  = 1024
	smallMessage = 2 << 10
	// largestBuffer is the capacity of those that are used again.
	largestBuffer = 16 << 10
)

func (c *Config) setDefaults() {
	if c.Denials == nil {
		c.Denials = denylist.Nothing{}
	}
	setDefault(&c.Limits.Sessions, 25_000)
	setDefault(&c.Limits.Pending, 256)
	setDefault(&c.Limits.PerSubject, 32)
	setDefault(&c.Limits.Rooms, 16)
	setDefault(&c.Limits.Rate, 50)
	setDefault(&c.Limits.Burst, 4)
	setDefault(&c.Limits.Queue, 512)
	setDefault(&c.Limits.QueueBytes, 1<<20)
	setDefault(&c.Times.Hello, rtc.HelloSeconds*time.Second)
	setDefault(&c.Times.Ping, rtc.HeartbeatSeconds*time.Second)
	setDefault(&c.Times.Dead, 2*rtc.HeartbeatSeconds*time.Second)
	setDefault(&c.Times.Grace, rtc.GraceSeconds*time.Second)
	setDefault(&c.Times.Write, 5*time.Second)
	setDefault(&c.Times.Linger, 2*time.Second)
	setDefault(&c.Times.Sweep, time.Second)
	setDefault(&c.Times.Denials, 2*time.Second)
	setDefault(&c.ICE.Lifetime, defaultICELifetime)
}

func setDefault[T ~int | ~int64](value *T, standard T) {
	if *value == 0 {
		*value = standard
	}
}

// Ready returns why the task should get no new clients, or nil.
func (h *Hub) Ready() error {
	if h.draining.Load() {
		return errors.New("the service is about to stop")
	}
	return nil
}

// Close ends all sessions with going_away, and waits for their goroutines and the relay's.
func (h *Hub) Close() error {
	h.draining.Store(true)
	h.mu.Lock()
	h.closed = true
	for _, slot := range h.sockets {
		for s := range slot {
			s.out.end(rtc.Errorf(rtc.GoingAway, "the service stops"))
		}
	}
	h.mu.Unlock()
	h.cancel()
	h.wg.Wait()
	return h.relay.Close()
}

// Drain asks the clients to move to another task and waits until they have, or ctx ends. The
// delays are spread over a time that grows with the number of sessions, so that the other
// tasks get no more than movesPerSecond.
func (h *Hub) Drain(ctx context.Context) {
	const movesPerSecond, longest = 400, 30 * time.Second
	h.draining.Store(true)
	h.mu.RLock()
	spread := min(time.Duration(h.open.Load())*time.Second/movesPerSecond+time.Second, longest)
	if deadline, ok := ctx.Deadline(); ok {
		spread = min(spread, deadline.Sub(h.config.Now())/2)
	}
	moved := 0
	for _, slot := range h.sockets {
		for s := range slot {
			if s.greeted.Load() {
				s.out.reply(rtc.Move{DelayMS: int64(h.random(uint64(max(spread.Milliseconds(), 1)))), Reconnect: true}, true)
				moved++
			}
		}
	}
	h.mu.RUnlock()
	h.metrics.moved.Add(float64(moved))
	h.log.Info("draining", "sessions", moved, "spread_ms", spread.Milliseconds())
	every := time.NewTicker(h.config.Times.Sweep / 10)
	defer every.Stop()
	for h.open.Load() > 0 {
		select {
		case <-every.C:
		case <-ctx.Done():
			h.log.Warn("clients did not move in time", "sessions", h.open.Load())
			return
		}
	}
}
