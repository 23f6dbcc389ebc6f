package gateway

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/webrtc/v4"

	"github.com/insighthub/insighthub/lib/gateway/video"
	"github.com/insighthub/insighthub/lib/rtc"
)

// viewerID names a viewer's connection.
type viewerID struct {
	peer       rtc.PeerID
	connection rtc.ConnectionID
}

const (
	inboxSize = 256
	// maxEarlyCandidates are remembered until their description comes.
	maxEarlyCandidates = 64
	// restartAfter is how long a path is left to recover by itself. A viewer in Chromium, which sees
	// the failure after 6 s, acts later.
	restartAfter = time.Second
	// giveUpAfter ends a connection that has failed, or was not made, for so long.
	giveUpAfter = 20 * time.Second
	// answerTimeout is how long an offer of the gateway waits for its answer before it is sent again.
	answerTimeout = 3 * time.Second
	iceTimeout    = 5 * time.Second
)

// viewer is one peer connection. Its goroutine, run, owns all fields but those marked; other
// goroutines put functions into its inbox.
type viewer struct {
	p     *Publisher
	id    viewerID
	log   *slog.Logger
	inbox chan func()
	ctx   context.Context //nolint:containedctx // the life of the viewer's goroutines
	end   context.CancelCauseFunc
	done  chan struct{} // closed when run has returned
	since time.Time
	made  atomic.Bool // the connection was made once

	pc        *webrtc.PeerConnection
	control   *webrtc.DataChannel
	hasLive   atomic.Bool // pion's goroutines
	pump      *pump
	sender    *historySender
	requests  chan historyRequest
	bandwidth *video.Bandwidth
	video     *video.Viewer // nil: the viewer has not offered to receive video
	workers   sync.WaitGroup

	state    webrtc.PeerConnectionState
	changed  time.Time // when state was entered
	offered  time.Time // when the gateway's own offer was sent; zero: none is open
	early    []rtc.Candidate
	ufrags   []string // of the remote description
	restarts atomic.Uint64
	devices  int // sent in ready

	sending sync.Mutex // guards what follows; an answer or offer goes before its candidates
	holding bool
	held    []rtc.Candidate
}

var (
	errBye       = errors.New("the viewer said bye")
	errLeft      = errors.New("the viewer left the room")
	errGaveWay   = errors.New("a newer connection of the same peer took its place")
	errPeerGone  = errors.New("the viewer did not come back")
	errFailed    = errors.New("the connection failed")
	errStopped   = errors.New("the gateway stops")
	errFlood     = errors.New("the viewer sends faster than its messages can be handled")
	errRightLost = errors.New("the gateway's right to the room ended")
)

func newViewer(ctx context.Context, p *Publisher, id viewerID) *viewer {
	v := &viewer{
		p: p, id: id, log: p.log.With("peer", string(id.peer), "connection", string(id.connection)),
		inbox: make(chan func(), inboxSize), done: make(chan struct{}), requests: make(chan historyRequest, maxHistoryRequests),
		since: time.Now(), changed: time.Now(),
	}
	v.ctx, v.end = context.WithCancelCause(ctx)
	return v
}

// post hands f to run without waiting. A viewer that fills its inbox is closed.
func (v *viewer) post(f func()) {
	select {
	case v.inbox <- f:
	default:
		v.end(errFlood)
	}
}

// call hands f to run and waits for room; for pion's goroutines, so that a flood on a channel is
// held back at its source.
func (v *viewer) call(f func()) {
	select {
	case v.inbox <- f:
	case <-v.ctx.Done():
	}
}

// run owns the viewer until it is closed.
func (v *viewer) run() {
	defer close(v.done)
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for v.ctx.Err() == nil {
		select {
		case f := <-v.inbox:
			f()
		case <-tick.C:
			v.check()
		case <-v.ctx.Done():
		}
	}
	v.close(context.Cause(v.ctx))
}

