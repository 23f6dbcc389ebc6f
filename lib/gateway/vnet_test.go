package gateway_test

import (
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/transport/v5/vnet"
	"github.com/pion/webrtc/v4"

	"github.com/insighthub/insighthub/lib/eventually"
	"github.com/insighthub/insighthub/lib/gateway"
	"github.com/insighthub/insighthub/lib/gateway/gatewaytest"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// The addresses of the virtual network.
const (
	gatewayIP = "10.0.0.2"
	viewerIP  = "10.0.0.3"
	otherIP   = "10.0.0.4"
)

// lan is a virtual network with faults.
type lan struct {
	router *vnet.Router
	cut    atomic.Bool
	loss   atomic.Int64 // one of so many packets is lost; 0: none
	packet atomic.Int64
	gone   atomic.Bool // nothing reaches or leaves gatewayIP
}

func newLAN(t *testing.T, delay time.Duration) *lan {
	t.Helper()
	l := &lan{}
	router, err := vnet.NewRouter(&vnet.RouterConfig{
		CIDR: "10.0.0.0/24", MinDelay: delay, QueueSize: 4096, LoggerFactory: quiet(),
	})
	if err != nil {
		t.Fatal(err)
	}
	l.router = router
	router.AddChunkFilter(func(c vnet.Chunk) bool {
		from, to := c.SourceAddr().String(), c.DestinationAddr().String()
		atGateway := strings.HasPrefix(from, gatewayIP+":") || strings.HasPrefix(to, gatewayIP+":")
		if l.cut.Load() || l.gone.Load() && atGateway {
			return false
		}
		n := l.loss.Load()
		// Not each n-th one: data and acknowledgements take turns, and all losses could be one of them.
		return n == 0 || (uint64(l.packet.Add(1))*0x9e3779b97f4a7c15)>>32%uint64(n) != 0
	})
	t.Cleanup(func() { router.Stop() })
	return l
}

func (l *lan) host(t *testing.T, ips ...string) *vnet.Net {
	t.Helper()
	n, err := vnet.NewNet(&vnet.NetConfig{StaticIPs: ips})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.router.AddNet(n); err != nil {
		t.Fatal(err)
	}
	return n
}

func (l *lan) start(t *testing.T) {
	t.Helper()
	if err := l.router.Start(); err != nil {
		t.Fatal(err)
	}
}

func settingsOf(n *vnet.Net) webrtc.SettingEngine {
	var s webrtc.SettingEngine
	s.SetNet(n)
	s.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	s.SetICETimeouts(3*time.Second, 12*time.Second, 500*time.Millisecond)
	return s
}

// feed publishes one event of each of n devices every interval, until the test ends or stop is called.
func feed(t *testing.T, p *gateway.Publisher, n int, interval time.Duration) (stop func()) {
	t.Helper()
	quit := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(interval)
		defer tick.Stop()
		for i := 0; ; i++ {
			if err := p.Publish(batch(n, float64(i))); err != nil {
				t.Error(err)
				return
			}
			select {
			case <-quit:
				return
			case <-tick.C:
			}
		}
	})
	var once sync.Once
	stop = func() { once.Do(func() { close(quit); wg.Wait() }) }
	t.Cleanup(stop)
	return stop
}

// pair is a gateway and a subscribed viewer on a virtual network.
func pair(t *testing.T, l *lan) (*gatewaytest.Room, *gateway.Publisher, *gatewaytest.Viewer) {
	t.Helper()
	room := gatewaytest.NewRoom()
	network, settings := gateway.Network{Net: l.host(t, gatewayIP)}, settingsOf(l.host(t, viewerIP))
	l.start(t)
	p := start(t, gateway.Config{Signaling: room, Network: network})
	v := gatewaytest.NewViewer(t, room, gatewaytest.Options{Settings: settings})
	connect(t, v)
	subscribe(t, v, map[string]any{"devices": nil})
	return room, p, v
}

// oldest returns the greatest age at arrival of the readings from index from on.
func oldest(readings []gatewaytest.Reading, from int) (age time.Duration) {
	for _, r := range readings[from:] {
		age = max(age, time.Duration(telemetry.MicrosOf(r.Arrived)-r.Read)*time.Microsecond)
	}
	return age
}

// TestLoss: with a fifth of the packets lost, frames are lost and not repeated, and those that come
// are young. A channel that is reliable by mistake loses none and delivers old ones.
func TestLoss(t *testing.T) {
	t.Parallel()
	l := newLAN(t, 5*time.Millisecond)
	_, p, v := pair(t, l)
	l.loss.Store(5)
	stop := feed(t, p, 10, 10*time.Millisecond)
	eventually.True(t, "300 frames", func() bool { return len(v.Seqs()) >= 300 })
	stop()
	l.loss.Store(0)
	seen, last := map[uint32]bool{}, uint32(0)
	for _, seq := range v.Seqs() {
		if seen[seq] {
			t.Errorf("frame %d came twice", seq)
		}
		seen[seq], last = true, max(last, seq)
	}
	if lost := int(last) - len(seen); lost < int(last)/20 {
		t.Errorf("%d of %d frames were lost, want about a fifth: the channel repeats them", lost, last)
	}
	if age := oldest(v.Readings(), 0); age > time.Second {
		t.Errorf("a reading was %v old when it came", age)
	}
	noFaults(t, v)
}

// TestCut: after 3.5 s without a network the viewer gets the present and nothing that waited: no
// reading is older than the cut would make it.
func TestCut(t *testing.T) {
	t.Parallel()
	l := newLAN(t, 5*time.Millisecond)
	_, p, v := pair(t, l)
	stop := feed(t, p, 50, 5*time.Millisecond) // 10,000 events/s
	eventually.True(t, "readings", func() bool { return len(v.Readings()) > 5000 })
	l.cut.Store(true)
	time.Sleep(200 * time.Millisecond) // what was on its way has arrived
	before := len(v.Readings())
	time.Sleep(3300 * time.Millisecond)
	l.cut.Store(false)
	healed := time.Now()
	eventually.True(t, "readings after the cut", func() bool { return len(v.Readings()) > before+5000 })
	stop()
	after := v.Readings()[before:]
	if back := after[0].Arrived.Sub(healed); back > 5*time.Second {
		t.Errorf("data came back after %v", back)
	}
	if age := oldest(after, 0); age > 1500*time.Millisecond {
		t.Errorf("a reading was %v old when it came, after a cut of 3.5 s", age)
	}
	devices := map[telemetry.DeviceName]bool{}
	for _, r := range after {
		devices[r.Device] = true
	}
	if len(devices) != 50 {
		t.Errorf("%d devices came back, want 50", len(devices))
	}
	var stats gateway.Stats
	for _, s := range p.Stats() {
		stats = s
	}
	if stats.Superseded == 0 {
		t.Error("no event was superseded, so the queue grew during the cut")
	}
	noFaults(t, v)
}
