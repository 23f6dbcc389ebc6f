package gateway

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/insighthub/insighthub/lib/rtc"
)

// absentFor is how long the connections of a peer that is in no list of the service go on: after a
// failure of the service its peers come back one by one, and their connections need it not.
const absentFor = (rtc.GraceSeconds + 15) * time.Second

// room is what the publisher knows of its peers. Only run uses it.
type room struct {
	viewers map[viewerID]*viewer
	absent  map[rtc.PeerID]time.Time // since when a peer with connections was not listed
	names   map[rtc.PeerID]string    // accounts of the peers of the room
}

// run handles what the service sends, until ctx ends, and then closes the viewers. When the service
// is lost for good the connections go on.
func (p *Publisher) run(ctx context.Context) {
	defer close(p.done)
	r := room{viewers: make(map[viewerID]*viewer), absent: make(map[rtc.PeerID]time.Time), names: make(map[rtc.PeerID]string)}
	messages := p.signaling.Messages()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case m, ok := <-messages:
			if !ok {
				messages = nil
				continue
			}
			p.handle(ctx, &r, m)
		case <-tick.C:
			r.sweep()
		}
	}
	for _, v := range r.viewers {
		<-v.done // their context is this one's child
	}
}

// sweep forgets closed viewers and closes those whose peer stays away.
func (r *room) sweep() {
	maps.DeleteFunc(r.viewers, func(_ viewerID, v *viewer) bool { return closed(v) })
	for peer, since := range r.absent {
		if time.Since(since) > absentFor {
			r.end(peer, errPeerGone)
		}
	}
}

func closed(v *viewer) bool {
	select {
	case <-v.done:
		return true
	default:
		return false
	}
}

// end closes the connections of a peer.
func (r *room) end(peer rtc.PeerID, cause error) {
	delete(r.absent, peer)
	for id, v := range r.viewers {
		if id.peer == peer {
			v.end(cause)
		}
	}
}

func (p *Publisher) handle(ctx context.Context, r *room, m rtc.Message) {
	switch m := m.(type) {
	case rtc.Joined:
		r.joined(m)
	case rtc.Presence:
		r.names[m.Peer] = m.Name
		switch m.State {
		case rtc.StateLeft:
			delete(r.names, m.Peer)
			r.end(m.Peer, errLeft)
		case rtc.StateBack, rtc.StateJoined:
			delete(r.absent, m.Peer)
		case rtc.StateLost: // its connections go on
		}
	case rtc.Left:
		if m.Re == "" {
			for _, v := range r.viewers {
				v.end(errRightLost)
			}
		}
	case rtc.Offer:
		if v := p.viewer(ctx, r, viewerID{m.From, m.Connection}); v != nil {
			v.post(func() { v.onOffer(m.SDP) }) //nolint:contextcheck // a camera lives longer than the viewer that starts it
		}
	case rtc.Answer:
		if v := r.viewers[viewerID{m.From, m.Connection}]; v != nil {
			v.post(func() { v.onAnswer(m.SDP) })
		}
	case rtc.Candidate:
		// A candidate that overtook its offer belongs to a connection to come.
		if v := p.viewer(ctx, r, viewerID{m.From, m.Connection}); v != nil {
			v.post(func() { v.onCandidate(m) })
		}
	case rtc.Bye:
		if v := r.viewers[viewerID{m.From, m.Connection}]; v != nil {
			v.end(errBye)
		}
	}
}

// joined compares the list of the room with the connections.
func (r *room) joined(m rtc.Joined) {
	clear(r.names)
	for _, i := range m.Peers {
		r.names[i.Peer] = i.Name
	}
	for id := range r.viewers {
		listed := slices.ContainsFunc(m.Peers, func(i rtc.PeerInfo) bool { return i.Peer == id.peer })
		if _, waiting := r.absent[id.peer]; !listed && !waiting {
			r.absent[id.peer] = time.Now()
		} else if listed {
			delete(r.absent, id.peer)
		}
	}
}

var (
	errTooMany       = errors.New("the gateway has as many viewers as it may have")
	errTooManyOfPeer = errors.New("the peer has as many connections to the gateway as it may have")
	errTooManyOfName = errors.New("the account has as many connections to the gateway as it may have")
)

// maxOfPeer bounds the connections of one peer: a page needs one, and a second one while it
// connects anew.
const maxOfPeer = 4

// full returns why that connection finds no room, or nil. A peer's own connections that were
// never made give way, the oldest first.
func (r *room) full(id viewerID, maxViewers int) error {
	r.sweep()
	var ofPeer, ofName int
	var idle *viewer
	for other, v := range r.viewers {
		if name, known := r.names[id.peer]; known && r.names[other.peer] == name {
			ofName++
		}
		if other.peer != id.peer {
			continue
		}
		ofPeer++
		if !v.made.Load() && v.ctx.Err() == nil && (idle == nil || v.since.Before(idle.since)) {
			idle = v
		}
	}
	switch {
	case ofPeer >= maxOfPeer && idle == nil:
		return errTooManyOfPeer
	case ofPeer >= maxOfPeer:
		idle.end(errGaveWay)
		<-idle.done
		return nil
	case len(r.viewers) >= maxViewers:
		return errTooMany
	case ofName >= max(maxOfPeer, maxViewers/2): // the others have the rest
		return errTooManyOfName
	}
	return nil
}

// viewer returns the viewer of that connection, a new one if there is none and room for it.
func (p *Publisher) viewer(ctx context.Context, r *room, id viewerID) *viewer {
	if v := r.viewers[id]; v != nil && v.ctx.Err() == nil {
		return v
	}
	if reason := r.full(id, p.maxViewers); reason != nil {
		p.metrics.turnedAway.Inc()
		if err := p.signaling.Send(rtc.Bye{To: id.peer, Connection: id.connection, Reason: reason.Error()}); err != nil {
			p.log.Warn("send bye", "error", err)
		}
		return nil
	}
	v := newViewer(ctx, p, id)
	r.viewers[id] = v
	go v.run()
	return v
}
