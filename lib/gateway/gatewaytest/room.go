// Package gatewaytest has both ends of a live connection for tests: a room that introduces peers in
// memory, and a viewer.
package gatewaytest

import (
	"context"
	"sync"

	"github.com/insighthub/insighthub/lib/rtc"
)

// GatewayPeer is the gateway's id in a Room.
const GatewayPeer rtc.PeerID = "gateway"

// Room relays messages between one gateway and its viewers, in order, as the signaling service does.
type Room struct {
	mu      sync.Mutex
	down    bool // the service is gone: messages are lost
	mute    bool // the gateway's messages are lost
	gateway chan rtc.Message
	viewers map[rtc.PeerID]*Viewer
	servers []rtc.ICEServer
	asked   int
	sent    []rtc.Message // by the gateway
}

// NewRoom returns a room that gives these ICE servers.
func NewRoom(servers ...rtc.ICEServer) *Room {
	return &Room{gateway: make(chan rtc.Message, 4096), viewers: make(map[rtc.PeerID]*Viewer), servers: servers}
}

// Messages implements gateway.Signaling.
func (r *Room) Messages() <-chan rtc.Message { return r.gateway }

// Send implements gateway.Signaling: the gateway sends.
func (r *Room) Send(m rtc.Message) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sent = append(r.sent, m)
	if r.down || r.mute {
		return nil
	}
	switch m := m.(type) {
	case rtc.Offer:
		r.deliver(m.To, rtc.Offer{From: GatewayPeer, Connection: m.Connection, SDP: m.SDP})
	case rtc.Answer:
		r.deliver(m.To, rtc.Answer{From: GatewayPeer, Connection: m.Connection, SDP: m.SDP})
	case rtc.Candidate:
		to := m.To
		m.To, m.From = "", GatewayPeer
		r.deliver(to, m)
	case rtc.Bye:
		r.deliver(m.To, rtc.Bye{From: GatewayPeer, Connection: m.Connection, Reason: m.Reason})
	}
	return nil
}

func (r *Room) deliver(to rtc.PeerID, m rtc.Message) {
	if v := r.viewers[to]; v != nil {
		v.inbox <- m
	}
}

// ICEServers implements gateway.Signaling.
func (r *Room) ICEServers(context.Context) ([]rtc.ICEServer, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked++
	return r.servers, nil
}

// Asked returns how often the gateway fetched ICE servers.
func (r *Room) Asked() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.asked
}

// Sent returns what the gateway has sent.
func (r *Room) Sent() []rtc.Message {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]rtc.Message(nil), r.sent...)
}

// SetServers replaces the ICE servers.
func (r *Room) SetServers(servers ...rtc.ICEServer) {
	r.mu.Lock()
	r.servers = servers
	r.mu.Unlock()
}

// SetDown loses all messages from now on, or no more.
func (r *Room) SetDown(down bool) {
	r.mu.Lock()
	r.down = down
	r.mu.Unlock()
}

// SetMute loses the gateway's messages from now on, or no more.
func (r *Room) SetMute(mute bool) {
	r.mu.Lock()
	r.mute = mute
	r.mu.Unlock()
}

// ToGateway delivers a message of the service or of a viewer to the gateway.
func (r *Room) ToGateway(m rtc.Message) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.down {
		r.gateway <- m
	}
}

// Close ends the gateway's messages.
func (r *Room) Close() { close(r.gateway) }

func (r *Room) add(v *Viewer) {
	r.mu.Lock()
	r.viewers[v.ID] = v
	r.mu.Unlock()
}
