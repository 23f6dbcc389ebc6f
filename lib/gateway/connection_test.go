package gateway_test

import (
	"context"
	"fmt"
	"net"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/turn/v5"
	"github.com/pion/webrtc/v4"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/insighthub/insighthub/lib/eventually"
	"github.com/insighthub/insighthub/lib/gateway"
	"github.com/insighthub/insighthub/lib/gateway/gatewaytest"
	"github.com/insighthub/insighthub/lib/rtc"
)

// TestRestart: the viewer restarts ICE; the channels stay, and the ICE servers are fetched anew.
func TestRestart(t *testing.T) {
	t.Parallel()
	l := newLAN(t, time.Millisecond)
	l.loss.Store(5)
	room, p, v := pair(t, l)
	feed(t, p, 5, 10*time.Millisecond)
	eventually.True(t, "readings", func() bool { return len(v.Readings()) > 100 })
	live, asked := v.Live, room.Asked()
	if err := v.Offer(true); err != nil {
		t.Fatal(err)
	}
	eventually.True(t, "a new selection of servers", func() bool { return room.Asked() > asked })
	eventually.True(t, "the answer", func() bool { return v.PC.SignalingState() == webrtc.SignalingStateStable })
	began, n := time.Now(), len(v.Readings())
	eventually.True(t, "readings after the restart", func() bool { return len(v.Readings()) > n+200 })
	if took := v.Readings()[n].Arrived.Sub(began); took > 5*time.Second {
		t.Errorf("data came back after %v", took)
	}
	if live.ReadyState() != webrtc.DataChannelStateOpen {
		t.Errorf("the channel is %v after the restart", live.ReadyState())
	}
	for _, s := range p.Stats() {
		if s.Restarts != 1 {
			t.Errorf("%d restarts counted, want 1", s.Restarts)
		}
	}
	noFaults(t, v)
}

// TestAddressChange: the gateway's address is gone, and the gateway restarts by itself, since the
// viewer of this test does nothing.
func TestAddressChange(t *testing.T) {
	t.Parallel()
	l := newLAN(t, time.Millisecond)
	room := gatewaytest.NewRoom()
	host := l.host(t, gatewayIP)
	settings := settingsOf(l.host(t, viewerIP))
	l.start(t)
	p := start(t, gateway.Config{Signaling: room, Network: gateway.Network{Net: host}})
	v := gatewaytest.NewViewer(t, room, gatewaytest.Options{Settings: settings})
	connect(t, v)
	subscribe(t, v, map[string]any{"devices": nil})
	feed(t, p, 5, 10*time.Millisecond)
	eventually.True(t, "readings", func() bool { return len(v.Readings()) > 100 })
	mask := net.CIDRMask(24, 32)
	if err := host.RemoveAddress("eth0", net.ParseIP(gatewayIP)); err != nil {
		t.Fatal(err)
	}
	l.gone.Store(true) // sockets that are open still send from it
	if err := host.AddAddress("eth0", &net.IPNet{IP: net.ParseIP(otherIP), Mask: mask}); err != nil {
		t.Fatal(err)
	}
	n := len(v.Readings())
	eventually.True(t, "readings from the new address", func() bool { return len(v.Readings()) > n+100 })
	if v.Live.ReadyState() != webrtc.DataChannelStateOpen {
		t.Errorf("the channel is %v", v.Live.ReadyState())
	}
	offers := 0
	for _, m := range room.Sent() {
		if _, ok := m.(rtc.Offer); ok {
			offers++
		}
	}
	if offers == 0 {
		t.Error("the gateway made no offer")
	}
	noFaults(t, v)
}

// TestUnansweredOffer: the gateway's offer is lost, and the viewer offers meanwhile. The gateway, the
// impolite peer, answers no offer while its own is open, and sends its own again until it is answered.
func TestUnansweredOffer(t *testing.T) {
	t.Parallel()
	l := newLAN(t, time.Millisecond)
	room, p, v := pair(t, l)
	feed(t, p, 2, 10*time.Millisecond)
	eventually.True(t, "readings", func() bool { return len(v.Readings()) > 10 })
	offers := func() (n int) {
		for _, m := range room.Sent() {
			if _, ok := m.(rtc.Offer); ok {
				n++
			}
		}
		return n
	}
	answers := func() (n int) {
		for _, m := range room.Sent() {
			if _, ok := m.(rtc.Answer); ok {
				n++
			}
		}
		return n
	}
	l.cut.Store(true)
	room.SetMute(true)
	eventually.True(t, "the gateway's offer", func() bool { return offers() > 0 })
	l.cut.Store(false)
	before, answered := offers(), answers()
	room.ToGateway(rtc.Offer{From: v.ID, Connection: v.Connection, SDP: v.PC.LocalDescription().SDP})
	eventually.True(t, "the gateway's offer again", func() bool { return offers() > before })
	if answers() != answered {
		t.Error("the gateway answered while its own offer was open")
	}
	room.SetMute(false)
	n := len(v.Readings())
	eventually.True(t, "readings", func() bool { return len(v.Readings()) > n+100 })
	noFaults(t, v)
}

