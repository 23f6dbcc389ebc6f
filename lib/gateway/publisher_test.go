package gateway_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/insighthub/insighthub/lib/eventually"
	"github.com/insighthub/insighthub/lib/gateway"
	"github.com/insighthub/insighthub/lib/gateway/gatewaytest"
	"github.com/insighthub/insighthub/lib/telemetry"
)

func loopback() gateway.Network { return gateway.Network{Loopback: true, Interfaces: []string{"lo"}} }

// viewerSettings are those of a viewer on this machine's loopback interface.
func viewerSettings() webrtc.SettingEngine {
	var s webrtc.SettingEngine
	s.SetIncludeLoopbackCandidate(true)
	s.SetInterfaceFilter(func(name string) bool { return name == "lo" })
	return s
}

func start(t *testing.T, c gateway.Config) *gateway.Publisher {
	t.Helper()
	if c.Gateway == "" {
		c.Gateway = "gw-0"
	}
	p, err := gateway.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// connect offers, and waits until the gateway is ready.
func connect(t *testing.T, v *gatewaytest.Viewer) {
	t.Helper()
	if err := v.Offer(false); err != nil {
		t.Fatal(err)
	}
	eventually.True(t, "ready", func() bool { return len(v.Controls("ready")) > 0 })
}

func control(t *testing.T, v *gatewaytest.Viewer, m map[string]any) {
	t.Helper()
	if err := v.SendControl(m); err != nil {
		t.Fatal(err)
	}
}

// subscribe subscribes and waits until the gateway has done it: control messages are handled in order.
func subscribe(t *testing.T, v *gatewaytest.Viewer, m map[string]any) {
	t.Helper()
	before := len(v.Controls("stats"))
	m["type"] = "subscribe"
	control(t, v, m)
	control(t, v, map[string]any{"type": "stats"})
	eventually.True(t, "the subscription", func() bool { return len(v.Controls("stats")) > before })
}

func noFaults(t *testing.T, v *gatewaytest.Viewer) {
	t.Helper()
	for _, err := range v.Faults() {
		t.Error(err)
	}
}

// batch returns one event of each of n devices, read now.
func batch(n int, value float64) (*telemetry.Batch, []telemetry.Micros) {
	var b telemetry.Batch
	now := telemetry.MicrosOf(time.Now())
	read := make([]telemetry.Micros, n)
	for i := range n {
		device := telemetry.DeviceName(fmt.Sprintf("press-%02d", i))
		b.Append(telemetry.Event{Device: device, Metric: "temperature", Time: now, Value: value})
		read[i] = now
	}
	return &b, read
}

func publish(t *testing.T, p *gateway.Publisher, n int, value float64) {
	t.Helper()
	if err := p.Publish(batch(n, value)); err != nil {
		t.Fatal(err)
	}
}

func TestLiveValues(t *testing.T) {
	room := gatewaytest.NewRoom()
	p := start(t, gateway.Config{Signaling: room, Network: loopback()})
	v := gatewaytest.NewViewer(t, room, gatewaytest.Options{Settings: viewerSettings()})
	connect(t, v)
	publish(t, p, 3, 0) // nobody has subscribed
	subscribe(t, v, map[string]any{"devices": nil})
	for i := range 20 {
		publish(t, p, 3, float64(i+1))
	}
	eventually.Equal(t, "readings", 60, func() int { return len(v.Readings()) })
	for i, r := range v.Readings() {
		if want := float64(i/3 + 1); r.Value != want || r.Read != r.Time || r.Sent < r.Read {
			t.Errorf("reading %d: %+v, want value %v, read at its time and sent after it", i, r, want)
		}
	}
	for i, seq := range v.Seqs() {
		if seq != uint32(i+1) {
			t.Errorf("frame %d has seq %d", i, seq)
		}
	}
	noFaults(t, v)
}
