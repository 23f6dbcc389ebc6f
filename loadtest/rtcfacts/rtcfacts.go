// Package rtcfacts measures what Chromium and pion do with data channels, where one would guess
// otherwise: sizes, numbers, ends and failures. docs/LIVE.md has the results.
package rtcfacts

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/insighthub/insighthub/loadtest/live/chromium"
)

//go:embed page.html
var page []byte

// Config configures Measure.
type Config struct {
	Chromium string // the browser's program
	Dir      string // for its profile and log
}

// timeout is that of the whole run, which takes about a minute.
const timeout = 4 * time.Minute

// Measure runs the page and returns its result as JSON.
func Measure(ctx context.Context, c Config) (json.RawMessage, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	s := &server{result: make(chan json.RawMessage, 1)}
	defer s.close()
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	web := &http.Server{Handler: s.routes(), ReadHeaderTimeout: 10 * time.Second}
	var wg sync.WaitGroup
	wg.Go(func() { web.Serve(listener) }) //nolint:errcheck // closed below
	defer wg.Wait()
	defer web.Close() //nolint:errcheck // nothing to lose
	browser, err := chromium.Start(ctx, chromium.Config{
		Binary: c.Chromium, Dir: c.Dir, URL: "http://" + listener.Addr().String() + "/",
		Flags: []string{"--disable-features=WebRtcHideLocalIpsWithMdns", "--allow-loopback-in-peer-connection"},
	})
	if err != nil {
		return nil, err
	}
	defer browser.Stop() //nolint:errcheck // the result is what counts
	select {
	case out := <-s.result:
		return out, nil
	case <-ctx.Done():
		return nil, errors.New("the page did not report in time; see chromium.log")
	}
}

// server is pion's side of one connection at a time.
type server struct {
	result chan json.RawMessage

	mu     sync.Mutex
	pc     *webrtc.PeerConnection
	socket *socket
	first  *webrtc.DataChannel
	last   int // bytes of the last message
	start  time.Time
	states map[string]any
}

// socket drops everything once it is silent.
type socket struct {
	net.PacketConn
	silent atomic.Bool
}

func (s *socket) ReadFrom(p []byte) (int, net.Addr, error) {
	for {
		n, addr, err := s.PacketConn.ReadFrom(p)
		if err != nil || !s.silent.Load() {
			return n, addr, err
		}
	}
}

func (s *socket) WriteTo(p []byte, addr net.Addr) (int, error) {
	if s.silent.Load() {
		return len(p), nil
	}
	return s.PacketConn.WriteTo(p, addr)
}

func (s *server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Write(page) //nolint:errcheck // the page reports or not
	})
	handle := func(path string, f func(*http.Request) (any, error)) {
		mux.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) {
			out, err := f(r)
			if err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			json.NewEncoder(w).Encode(out) //nolint:errcheck // the page reports or not
		})
	}
	handle("/offer", s.offer)
	handle("/channels", s.channels)
	handle("/send", s.send)
	handle("/last", func(*http.Request) (any, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		return map[string]int{"bytes": s.last}, nil
	})
	handle("/silent", func(*http.Request) (any, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.socket.silent.Store(true)
		s.start = time.Now()
		return struct{}{}, nil
	})
	handle("/states", func(*http.Request) (any, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.states, nil
	})
	handle("/close", func(*http.Request) (any, error) { return struct{}{}, s.pc.Close() })
	handle("/result", func(r *http.Request) (any, error) {
		raw, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
		s.result <- raw
		return struct{}{}, err
	})
	return mux
}

func (s *server) offer(r *http.Request) (any, error) {
	var offer webrtc.SessionDescription
	if err := json.NewDecoder(io.LimitReader(r.Body, 1<<20)).Decode(&offer); err != nil {
		return nil, err
	}
	s.close()
	conn, err := new(net.ListenConfig).ListenPacket(r.Context(), "udp4", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.socket, s.states, s.start = &socket{PacketConn: conn}, map[string]any{}, time.Now()
	var settings webrtc.SettingEngine
	settings.SetIncludeLoopbackCandidate(true)
	settings.SetICEUDPMux(webrtc.NewICEUDPMux(nil, s.socket))
	if s.pc, err = webrtc.NewAPI(webrtc.WithSettingEngine(settings)).NewPeerConnection(webrtc.Configuration{}); err != nil {
		return nil, err
	}
	s.pc.OnConnectionStateChange(func(state webrtc.PeerConnectionState) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.states["pion_"+state.String()] = true
		s.states["pion_"+state.String()+"_s"] = time.Since(s.start).Seconds()
	})
	s.pc.OnDataChannel(func(d *webrtc.DataChannel) {
		if d.Label() != "first" {
			return
		}
		s.mu.Lock()
		s.first = d
		s.mu.Unlock()
		d.OnMessage(func(m webrtc.DataChannelMessage) {
			s.mu.Lock()
			s.last = len(m.Data)
			s.mu.Unlock()
		})
	})
	if err := s.pc.SetRemoteDescription(offer); err != nil {
		return nil, err
	}
	answer, err := s.pc.CreateAnswer(nil)
	if err != nil {
		return nil, err
	}
	gathered := webrtc.GatheringCompletePromise(s.pc)
	if err := s.pc.SetLocalDescription(answer); err != nil {
		return nil, err
	}
	<-gathered
	return s.pc.LocalDescription(), nil
}

func (s *server) channels(r *http.Request) (any, error) {
	n, err := strconv.Atoi(r.FormValue("n"))
	if err != nil {
		return nil, err
	}
	for i := range n {
		if _, err := s.pc.CreateDataChannel("g"+strconv.Itoa(i), nil); err != nil {
			return nil, err
		}
	}
	return struct{}{}, nil
}

// send sends n bytes and returns the error in words.
func (s *server) send(r *http.Request) (any, error) {
	n, err := strconv.Atoi(r.FormValue("n"))
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	first := s.first
	s.mu.Unlock()
	out := map[string]string{"error": ""}
	if err := first.Send(make([]byte, n)); err != nil {
		out["error"] = err.Error()
	}
	return out, nil
}

// close ends the connection before.
func (s *server) close() {
	s.mu.Lock()
	pc, socket := s.pc, s.socket
	s.pc, s.socket = nil, nil
	s.mu.Unlock()
	if pc != nil {
		pc.Close()     //nolint:errcheck // nothing to lose
		socket.Close() //nolint:errcheck // nothing to lose
	}
}
