// Package signal is the client of the signaling service for gateways and tools: it holds one session,
// through lost sockets and moves between tasks, and delivers what the service sends in order.
//
// A Client connects, says hello with a token, joins its sites, and from then on repairs what breaks:
// a socket that is lost or silent is replaced and the session resumed; where it cannot be resumed,
// the sites are joined again. Peer connections are none of its business and go on meanwhile.
package signal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/insighthub/insighthub/lib/rtc"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// Config configures a Client. URL, Token and Sites are required.
type Config struct {
	// URL of the service, ws:// or wss://, with its path.
	URL string
	// Token returns an access token that is valid for a while. It is called for each connection and
	// before a token expires; the token is never part of a URL, a log or an error.
	Token func(context.Context) (string, error)
	// Sites are the rooms to be in.
	Sites []telemetry.SiteID

	// MinBackoff and MaxBackoff bound the wait between attempts, 250 ms and 15 s by default. The wait is
	// drawn between zero and a bound that doubles ("full jitter"), so that the clients of a task that
	// died do not return at once.
	MinBackoff, MaxBackoff time.Duration

	Logger *slog.Logger // nil: none
	// Dial opens the connection below the WebSocket; nil: the operating system's network.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Rand returns a number in [0, 1); nil: math/rand/v2.
	Rand func() float64
}

// ErrClosed is the error of calls after Close.
var ErrClosed = errors.New("the signaling client is closed")

const (
	heartbeat = rtc.HeartbeatSeconds * time.Second
	// maxQueued bounds what waits for a connection, maxUnread what waits for the reader of Messages.
	maxQueued = 512
	maxUnread = 1024
)

// Client is a session with the service. Its methods are safe for concurrent use.
type Client struct {
	config Config
	log    *slog.Logger

	out    chan rtc.Message
	cancel context.CancelFunc
	done   chan struct{}

	mu      sync.Mutex
	queue   []queued
	waiting map[string]chan rtc.Message // by id of the request
	lastID  int
	self    rtc.PeerID
	closed  bool
	wake    chan struct{}
}

type queued struct {
	text []byte
	id   string // of a request
}

// New returns a running Client; Close ends it. The error wraps telemetry.ErrInvalid.
func New(c Config) (*Client, error) {
	u, err := url.Parse(c.URL)
	switch {
	case err != nil || u.Scheme != "ws" && u.Scheme != "wss" || u.Host == "":
		return nil, fmt.Errorf("%w: signaling URL: want ws:// or wss:// with a host", telemetry.ErrInvalid)
	case u.User != nil || u.RawQuery != "":
		return nil, fmt.Errorf("%w: signaling URL: want no user and no query: a token does not belong into a URL", telemetry.ErrInvalid)
	case c.Token == nil:
		return nil, fmt.Errorf("%w: signaling: no Token", telemetry.ErrInvalid)
	case len(c.Sites) == 0:
		return nil, fmt.Errorf("%w: signaling: no site to join", telemetry.ErrInvalid)
	}
	for _, site := range c.Sites {
		if err := telemetry.ValidName(site); err != nil {
			return nil, fmt.Errorf("signaling: site: %w", err)
		}
	}
	if c.MinBackoff <= 0 {
		c.MinBackoff = 250 * time.Millisecond
	}
	if c.MaxBackoff <= 0 {
		c.MaxBackoff = 15 * time.Second
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Rand == nil {
		c.Rand = rand.Float64
	}
	ctx, cancel := context.WithCancel(context.Background())
	client := &Client{
		config: c, log: c.Logger, out: make(chan rtc.Message), cancel: cancel, done: make(chan struct{}),
		waiting: make(map[string]chan rtc.Message), wake: make(chan struct{}, 1),
	}
	go client.run(ctx)
	return client, nil
}

// Messages returns what the service sends, in order: welcome after each hello, joined, peer, left,
// offer, answer, candidate, bye. It is closed by Close.
func (c *Client) Messages() <-chan rtc.Message { return c.out }

// Self returns the id of this peer, or "" before the first welcome.
func (c *Client) Self() rtc.PeerID {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.self
}

// Send queues a message and does not wait for the network. The error wraps telemetry.ErrUnavailable
// if too many wait for a connection, telemetry.ErrInvalid if the message is too large.
func (c *Client) Send(m rtc.Message) error {
	text, err := rtc.Encode(m)
	if err != nil {
		return fmt.Errorf("%w: %w", telemetry.ErrInvalid, err)
	}
	return c.enqueue(queued{text: text})
}

func (c *Client) enqueue(q queued) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return ErrClosed
	case len(c.queue) >= maxQueued:
		return fmt.Errorf("%w: %d signaling messages wait for a connection", telemetry.ErrUnavailable, len(c.queue))
	}
	c.queue = append(c.queue, q)
	c.signal()
	return nil
}

func (c *Client) signal() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// ICEServers fetches ICE servers with new credentials. The error wraps telemetry.ErrUnavailable if
// there is no connection, or the service cannot give any.
func (c *Client) ICEServers(ctx context.Context) ([]rtc.ICEServer, error) {
	id, response := c.register()
	defer c.unregister(id)
	text, err := rtc.Encode(rtc.ICE{ID: id})
	if err != nil {
		return nil, err
	}
	if err := c.enqueue(queued{text, id}); err != nil {
		return nil, err
	}
	select {
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: ICE servers: %w", telemetry.ErrUnavailable, ctx.Err())
	case <-c.done:
		return nil, ErrClosed
	case m := <-response:
		switch m := m.(type) {
		case rtc.ICEResponse:
			return m.Servers, nil
		case rtc.ErrorMessage:
			return nil, fmt.Errorf("%w: ICE servers: %s: %s", telemetry.ErrUnavailable, m.Code, m.Message)
		default:
			return nil, fmt.Errorf("%w: ICE servers: the connection was lost", telemetry.ErrUnavailable)
		}
	}
}

// register returns the id of a new request, and where its response comes.
func (c *Client) register() (string, <-chan rtc.Message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lastID++
	id := "r" + strconv.Itoa(c.lastID)
	response := make(chan rtc.Message, 1)
	c.waiting[id] = response
	return id, response
}

func (c *Client) unregister(id string) {
	c.mu.Lock()
	delete(c.waiting, id)
	c.mu.Unlock()
}

// respond hands a response to its request and reports whether there was one. Nil says that the
// connection was lost.
func (c *Client) respond(id string, m rtc.Message) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	response, ok := c.waiting[id]
	if ok {
		delete(c.waiting, id)
		response <- m
	}
	return ok
}

// Close ends the session and waits until everything has ended.
func (c *Client) Close() error {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.cancel()
	<-c.done
	return nil
}