// TestDeadGateway: a gateway that is gone without a word is seen by its missing heartbeats; its channel
// stays open.
func TestDeadGateway(t *testing.T) {
	t.Parallel()
	l := newLAN(t, time.Millisecond)
	_, _, v := pair(t, l)
	eventually.True(t, "heartbeats without events", func() bool { return v.Heartbeats() >= 3 })
	l.cut.Store(true)
	died := time.Now()
	eventually.True(t, "no heartbeat for 3 s", func() bool { return time.Since(v.LastFrame()) > 3*time.Second })
	if took := time.Since(died); took > 5*time.Second {
		t.Errorf("lost after %v", took)
	}
	if v.Live.ReadyState() != webrtc.DataChannelStateOpen {
		t.Errorf("the channel is %v; then it could be used to see the end", v.Live.ReadyState())
	}
}

// TestSlowViewer: one that handles nothing does not slow the publisher nor another viewer.
func TestSlowViewer(t *testing.T) {
	t.Parallel()
	l := newLAN(t, time.Millisecond)
	room := gatewaytest.NewRoom()
	network := gateway.Network{Net: l.host(t, gatewayIP)}
	fastNet, slowNet := settingsOf(l.host(t, viewerIP)), settingsOf(l.host(t, otherIP))
	slowNet.SetSCTPMaxReceiveBufferSize(16 << 10)
	l.start(t)
	p := start(t, gateway.Config{Signaling: room, Network: network})
	fast := gatewaytest.NewViewer(t, room, gatewaytest.Options{ID: "fast", Settings: fastNet})
	block := make(chan struct{})
	var stuck atomic.Bool
	slow := gatewaytest.NewViewer(t, room, gatewaytest.Options{ID: "slow", Settings: slowNet, OnReading: func(gatewaytest.Reading) {
		stuck.Store(true)
		<-block
	}})
	defer close(block)
	for _, v := range []*gatewaytest.Viewer{fast, slow} {
		connect(t, v)
		subscribe(t, v, map[string]any{"devices": nil})
	}
	const rounds = 400
	for i := range rounds {
		began := time.Now()
		if err := p.Publish(batch(50, float64(i))); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("Publish took %v", took)
		}
		time.Sleep(5 * time.Millisecond)
	}
	eventually.True(t, "the newest value at the fast viewer", func() bool {
		r := fast.Readings()
		return len(r) > 0 && r[len(r)-1].Value == rounds-1
	})
	if !stuck.Load() {
		t.Error("the slow viewer was not slow")
	}
	stats := p.Stats()
	if f := stats["fast/c1"]; f.Superseded > rounds*50/10 {
		t.Errorf("fast: %+v", f)
	}
	if s := stats["slow/c1"]; s.Superseded == 0 {
		t.Errorf("slow: %+v, want superseded events", s)
	}
	noFaults(t, fast)
}

