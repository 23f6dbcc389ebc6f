package flood

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// Stream describes a flood of requests at a constant rate.
type Stream struct {
	// Address is host:port of a server on this machine, which is called over HTTP/1.1.
	Address string
	// Rate is in requests/s.
	Rate     float64
	Duration time.Duration
	// Connections is the number of connections, each from a source address of its own
	// (127.1.0.1 and following), as of a botnet: the platform limits what one address may try.
	Connections int
	Endpoint    Endpoint
}

// Outcome counts what a flood sent and what came back.
type Outcome struct {
	Sent int64 `json:"sent"`
	// Statuses counts the responses by status.
	Statuses map[int]int64 `json:"statuses"`
	// Failed counts requests without a response.
	Failed int64 `json:"failed"`
}

const (
	tick      = 5 * time.Millisecond
	ioTimeout = 10 * time.Second
	// responseTimeout is a little longer than that of API Gateway's integrations.
	responseTimeout = 35 * time.Second
	maxLineBytes    = 16 << 10
)

// Send sends the flood and returns when the last response has come. The generator is as
// cheap as it can be, because it takes processor time from the platform: prepared bytes,
// written by one goroutine to connections that stay open.
func (s Stream) Send(ctx context.Context) (Outcome, error) {
	counts := &counts{statuses: make(map[int]int64)}
	lines := make([]*line, s.Connections)
	for i := range lines {
		lines[i] = &line{address: s.Address, source: net.IPv4(127, 1, byte(i/250), byte(i%250+1)), counts: counts}
		if err := lines[i].dial(ctx); err != nil {
			return Outcome{}, err
		}
	}
	begin := time.Now()
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	var request []byte
	sent := int64(0)
	for elapsed := time.Duration(0); elapsed < s.Duration && ctx.Err() == nil; elapsed = time.Since(begin) {
		for due := int64(s.Rate * elapsed.Seconds()); sent < due; sent++ {
			request = s.Endpoint.append(request[:0], uint64(sent))
			lines[sent%int64(len(lines))].write(ctx, request)
		}
		select {
		case <-ctx.Done():
		case <-ticker.C:
		}
	}
	for _, l := range lines {
		l.close()
	}
	out := counts.outcome()
	out.Sent, out.Failed = sent, sent
	for _, n := range out.Statuses {
		out.Failed -= n
	}
	return out, ctx.Err()
}

type counts struct {
	mu       sync.Mutex
	statuses map[int]int64
}

func (c *counts) add(status int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.statuses[status]++
}

func (c *counts) outcome() Outcome {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Outcome{Statuses: c.statuses}
}

// line is a connection that is made again when the server has closed it.
type line struct {
	address string
	source  net.IP
	counts  *counts

	conn    net.Conn
	closed  chan struct{} // when the reader has ended
	pending atomic.Int64  // requests without a response
}

func (l *line) dial(ctx context.Context) error {
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: l.source}, Timeout: ioTimeout}
	conn, err := dialer.DialContext(ctx, "tcp", l.address)
	if err != nil {
		return fmt.Errorf("flood: %w", err)
	}
	l.conn, l.closed = conn, make(chan struct{})
	l.pending.Store(0)
	go func(closed chan struct{}) {
		defer close(closed)
		defer conn.Close() //nolint:errcheck // nothing to lose
		r := bufio.NewReaderSize(conn, maxLineBytes)
		for {
			status, err := readResponse(r)
			if err != nil {
				return
			}
			l.counts.add(status)
			l.pending.Add(-1)
		}
	}(l.closed)
	return nil
}

// write sends a request. One that cannot be sent counts as failed.
func (l *line) write(ctx context.Context, request []byte) {
	select {
	case <-l.closed:
		if l.dial(ctx) != nil {
			return
		}
	default:
	}
	l.pending.Add(1)
	_ = l.conn.SetWriteDeadline(time.Now().Add(ioTimeout))
	if _, err := l.conn.Write(request); err != nil {
		_ = l.conn.Close()
	}
}

// close waits for the responses that have not come yet, and closes the connection: a
// server would cancel requests whose client is gone.
func (l *line) close() {
	giveUp := time.NewTimer(responseTimeout)
	defer giveUp.Stop()
	poll := time.NewTicker(tick)
	defer poll.Stop()
	for waiting := true; waiting && l.pending.Load() > 0; {
		select {
		case <-l.closed:
			return
		case <-giveUp.C:
			waiting = false
		case <-poll.C:
		}
	}
	_ = l.conn.Close()
	<-l.closed
}

var errNotHTTP = errors.New("not a response of HTTP/1.1 with a length")

// readResponse reads a response and drops its body.
func readResponse(r *bufio.Reader) (status int, err error) {
	first, err := r.ReadSlice('\n')
	if err != nil {
		return 0, err
	}
	if len(first) < len("HTTP/1.1 200") {
		return 0, errNotHTTP
	}
	if status, err = strconv.Atoi(string(first[9:12])); err != nil {
		return 0, errNotHTTP
	}
	length := 0
	for {
		header, err := r.ReadSlice('\n')
		if err != nil {
			return 0, err
		}
		header = bytes.TrimRight(header, "\r\n")
		if len(header) == 0 {
			break
		}
		name, value, _ := bytes.Cut(header, []byte(":"))
		switch {
		case bytes.EqualFold(name, []byte("Content-Length")):
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return 0, errNotHTTP
			}
		case bytes.EqualFold(name, []byte("Transfer-Encoding")):
			return 0, errNotHTTP
		}
	}
	_, err = r.Discard(length)
	return status, err
}
