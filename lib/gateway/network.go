package gateway

import (
	"net"
	"slices"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/transport/v5"
	"github.com/pion/webrtc/v4"

	"github.com/insighthub/insighthub/lib/rtc"
)

// Network says how a gateway reaches its viewers. The zero value suits most.
type Network struct {
	// Interfaces names the network interfaces whose addresses are offered; nil: all but loopback.
	Interfaces []string
	// Loopback offers the addresses of the loopback interface too, for viewers on the same machine.
	Loopback bool
	// Mux sends and receives the packets of all viewers on one UDP port; nil: a port for each
	// connection. It is the caller's, who closes it after the Publisher. See NewUDPMux.
	Mux ice.UDPMux
	// RelayOnly allows no path but through a TURN server.
	RelayOnly bool
	// Net replaces the network of the operating system, for tests.
	Net transport.Net
}

// NewUDPMux returns a Network.Mux on a UDP address such as ":40000".
func NewUDPMux(conn net.PacketConn) ice.UDPMux { return webrtc.NewICEUDPMux(nil, conn) }

const (
	// After disconnectedAfter without a packet the path counts as disconnected, and after failedAfter
	// more as failed. pion's own times are 5 s and 25 s.
	disconnectedAfter = 2 * time.Second
	failedAfter       = 10 * time.Second
	keepAlive         = 500 * time.Millisecond

	// A lost packet is sent again after at most retransmitAfter, whatever happened before: with the
	// usual doubling up to 60 s a channel stays silent after a cut for as long as the cut was.
	retransmitAfter = 500 * time.Millisecond
	// minCongestionWindow is more than a live channel ever has in flight.
	minCongestionWindow = 256 << 10
	dtlsRetransmit      = 250 * time.Millisecond
)

func (n Network) settings() webrtc.SettingEngine {
	var s webrtc.SettingEngine
	s.SetICETimeouts(disconnectedAfter, failedAfter, keepAlive)
	s.SetRelayAcceptanceMinWait(0)
	s.SetSCTPRTOMax(retransmitAfter)
	s.SetSCTPMinCwnd(minCongestionWindow)
	s.SetDTLSRetransmissionInterval(dtlsRetransmit)
	s.SetIncludeLoopbackCandidate(n.Loopback)
	if n.Interfaces != nil {
		s.SetInterfaceFilter(func(name string) bool { return slices.Contains(n.Interfaces, name) })
	}
	if n.Mux != nil {
		s.SetICEUDPMux(n.Mux)
	}
	if n.Net != nil {
		s.SetNet(n.Net)
		s.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	}
	return s
}

func (n Network) configuration(servers []rtc.ICEServer) webrtc.Configuration {
	var c webrtc.Configuration
	if n.RelayOnly {
		c.ICETransportPolicy = webrtc.ICETransportPolicyRelay
	}
	for _, s := range servers {
		server := webrtc.ICEServer{URLs: s.URLs, Username: s.Username}
		if s.Credential != "" {
			server.Credential = s.Credential
		}
		c.ICEServers = append(c.ICEServers, server)
	}
	return c
}

// newPeerConnection returns a peer connection with the codecs that prepare registers.
func (n Network) newPeerConnection(servers []rtc.ICEServer, prepare func(*webrtc.MediaEngine, *interceptor.Registry) error) (
	*webrtc.PeerConnection, error,
) {
	media, registry := &webrtc.MediaEngine{}, &interceptor.Registry{}
	if err := prepare(media, registry); err != nil {
		return nil, err
	}
	api := webrtc.NewAPI(
		webrtc.WithMediaEngine(media), webrtc.WithInterceptorRegistry(registry), webrtc.WithSettingEngine(n.settings()),
	)
	return api.NewPeerConnection(n.configuration(servers))
}