// TestRelayOnly: both ends through a TURN server, with credentials that the gateway fetched.
func TestRelayOnly(t *testing.T) {
	t.Parallel()
	l := newLAN(t, time.Millisecond)
	room := gatewaytest.NewRoom(rtc.ICEServer{URLs: []string{"turn:10.0.0.9:3478?transport=udp"}, Username: "u", Credential: "secret"})
	network := gateway.Network{Net: l.host(t, gatewayIP), RelayOnly: true}
	settings := settingsOf(l.host(t, viewerIP))
	relay := l.host(t, "10.0.0.9")
	l.start(t)
	conn, err := relay.ListenPacket("udp4", "10.0.0.9:3478")
	if err != nil {
		t.Fatal(err)
	}
	var allocations atomic.Int64
	server, err := turn.NewServer(turn.ServerConfig{
		Realm: "r", LoggerFactory: quiet(),
		AuthHandler: func(a *turn.RequestAttributes) (string, []byte, bool) {
			allocations.Add(1)
			return a.Username, turn.GenerateAuthKey(a.Username, a.Realm, "secret"), a.Username == "u"
		},
		PacketConnConfigs: []turn.PacketConnConfig{{
			PacketConn: conn,
			RelayAddressGenerator: &turn.RelayAddressGeneratorStatic{
				RelayAddress: net.ParseIP("10.0.0.9"), Address: "10.0.0.9", Net: relay,
			},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	p := start(t, gateway.Config{Signaling: room, Network: network})
	v := gatewaytest.NewViewer(t, room, gatewaytest.Options{Settings: settings, Config: webrtc.Configuration{
		ICETransportPolicy: webrtc.ICETransportPolicyRelay,
		ICEServers:         []webrtc.ICEServer{{URLs: []string{"turn:10.0.0.9:3478?transport=udp"}, Username: "u", Credential: "secret"}},
	}})
	connect(t, v)
	subscribe(t, v, map[string]any{"devices": nil})
	publish(t, p, 3, 1)
	eventually.Equal(t, "readings", 3, func() int { return len(v.Readings()) })
	pair, err := v.PC.SCTP().Transport().ICETransport().GetSelectedCandidatePair()
	if err != nil || pair.Local.Typ != webrtc.ICECandidateTypeRelay || pair.Remote.Typ != webrtc.ICECandidateTypeRelay {
		t.Errorf("got pair %v, %v; want relay on both sides", pair, err)
	}
	if allocations.Load() == 0 {
		t.Error("nobody authenticated at the TURN server")
	}
	noFaults(t, v)
}

// TestPresence: a peer that has left loses its connections; one that is lost, or whose service is gone,
// does not.
func TestPresence(t *testing.T) {
	room := gatewaytest.NewRoom()
	p := start(t, gateway.Config{Signaling: room, Network: loopback()})
	stays := gatewaytest.NewViewer(t, room, gatewaytest.Options{ID: "stays", Settings: viewerSettings()})
	leaves := gatewaytest.NewViewer(t, room, gatewaytest.Options{ID: "leaves", Settings: viewerSettings()})
	for _, v := range []*gatewaytest.Viewer{stays, leaves} {
		connect(t, v)
		subscribe(t, v, map[string]any{"devices": nil})
	}
	room.ToGateway(rtc.Presence{Site: "s", Peer: "stays", Kind: rtc.Person, State: rtc.StateLost})
	room.ToGateway(rtc.Presence{Site: "s", Peer: "leaves", Kind: rtc.Person, State: rtc.StateLeft, Reason: rtc.AccessEnded})
	eventually.True(t, "the end of the connection whose right ended", func() bool {
		return slices.Contains(leaves.States(), webrtc.PeerConnectionStateClosed) ||
			slices.Contains(leaves.States(), webrtc.PeerConnectionStateDisconnected)
	})
	// The service comes back without that peer in its list, as after a crash: the connection goes on.
	room.ToGateway(rtc.Welcome{Version: 1, Peer: gatewaytest.GatewayPeer})
	room.ToGateway(rtc.Joined{Site: "s", Peers: []rtc.PeerInfo{}})
	room.Close()
	publish(t, p, 1, 42)
	eventually.True(t, "a reading without the service", func() bool {
		r := stays.Readings()
		return len(r) > 0 && r[len(r)-1].Value == 42
	})
	if n := len(p.Stats()); n != 1 {
		t.Errorf("%d viewers, want 1", n)
	}
}

// TestRightOfTheGateway: when the gateway is removed from the room, it publishes to nobody.
func TestRightOfTheGateway(t *testing.T) {
	room := gatewaytest.NewRoom()
	p := start(t, gateway.Config{Signaling: room, Network: loopback()})
	v := gatewaytest.NewViewer(t, room, gatewaytest.Options{Settings: viewerSettings()})
	connect(t, v)
	room.ToGateway(rtc.Left{Site: "s", Reason: rtc.AccessEnded})
	eventually.Equal(t, "viewers", 0, func() int { return len(p.Stats()) })
}

// TestTooManyViewers: a viewer above the limit gets a bye; when one has gone there is room.
func TestTooManyViewers(t *testing.T) {
	room := gatewaytest.NewRoom()
	start(t, gateway.Config{Signaling: room, Network: loopback(), MaxViewers: 1})
	first := gatewaytest.NewViewer(t, room, gatewaytest.Options{ID: "first", Settings: viewerSettings()})
	connect(t, first)
	second := gatewaytest.NewViewer(t, room, gatewaytest.Options{ID: "second", Settings: viewerSettings()})
	if err := second.Offer(false); err != nil {
		t.Fatal(err)
	}
	eventually.True(t, "bye", func() bool { _, ok := second.Bye(); return ok })
	if reason, _ := second.Bye(); !strings.Contains(reason, "as many viewers") {
		t.Errorf("got reason %q", reason)
	}
	room.ToGateway(rtc.Bye{From: "first", Connection: "c1"})
	// The first one is still being closed, so others may be turned away before one is not.
	var next *gatewaytest.Viewer
	tried := 0
	eventually.True(t, "room for another", func() bool {
		if next != nil {
			if _, turnedAway := next.Bye(); !turnedAway {
				return len(next.Controls("ready")) > 0
			}
		}
		tried++
		id := rtc.PeerID("other" + strconv.Itoa(tried))
		next = gatewaytest.NewViewer(t, room, gatewaytest.Options{ID: id, Settings: viewerSettings()})
		if err := next.Offer(false); err != nil {
			t.Fatal(err)
		}
		return false
	})
}

// TestPlacesOfOthers: neither a peer nor an account takes the places of the others.
func TestPlacesOfOthers(t *testing.T) {
	room := gatewaytest.NewRoom()
	start(t, gateway.Config{Signaling: room, Network: loopback(), MaxViewers: 12})
	greedy := []rtc.PeerID{"g1", "g2", "g3", "g4"}
	for _, id := range greedy {
		room.ToGateway(rtc.Presence{Site: "s", Peer: id, Kind: rtc.Person, Name: "greedy", State: rtc.StateJoined})
	}
	garbage := "candidate:1 1 udp 1 127.0.0.1 1 typ host"
	for i := range 100 {
		connection := rtc.ConnectionID("c" + strconv.Itoa(i))
		room.ToGateway(rtc.Candidate{From: greedy[i%4], Connection: connection, Candidate: &garbage})
	}
	for i := range 6 {
		room.ToGateway(rtc.Candidate{From: "loner", Connection: rtc.ConnectionID("c" + strconv.Itoa(i)), Candidate: &garbage})
	}
	other := gatewaytest.NewViewer(t, room, gatewaytest.Options{ID: "other", Settings: viewerSettings()})
	connect(t, other)
	rejected := 0
	var gaveWay []rtc.ConnectionID
	for _, m := range room.Sent() {
		bye, ok := m.(rtc.Bye)
		switch {
		case !ok:
		case bye.To == "loner" && strings.Contains(bye.Reason, "newer connection"):
			gaveWay = append(gaveWay, bye.Connection)
		case strings.Contains(bye.Reason, "the account has as many"):
			rejected++
		default:
			t.Errorf("got %+v", bye)
		}
	}
	if rejected != 100-6 {
		t.Errorf("%d connections of the account were rejected, want all but 6", rejected)
	}
	if !slices.Equal(gaveWay, []rtc.ConnectionID{"c0", "c1"}) {
		t.Errorf("%q gave way to newer connections, want the two oldest", gaveWay)
	}
}

// TestTrickle: candidates that come before their description are used, those of an older generation
// and garbage do no harm.
func TestTrickle(t *testing.T) {
	room := gatewaytest.NewRoom()
	p := start(t, gateway.Config{Signaling: room, Network: loopback()})
	garbage := "candidate:1 1 udp 1 127.0.0.1 1 typ host ufrag zzzz"
	other := "zzzz"
	for range 100 {
		room.ToGateway(rtc.Candidate{From: "viewer", Connection: "c1", Candidate: &garbage, UsernameFragment: &other})
	}
	room.ToGateway(rtc.Answer{From: "viewer", Connection: "c1", SDP: "v=0"})
	room.ToGateway(rtc.Answer{From: "stranger", Connection: "c9", SDP: "v=0"})
	room.ToGateway(rtc.Bye{From: "stranger", Connection: "c9"})
	room.ToGateway(rtc.Offer{From: "fool", Connection: "c1", SDP: "v=0\r\nnonsense"})
	v := gatewaytest.NewViewer(t, room, gatewaytest.Options{Settings: viewerSettings()})
	connect(t, v)
	subscribe(t, v, map[string]any{"devices": nil})
	room.ToGateway(rtc.Candidate{From: "viewer", Connection: "c1", Candidate: &garbage, UsernameFragment: &other})
	bad := "candidate:what"
	room.ToGateway(rtc.Candidate{From: "viewer", Connection: "c1", Candidate: &bad})
	room.ToGateway(rtc.Offer{From: "viewer", Connection: "c1", SDP: "v=0\r\nnonsense"})
	publish(t, p, 1, 1)
	eventually.Equal(t, "readings", 1, func() int { return len(v.Readings()) })
	noFaults(t, v)
}

// TestControl: subscriptions, history, statistics and errors as they are documented.
func TestControl(t *testing.T) {
	room := gatewaytest.NewRoom()
	registry := prometheus.NewRegistry()
	p := start(t, gateway.Config{Signaling: room, Network: loopback(), Registerer: registry})
	publish(t, p, 4, 1)
	v := gatewaytest.NewViewer(t, room, gatewaytest.Options{Settings: viewerSettings()})
	connect(t, v)
	if r := v.Controls("ready")[0]; r["gateway"] != "gw-0" || r["version"] != 1. ||
		fmt.Sprint(r["devices"]) != "[press-00 press-01 press-02 press-03]" ||
		r["devices_total"] != 4. || fmt.Sprint(r["cameras"]) != "[]" {
		t.Errorf("got %v", r)
	}
	subscribe(t, v, map[string]any{"devices": []string{"press-02"}})
	publish(t, p, 4, 2)
	control(t, v, map[string]any{"type": "history", "id": 1, "seconds": 60, "devices": []string{"press-01", "press-03"}})
	eventually.Equal(t, "history", 1, func() int { return len(v.Controls("history")) })
	if h := v.Controls("history")[0]; h["id"] != 1. || h["events"] != 4. || h["frames"] != 1. || h["done"] != true {
		t.Errorf("got %v", h)
	}
	eventually.True(t, "the frames", func() bool { _, last := v.Past(1); return last == 1 })
	past, _ := v.Past(1)
	if len(past) != 4 || past[0].Device != "press-01" || past[0].Value != 1 || past[3].Device != "press-03" || past[3].Value != 2 {
		t.Errorf("got %v", past)
	}
	eventually.Equal(t, "readings of the subscription", 1, func() int { return len(v.Readings()) })
	if r := v.Readings()[0]; r.Device != "press-02" || r.Value != 2 {
		t.Errorf("got %+v", r)
	}
	control(t, v, map[string]any{"type": "unsubscribe"})
	control(t, v, map[string]any{"type": "history", "id": 2, "seconds": 1e9})
	control(t, v, map[string]any{"type": "camera", "name": "press-01"})
	control(t, v, map[string]any{"type": "dance"})
	eventually.Equal(t, "errors", 3, func() int { return len(v.Controls("error")) })
	for i, want := range []string{"invalid_message", "no_video", "unknown_type"} {
		if e := v.Controls("error")[i]; e["code"] != want {
			t.Errorf("got %v, want %s", e, want)
		}
	}
	if e := v.Controls("error")[0]; e["id"] != 2. {
		t.Errorf("got %v, want the id of the request", e)
	}
	publish(t, p, 5, 3) // a new device
	eventually.True(t, "ready with the new device", func() bool {
		r := v.Controls("ready")
		return r[len(r)-1]["devices_total"] == 5.
	})
	if n := len(v.Readings()); n != 1 {
		t.Errorf("%d readings after unsubscribe", n)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, l := range m.GetLabel() {
				name += "/" + l.GetValue()
			}
			values[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	for name, want := range map[string]float64{
		"insighthub_live_viewers": 1, "insighthub_live_published_events_total": 13, "insighthub_live_viewer_events_total/delivered": 1,
		"insighthub_live_viewer_events_total/history": 4,
	} {
		if values[name] != want {
			t.Errorf("%s: got %v, want %v", name, values[name], want)
		}
	}
	noFaults(t, v)
}

// TestMaxHz: of each series the newest value, so many times a second.
func TestMaxHz(t *testing.T) {
	room := gatewaytest.NewRoom()
	p := start(t, gateway.Config{Signaling: room, Network: loopback()})
	v := gatewaytest.NewViewer(t, room, gatewaytest.Options{Settings: viewerSettings()})
	connect(t, v)
	subscribe(t, v, map[string]any{"devices": nil, "max_hz": 10})
	stop := feed(t, p, 3, 2*time.Millisecond)
	began := time.Now()
	eventually.True(t, "readings", func() bool { return len(v.Readings()) >= 30 })
	stop()
	elapsed, n := time.Since(began).Seconds(), len(v.Readings())
	if limit := 3 * (10*elapsed + 2); float64(n) > limit {
		t.Errorf("%d readings in %.1f s, want at most %.0f", n, elapsed, limit)
	}
	noFaults(t, v)
}

// TestClock: a response has the request's id and t0, and times between those of the viewer, which has
// the same clock here.
func TestClock(t *testing.T) {
	room := gatewaytest.NewRoom()
	start(t, gateway.Config{Signaling: room, Network: loopback()})
	v := gatewaytest.NewViewer(t, room, gatewaytest.Options{Settings: viewerSettings()})
	connect(t, v)
	eventually.True(t, "the live channel", func() bool { return v.Live.ReadyState() == webrtc.DataChannelStateOpen })
	for id := range uint32(20) {
		if err := v.AskClock(id); err != nil {
			t.Fatal(err)
		}
		eventually.True(t, "a response", func() bool { c, _ := v.Clocks(); return len(c) == int(id)+1 })
	}
	responses, arrived := v.Clocks()
	for i, c := range responses {
		if c.ID != uint32(i) || c.T0 > c.T1 || c.T1 > c.T2 || c.T2 > arrived[i] {
			t.Errorf("response %d: %+v, arrived %d", i, c, arrived[i])
		}
	}
	for _, bad := range [][]byte{{2}, {99, 1, 2}, {0}} { // no answer, and no harm
		if err := v.Live.Send(bad); err != nil {
			t.Fatal(err)
		}
	}
	if err := v.AskClock(100); err != nil {
		t.Fatal(err)
	}
	eventually.True(t, "a response after bad frames", func() bool { c, _ := v.Clocks(); return len(c) == 21 })
}

// TestOtherChannels: only one lossy channel is the live one.
func TestOtherChannels(t *testing.T) {
	room := gatewaytest.NewRoom()
	p := start(t, gateway.Config{Signaling: room, Network: loopback()})
	v := gatewaytest.NewViewer(t, room, gatewaytest.Options{Settings: viewerSettings()})
	connect(t, v)
	subscribe(t, v, map[string]any{"devices": nil})
	publish(t, p, 1, 1)
	eventually.Equal(t, "readings", 1, func() int { return len(v.Readings()) })
	none := uint16(0)
	unordered := false
	for name, init := range map[string]*webrtc.DataChannelInit{
		"chat": nil, "live": {Ordered: &unordered, MaxRetransmits: &none},
	} {
		ch, err := v.PC.CreateDataChannel(name, init)
		if err != nil {
			t.Fatal(err)
		}
		eventually.Equal(t, name+" closed", webrtc.DataChannelStateClosed, ch.ReadyState)
	}
	publish(t, p, 1, 2)
	eventually.Equal(t, "readings", 2, func() int { return len(v.Readings()) })
}

// TestNothingRemains: after Close no goroutine of the publisher or of its connections is left, and the
// viewers see the end at once.
func TestNothingRemains(t *testing.T) {
	before := runtime.NumGoroutine()
	for range 3 {
		room := gatewaytest.NewRoom()
		p, err := gateway.New(gateway.Config{Gateway: "gw-0", Signaling: room, Network: loopback()})
		if err != nil {
			t.Fatal(err)
		}
		var viewers []*gatewaytest.Viewer
		for i := range 3 {
			v := gatewaytest.NewViewer(t, room, gatewaytest.Options{ID: rtc.PeerID('a' + rune(i)), Settings: viewerSettings()})
			connect(t, v)
			subscribe(t, v, map[string]any{"devices": nil})
			viewers = append(viewers, v)
		}
		publish(t, p, 10, 1)
		p.Close()
		for _, v := range viewers {
			eventually.Equal(t, "closed", webrtc.DataChannelStateClosed, v.Live.ReadyState)
			v.Close()
		}
	}
	eventually.True(t, "all goroutines ended", func() bool { return runtime.NumGoroutine() <= before })
}

// TestConfig: what cannot work is rejected.
func TestConfig(t *testing.T) {
	room := gatewaytest.NewRoom()
	for name, c := range map[string]gateway.Config{
		"no gateway": {Signaling: room}, "no signaling": {Gateway: "g"}, "negative": {Gateway: "g", Signaling: room, MaxViewers: -1},
	} {
		if _, err := gateway.New(c); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := room.ICEServers(context.Background()); err != nil {
		t.Error(err)
	}
}
