// Package relay is what the live path is compared with: a plain WebSocket relay, as a cloud
// would run it. The gateway sends each frame to the relay, which sends it to each viewer;
// viewers' messages go to the gateway. It has the frames of lib/rtc and no more.
package relay

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/insighthub/insighthub/lib/rtc"
)

// Paths of the relay.
const (
	PublishPath = "/publish"
	ViewPath    = "/view"
)

const (
	// backlog bounds the frames that wait for a viewer, which is disconnected beyond.
	backlog      = 4096
	writeTimeout = 10 * time.Second
)

// Server is a running relay.
type Server struct {
	network  net.Listener
	server   *http.Server
	upgrader websocket.Upgrader
	group    sync.WaitGroup

	mu      sync.Mutex
	gateway *link
	viewers map[*link]bool
}

// Start listens on an address, such as 127.0.0.1:0.
func Start(ctx context.Context, listen string) (*Server, error) {
	var lc net.ListenConfig
	network, err := lc.Listen(ctx, "tcp", listen)
	if err != nil {
		return nil, fmt.Errorf("relay: %w", err)
	}
	s := &Server{
		network: network, viewers: make(map[*link]bool),
		// The page is of another origin; the bench is alone on its machine.
		upgrader: websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }},
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+PublishPath, s.publish)
	mux.HandleFunc("GET "+ViewPath, s.view)
	s.server = &http.Server{Handler: mux, ReadHeaderTimeout: writeTimeout}
	s.group.Go(func() { _ = s.server.Serve(network) })
	return s, nil
}

// Addr returns the address on which the relay listens.
func (s *Server) Addr() string { return s.network.Addr().String() }

// Close disconnects everybody and waits for them.
func (s *Server) Close() error {
	err := s.server.Close()
	s.mu.Lock()
	for v := range s.viewers {
		v.close()
	}
	if s.gateway != nil {
		s.gateway.close()
	}
	s.mu.Unlock()
	s.group.Wait()
	return err
}

func (s *Server) publish(w http.ResponseWriter, r *http.Request) {
	l, ok := s.accept(w, r)
	if !ok {
		return
	}
	s.mu.Lock()
	if s.gateway != nil {
		s.gateway.close() // the newer one wins
	}
	s.gateway = l
	s.mu.Unlock()
	l.read(func(frame []byte) {
		s.mu.Lock()
		defer s.mu.Unlock()
		for v := range s.viewers {
			v.send(frame)
		}
	})
	s.mu.Lock()
	if s.gateway == l {
		s.gateway = nil
	}
	s.mu.Unlock()
}

func (s *Server) view(w http.ResponseWriter, r *http.Request) {
	l, ok := s.accept(w, r)
	if !ok {
		return
	}
	s.mu.Lock()
	s.viewers[l] = true
	s.mu.Unlock()
	l.read(func(frame []byte) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.gateway != nil {
			s.gateway.send(frame)
		}
	})
	s.mu.Lock()
	delete(s.viewers, l)
	s.mu.Unlock()
}

func (s *Server) accept(w http.ResponseWriter, r *http.Request) (*link, bool) {
	conn, err := s.upgrader.Upgrade(w, r, nil)
	if err != nil {
		return nil, false // it has responded
	}
	conn.SetReadLimit(rtc.MaxFrameBytes)
	l := &link{conn: conn, queue: make(chan []byte, backlog), done: make(chan struct{})}
	s.group.Go(l.write)
	return l, true
}

// link is a WebSocket with a goroutine that writes.
type link struct {
	conn  *websocket.Conn
	queue chan []byte
	done  chan struct{}
	once  sync.Once
}

// read reads until the link ends, and closes it.
func (l *link) read(frame func([]byte)) {
	defer l.close()
	for {
		kind, data, err := l.conn.ReadMessage()
		if err != nil {
			return
		}
		if kind == websocket.BinaryMessage {
			frame(data)
		}
	}
}

// send hands a frame to the writer; a link that does not keep up ends.
func (l *link) send(frame []byte) {
	select {
	case l.queue <- frame:
	default:
		l.close()
	}
}

func (l *link) write() {
	for {
		select {
		case frame := <-l.queue:
			if err := l.put(frame); err != nil {
				l.close()
				return
			}
		case <-l.done:
			return
		}
	}
}

func (l *link) put(frame []byte) error {
	return errors.Join(l.conn.SetWriteDeadline(time.Now().Add(writeTimeout)), l.conn.WriteMessage(websocket.BinaryMessage, frame))
}

func (l *link) close() {
	l.once.Do(func() {
		close(l.done)
		_ = l.conn.Close()
	})
}
