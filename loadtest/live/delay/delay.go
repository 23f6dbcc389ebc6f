// Package delay is a TCP proxy that puts a distance between two programs on one machine:
// each byte arrives a fixed time after it was sent, in order. It does not limit the rate, as
// a buffer of fixed size between two relays would.
package delay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// chunkBytes is the most that is read at once.
const chunkBytes = 32 << 10

// Proxy forwards connections to a target. Close ends all.
type Proxy struct {
	target  string
	delay   time.Duration
	network net.Listener
	dialer  net.Dialer

	mu     sync.Mutex
	open   map[net.Conn]bool
	closed bool
	group  sync.WaitGroup
}

// Start listens on an address of this machine, such as 127.0.0.1:0, and delays each way by
// the given time.
func Start(ctx context.Context, listen, target string, each time.Duration) (*Proxy, error) {
	var lc net.ListenConfig
	network, err := lc.Listen(ctx, "tcp", listen)
	if err != nil {
		return nil, fmt.Errorf("delaying proxy to %s: %w", target, err)
	}
	p := &Proxy{target: target, delay: each, network: network, open: make(map[net.Conn]bool)}
	p.group.Go(func() { p.accept(context.WithoutCancel(ctx)) })
	return p, nil
}

// Addr returns the address on which the proxy listens.
func (p *Proxy) Addr() string { return p.network.Addr().String() }

// Close closes the listener and all connections, and waits for them.
func (p *Proxy) Close() error {
	p.mu.Lock()
	p.closed = true
	err := p.network.Close()
	for c := range p.open {
		_ = c.Close()
	}
	p.mu.Unlock()
	p.group.Wait()
	return err
}

func (p *Proxy) accept(ctx context.Context) {
	for {
		near, err := p.network.Accept()
		if err != nil {
			return // Close
		}
		p.group.Go(func() {
			defer near.Close() //nolint:errcheck // both ways have ended
			if !p.hold(near) {
				return
			}
			defer p.release(near)
			far, err := p.dialer.DialContext(ctx, "tcp", p.target)
			if err != nil {
				return // the program sees a closed connection, as it would without a proxy
			}
			defer far.Close() //nolint:errcheck // both ways have ended
			if !p.hold(far) {
				return
			}
			defer p.release(far)
			Both(near, far, p.delay)
		})
	}
}

// hold remembers a connection that Close must close; false if the proxy is closed.
func (p *Proxy) hold(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.open[c] = true
	}
	return !p.closed
}

func (p *Proxy) release(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.open, c)
}

// Both copies in both directions, each byte the given time after it was read, and returns
// when both have ended. The end of one direction is forwarded too, after the same time; an
// error ends both.
func Both(a, b net.Conn, each time.Duration) {
	var group sync.WaitGroup
	way := func(from, to net.Conn) func() {
		return func() {
			if err := forward(to, from, each); err != nil {
				_, _ = a.Close(), b.Close()
				return
			}
			if half, ok := to.(interface{ CloseWrite() error }); ok {
				_ = half.CloseWrite()
				return
			}
			_ = to.Close()
		}
	}
	group.Go(way(a, b))
	group.Go(way(b, a))
	group.Wait()
}

// chunk is what was read at once; its bytes are due at that time.
type chunk struct {
	data []byte
	due  time.Time
	err  error // after the data
}

// forward copies until the end of src or an error. What is on its way is not bounded: a
// bound would limit the rate to the bound divided by the delay.
func forward(dst io.Writer, src io.Reader, each time.Duration) error {
	way := newQueue()
	var group sync.WaitGroup
	group.Go(func() {
		for {
			data := make([]byte, chunkBytes)
			n, err := src.Read(data)
			way.put(chunk{data[:n], time.Now().Add(each), err})
			if err != nil {
				return
			}
		}
	})
	err := deliver(dst, way)
	if err != nil {
		if c, ok := src.(io.Closer); ok {
			_ = c.Close() // ends the read
		}
	}
	group.Wait()
	return err
}

func deliver(dst io.Writer, way *queue) error {
	for {
		c := way.take()
		time.Sleep(time.Until(c.due))
		if len(c.data) > 0 {
			if _, err := dst.Write(c.data); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(c.err, io.EOF):
			return nil
		case c.err != nil:
			return c.err
		}
	}
}

// queue is an unbounded queue of one writer and one reader.
type queue struct {
	mu    sync.Mutex
	some  *sync.Cond
	items []chunk
}

func newQueue() *queue {
	q := &queue{}
	q.some = sync.NewCond(&q.mu)
	return q
}

func (q *queue) put(c chunk) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.items = append(q.items, c)
	q.some.Signal()
}

func (q *queue) take() chunk {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.items) == 0 {
		q.some.Wait()
	}
	c := q.items[0]
	q.items[0] = chunk{}
	q.items = q.items[1:]
	return c
}
