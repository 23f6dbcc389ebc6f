package hub_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/insighthub/insighthub/lib/rtc"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/token/tokentest"
	"github.com/insighthub/insighthub/signaling/hub"
	"github.com/insighthub/insighthub/signaling/relay"
)

// pipes is a listener of connections in memory.
type pipes struct {
	accept chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.accept:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.closed) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

func (p *pipes) dial(context.Context, string, string) (net.Conn, error) {
	client, server := net.Pipe()
	p.accept <- server
	return client, nil
}

// Twelve clients come and go for 72 hours of virtual time: they leave, lose their socket and
// resume, fall silent, or let their token expire. Afterwards nothing is left of them.
func TestReconnectStorm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const length, clients = 72 * time.Hour, 12
		registry := prometheus.NewRegistry()
		keys := new(tokentest.Keys)
		h, err := hub.New(hub.Config{
			Verifier: tokentest.Verifier(t, keys, time.Now),
			NewRelay: func(e hub.Events) (hub.Relay, error) {
				return relay.New(relay.Config{Events: e, Task: "only", Registerer: registry})
			},
			TicketKey: []byte("0123456789abcdef"), ICE: hub.ICE{STUN: []string{"stun:s.example"}},
			// Seldom enough that three days take seconds.
			Times: hub.Times{
				Ping: time.Minute, Dead: 2 * time.Minute, Grace: 90 * time.Second, Sweep: 32 * time.Second, Denials: 10 * time.Minute,
			},
			Log: slog.New(slog.DiscardHandler), Registerer: registry, Now: time.Now, Random: rand.Reader,
		})
		if err != nil {
			t.Fatal(err)
		}
		listener := &pipes{accept: make(chan net.Conn), closed: make(chan struct{})}
		server := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}
		var serving sync.WaitGroup
		serving.Go(func() { _ = server.Serve(listener) })
		synctest.Wait()
		before := goroutines()

		s := &service{t: t, keys: keys}
		begin := time.Now()
		var group sync.WaitGroup
		var mu sync.Mutex
		ends := map[string]int{}
		resumed := 0
		for i := range clients {
			group.Go(func() {
				random := mathrand.New(mathrand.NewPCG(uint64(i), 1))
				var resume *rtc.Resume
				for time.Since(begin) < length {
					end := []string{"leaves", "is cut off", "falls silent", "lets its token expire"}[random.IntN(4)]
					lifetime := 30 * time.Minute
					if end == "lets its token expire" {
						lifetime = 5 * time.Minute
					}
					text := s.mint(person(fmt.Sprintf("person-%d", i), "plant-1", "plant-2"), lifetime)
					ticket, again := storm(t, listener, text, resume, telemetry.SiteID(fmt.Sprintf("plant-%d", 1+i%2)), end,
						time.Minute+time.Duration(random.IntN(600))*time.Second)
					mu.Lock()
					ends[end]++
					if again {
						resumed++
					}
					mu.Unlock()
					if resume = nil; end != "leaves" {
						resume = &rtc.Resume{Ticket: ticket}
					}
					time.Sleep(time.Duration(random.IntN(150)) * time.Second)
				}
			})
		}
		group.Wait()
		time.Sleep(10 * time.Minute) // the grace, and dead peers
		synctest.Wait()
		if after := goroutines(); after > before {
			t.Errorf("%d goroutines are left of %d before", after, before)
		}
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		checked := 0
		for _, f := range families {
			switch f.GetName() {
			case "insighthub_signaling_sockets", "insighthub_signaling_sessions", "insighthub_signaling_lost_sessions",
				"insighthub_signaling_relay_rooms", "insighthub_signaling_relay_peers":
				checked++
				if got := f.GetMetric()[0].GetGauge().GetValue(); got != 0 {
					t.Errorf("%s is %v after all have gone", f.GetName(), got)
				}
			}
		}
		if checked < 4 {
			t.Errorf("got %d of the gauges, want at least 4", checked)
		}
		for _, end := range []string{"leaves", "is cut off", "falls silent", "lets its token expire"} {
			if ends[end] < 100 {
				t.Errorf("%d clients ended as %q, want hundreds", ends[end], end)
			}
		}
		if resumed == 0 {
			t.Error("nobody resumed a session")
		}
		t.Logf("%v of virtual time: %v, %d resumed", time.Since(begin), ends, resumed)
		_ = server.Close()
		if err := h.Close(); err != nil {
			t.Error(err)
		}
		serving.Wait()
	})
}

// storm is one connection: it joins, stays, and ends in the way that end says.
func storm(
	t *testing.T, l *pipes, text string, resume *rtc.Resume, site telemetry.SiteID, end string, stay time.Duration,
) (ticket string, resumed bool) {
	t.Helper()
	dialer := websocket.Dialer{Subprotocols: []string{rtc.Subprotocol}, NetDialContext: l.dial}
	conn, _, err := dialer.DialContext(t.Context(), "ws://signaling.test"+rtc.Path, nil)
	if err != nil {
		t.Error(err)
		return "", false
	}
	defer conn.Close()
	send := func(m rtc.Message) {
		raw, err := rtc.Encode(m)
		if err != nil {
			t.Error(err)
		}
		_ = conn.WriteMessage(websocket.TextMessage, raw)
	}
	welcomed := make(chan rtc.Welcome, 1)
	ended := make(chan struct{})
	silent := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			_, raw, err := conn.ReadMessage()
			if err != nil {
				return
			}
			if m, err := rtc.DecodeServer(raw); err == nil {
				if w, ok := m.(rtc.Welcome); ok {
					welcomed <- w
				}
			}
			select {
			case <-silent:
				return
			default:
			}
		}
	}()
	send(rtc.Hello{Token: text, Resume: resume})
	select {
	case w := <-welcomed:
		ticket, resumed = w.Ticket, w.Resumed
	case <-ended:
		t.Error("the connection ended before welcome")
		return "", false
	}
	send(rtc.Join{Site: site})
	switch end {
	case "lets its token expire":
		<-ended
	case "falls silent":
		close(silent)
		time.Sleep(stay + 5*time.Minute)
	case "leaves":
		time.Sleep(stay)
		normal := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
		_ = conn.WriteControl(websocket.CloseMessage, normal, time.Now().Add(time.Second))
		<-ended
	default:
		time.Sleep(stay)
	}
	_ = conn.Close()
	<-ended
	return ticket, resumed
}

// goroutines returns how many there are in bubbles of synctest: those that earlier tests left
// behind come and go.
func goroutines() int {
	stacks := make([]byte, 64<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	n := 0
	for line := range bytes.Lines(stacks) {
		if bytes.HasPrefix(line, []byte("goroutine ")) && bytes.Contains(line, []byte("synctest bubble")) {
			n++
		}
	}
	return n
}
