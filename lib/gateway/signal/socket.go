package signal

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"github.com/insighthub/insighthub/lib/rtc"
	"github.com/insighthub/insighthub/lib/telemetry"
)

const (
	dialTimeout  = 5 * time.Second
	writeTimeout = 5 * time.Second
	// silence is how long nothing at all may come: the service pings each heartbeat.
	silence = 2 * heartbeat
)

// socket is one WebSocket: a goroutine reads, the session's goroutine writes.
type socket struct {
	conn     *websocket.Conn
	incoming chan []byte // closed when the socket has failed; err says why
	err      error
	last     atomic.Int64 // when something came, in ns since start
	start    time.Time
	quit     chan struct{}
	done     chan struct{}
}

// dial opens a socket. The token is not part of it: it goes in the first message.
func (c *Client) dial(ctx context.Context) (*socket, error) {
	dialer := websocket.Dialer{
		NetDialContext: c.config.Dial, HandshakeTimeout: dialTimeout, Subprotocols: []string{rtc.Subprotocol},
		ReadBufferSize: 4 << 10, WriteBufferSize: 4 << 10, Proxy: http.ProxyFromEnvironment,
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	conn, response, err := dialer.DialContext(ctx, c.config.URL, nil)
	if err != nil {
		if response != nil {
			response.Body.Close() //nolint:errcheck // the error is that of the handshake
			return nil, fmt.Errorf("%w: signaling service: status %d: %w", telemetry.ErrUnavailable, response.StatusCode, err)
		}
		return nil, fmt.Errorf("%w: signaling service: %w", telemetry.ErrUnavailable, err)
	}
	response.Body.Close() //nolint:errcheck // the connection is the WebSocket's
	if conn.Subprotocol() != rtc.Subprotocol {
		conn.Close() //nolint:errcheck // nothing was sent
		return nil, fmt.Errorf("%w: the signaling service does not speak %s", telemetry.ErrUnavailable, rtc.Subprotocol)
	}
	s := &socket{
		conn: conn, incoming: make(chan []byte), start: time.Now(), quit: make(chan struct{}), done: make(chan struct{}),
	}
	conn.SetReadLimit(rtc.MaxMessageBytes + 64) // the service adds a seq
	s.alive()
	conn.SetPingHandler(func(payload string) error {
		s.alive()
		err := conn.WriteControl(websocket.PongMessage, []byte(payload), time.Now().Add(writeTimeout))
		if errors.Is(err, websocket.ErrCloseSent) {
			return nil
		}
		return err
	})
	go s.read()
	return s, nil
}

// alive extends the time until the socket counts as dead.
func (s *socket) alive() {
	now := time.Now()
	s.last.Store(int64(now.Sub(s.start)))
	s.conn.SetReadDeadline(now.Add(silence)) //nolint:errcheck // a closed connection fails at the next read
}

// heard returns when something last came.
func (s *socket) heard() time.Time { return s.start.Add(time.Duration(s.last.Load())) }

func (s *socket) read() {
	defer close(s.done)
	defer close(s.incoming)
	for {
		kind, raw, err := s.conn.ReadMessage()
		if err != nil {
			var timeout net.Error
			if errors.As(err, &timeout) && timeout.Timeout() {
				err = fmt.Errorf("%w: nothing came for %v", telemetry.ErrUnavailable, silence)
			}
			s.err = err
			return
		}
		s.alive()
		if kind != websocket.TextMessage {
			continue
		}
		select {
		case s.incoming <- raw:
		case <-s.quit:
			s.err = net.ErrClosed
			return
		}
	}
}

// write sends a text, with a deadline.
func (s *socket) write(text []byte) error {
	if err := s.conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	return s.conn.WriteMessage(websocket.TextMessage, text)
}

// close says goodbye: the service then knows that the peer left, and does not wait for a resume.
func (s *socket) close(code int) {
	text := websocket.FormatCloseMessage(code, "")
	s.conn.WriteControl(websocket.CloseMessage, text, time.Now().Add(time.Second)) //nolint:errcheck // the connection ends anyway
}

// shut closes the connection and waits for the reader.
func (s *socket) shut() {
	close(s.quit)
	s.conn.Close() //nolint:errcheck // nothing more to lose
	<-s.done
}