func (v *viewer) close(cause error) {
	v.p.removePump(v)
	if v.pc != nil {
		if v.video != nil {
			v.video.Close() //nolint:errcheck // it ends with the connection
		}
		// The peer sees the end at once by DTLS's close; bye is for one that has no path to it.
		if err := v.pc.GracefulClose(); err != nil {
			v.log.Warn("close peer connection", "error", err)
		}
	}
	v.workers.Wait()
	if !errors.Is(cause, errBye) && !errors.Is(cause, errLeft) && !errors.Is(cause, errPeerGone) {
		v.send(rtc.Bye{To: v.id.peer, Connection: v.id.connection, Reason: cause.Error()})
	}
	v.log.Info("viewer closed", "cause", cause.Error(), "events", v.stats().Delivered)
}

func (v *viewer) send(m rtc.Message) {
	if err := v.p.signaling.Send(m); err != nil {
		v.log.Warn("send signaling message", "type", m.Type(), "error", err)
	}
}

// check acts on what the peer connection does not report by itself.
func (v *viewer) check() {
	if v.pc == nil {
		return
	}
	if v.devices != v.p.deviceCount() {
		v.sendReady()
	}
	inState := time.Since(v.changed)
	switch v.state {
	case webrtc.PeerConnectionStateDisconnected:
		if inState > restartAfter {
			v.restart()
		}
	case webrtc.PeerConnectionStateFailed:
		if inState > giveUpAfter {
			v.end(errFailed)
			return
		}
		v.restart()
	case webrtc.PeerConnectionStateNew, webrtc.PeerConnectionStateConnecting, webrtc.PeerConnectionStateUnknown:
		if inState > giveUpAfter {
			v.end(errFailed)
			return
		}
	case webrtc.PeerConnectionStateConnected, webrtc.PeerConnectionStateClosed:
	}
	if !v.offered.IsZero() && time.Since(v.offered) > answerTimeout {
		v.repeat()
	}
}

// connect creates the peer connection and its channels.
func (v *viewer) connect() error {
	pc, err := v.p.network.newPeerConnection(v.p.iceServers(v.ctx), func(m *webrtc.MediaEngine, r *interceptor.Registry) error {
		return v.prepareVideo(m, r)
	})
	if err != nil {
		return err
	}
	v.pc = pc
	pc.OnICECandidate(v.onLocalCandidate)
	pc.OnConnectionStateChange(func(s webrtc.PeerConnectionState) { v.call(func() { v.onState(s) }) })
	pc.OnNegotiationNeeded(func() {
		v.call(func() {
			// Before the first answer the viewer's offer is what negotiates.
			if v.pc.RemoteDescription() != nil && v.pc.SignalingState() == webrtc.SignalingStateStable && v.offered.IsZero() {
				v.offer(nil)
			}
		})
	})
	return v.openChannels()
}

func (v *viewer) onState(s webrtc.PeerConnectionState) {
	if s == v.state {
		return
	}
	v.state, v.changed = s, time.Now()
	if s == webrtc.PeerConnectionStateConnected {
		v.made.Store(true)
	}
	v.log.Info("connection state", "state", s.String())
	switch s {
	case webrtc.PeerConnectionStateFailed:
		v.restart()
	case webrtc.PeerConnectionStateClosed:
		v.end(errBye)
	case webrtc.PeerConnectionStateUnknown, webrtc.PeerConnectionStateNew, webrtc.PeerConnectionStateConnecting,
		webrtc.PeerConnectionStateConnected, webrtc.PeerConnectionStateDisconnected:
	}
}

func (v *viewer) stats() Stats {
	if v.pump == nil {
		return Stats{}
	}
	c := &v.pump.counts
	return Stats{
		Delivered: c.events.Load(), Frames: c.frames.Load(), Bytes: c.bytes.Load(), Superseded: v.pump.superseded(),
		Refused: c.refused.Load(), Heartbeats: c.heartbeats.Load(), Clocks: c.clocks.Load(), History: c.history.Load(),
		Restarts: v.restarts.Load(),
	}
}
