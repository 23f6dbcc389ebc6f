package publish

import (
	"context"
	"log/slog"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/insighthub/insighthub/lib/eventually"
	"github.com/insighthub/insighthub/lib/gateway"
	"github.com/insighthub/insighthub/lib/gateway/gatewaytest"
	"github.com/insighthub/insighthub/lib/gateway/signal"
	"github.com/insighthub/insighthub/lib/rtc"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/token"
	"github.com/insighthub/insighthub/loadtest/fleet"
	"github.com/insighthub/insighthub/loadtest/localsignaling"
)

const site = "plant-1"

// service builds and starts the real signaling service.
func service(t *testing.T) *localsignaling.Server {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "signaling")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "../../signaling")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build signaling: %v\n%s", err, out)
	}
	s, err := localsignaling.Start(t.Context(), localsignaling.Config{Binary: binary, Logs: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Stop() })
	return s
}

// bridge connects a viewer's room with the service: what the viewer says to its gateway goes to the
// first gateway of the site.
type bridge struct {
	*gatewaytest.Room
	client   *signal.Client
	gateways chan rtc.PeerID
	welcomes chan rtc.Welcome
}

func newBridge(t *testing.T, s *localsignaling.Server) *bridge {
	t.Helper()
	client, err := signal.New(signal.Config{
		URL: s.URL(), Sites: []telemetry.SiteID{site}, Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
		Token: func(ctx context.Context) (string, error) {
			return s.Token(ctx, token.Identity{
				Subject: "person", Grants: map[telemetry.SiteID]token.Role{site: token.Viewer},
			}, 10*time.Minute)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	b := &bridge{gatewaytest.NewRoom(), client, make(chan rtc.PeerID, 100), make(chan rtc.Welcome, 100)}
	go b.fromService()
	t.Cleanup(func() { client.Close() })
	return b
}

func (b *bridge) fromService() {
	for m := range b.client.Messages() {
		switch m := m.(type) {
		case rtc.Welcome:
			b.welcomes <- m
		case rtc.Joined:
			for _, p := range m.Peers {
				if p.Kind == rtc.Gateway {
					b.gateways <- p.Peer
				}
			}
		case rtc.Presence:
			if m.Kind == rtc.Gateway && m.State == rtc.StateJoined {
				b.gateways <- m.Peer
			}
		case rtc.Offer:
			b.Send(rtc.Offer{To: "viewer", Connection: m.Connection, SDP: m.SDP})
		case rtc.Answer:
			b.Send(rtc.Answer{To: "viewer", Connection: m.Connection, SDP: m.SDP})
		case rtc.Candidate:
			m.To = "viewer"
			b.Send(m)
		}
	}
}

// toGateway relays what the viewer says.
func (b *bridge) toGateway(to rtc.PeerID) {
	for m := range b.Messages() {
		switch m := m.(type) {
		case rtc.Offer:
			b.client.Send(rtc.Offer{To: to, Connection: m.Connection, SDP: m.SDP})
		case rtc.Answer:
			b.client.Send(rtc.Answer{To: to, Connection: m.Connection, SDP: m.SDP})
		case rtc.Candidate:
			m.From, m.To = "", to
			b.client.Send(m)
		}
	}
}

// TestSignalingKilled: a simulated gateway publishes over the real service; kill -9 of the service does
// not interrupt a connection, and both peers return to the next process by themselves.
func TestSignalingKilled(t *testing.T) {
	s := service(t)
	gateways, err := fleet.New(fleet.Config{
		Prefix: "gw", Site: site, Seed: 1, Gateways: 1, Machines: 2, Samples: 1, Horizon: time.Minute, Start: time.Now(),
	})
	if err != nil {
		t.Fatal(err)
	}
	network := gateway.Network{Loopback: true, Interfaces: []string{"lo"}}
	f, err := Start(Config{
		URL: s.URL(), Site: site, Network: network, Video: true, Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
		Token: func(ctx context.Context, gateway string) (string, error) {
			return s.Token(ctx, token.Identity{
				Subject: gateway, Gateway: telemetry.GatewayID(gateway), Site: site, Role: token.Gateway,
			}, 10*time.Minute)
		},
	}, gateways)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	quit, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			now := time.Now()
			f.Live(gateways[0], now, gateways[0].Sample(nil, now))
			select {
			case <-quit:
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	defer func() { close(quit); <-ended }()

	b := newBridge(t, s)
	var settings webrtc.SettingEngine
	settings.SetIncludeLoopbackCandidate(true)
	settings.SetInterfaceFilter(func(name string) bool { return name == "lo" })
	v := gatewaytest.NewViewer(t, b.Room, gatewaytest.Options{Settings: settings})
	go b.toGateway(<-b.gateways)
	first := <-b.welcomes
	if err := v.Offer(false); err != nil {
		t.Fatal(err)
	}
	eventually.True(t, "ready", func() bool { return len(v.Controls("ready")) > 0 })
	if cameras, ok := v.Controls("ready")[0]["cameras"].([]any); !ok || len(cameras) != 2 {
		t.Errorf("got cameras %v, want the test patterns of two machines", v.Controls("ready")[0]["cameras"])
	}
	if err := v.SendControl(map[string]any{"type": "subscribe", "devices": nil}); err != nil {
		t.Fatal(err)
	}
	eventually.True(t, "readings", func() bool { return len(v.Readings()) > 200 })

	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	n := len(v.Readings())
	eventually.True(t, "readings without signaling", func() bool { return len(v.Readings()) > n+1000 })
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if again := <-b.welcomes; again.Peer != first.Peer || again.Resumed {
		t.Errorf("got welcome %+v after %+v, want the same peer and a new session", again, first)
	}
	<-b.gateways // the gateway is back too
	n = len(v.Readings())
	if err := v.Offer(true); err != nil {
		t.Fatal(err)
	}
	eventually.True(t, "the answer to an ICE restart by the new process", func() bool {
		return v.PC.SignalingState() == webrtc.SignalingStateStable
	})
	eventually.True(t, "readings after the restart", func() bool { return len(v.Readings()) > n+500 })
	for _, state := range v.States() {
		if state == webrtc.PeerConnectionStateFailed || state == webrtc.PeerConnectionStateClosed {
			t.Errorf("the connection was %v", v.States())
		}
	}
	for _, stats := range f.Stats()[gateways[0].ID] {
		if stats.Delivered == 0 || stats.Restarts != 1 {
			t.Errorf("got %+v", stats)
		}
	}
	for _, err := range v.Faults() {
		t.Error(err)
	}
}
