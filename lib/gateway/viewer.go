package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/webrtc/v4"

	"github.com/insighthub/insighthub/lib/rtc"
	"github.com/insighthub/insighthub/lib/telemetry"
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
	// restartAfter is how long the gateway leaves the restart of a disconnected path to the viewer,
	// which acts after 2 s.
	restartAfter = 5 * time.Second
	// giveUpAfter ends a connection that has failed, or was not made, for so long.
	giveUpAfter = 20 * time.Second
	// answerTimeout is how long an offer of the gateway waits for its answer; it then yields to the
	// viewer's.
	answerTimeout = 5 * time.Second
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

	pc       *webrtc.PeerConnection
	control  *webrtc.DataChannel
	pump     *pump
	sender   *historySender
	requests chan historyRequest
	video    videoTrack
	attach   func(*webrtc.PeerConnection) (View, error)
	workers  sync.WaitGroup

	state    webrtc.PeerConnectionState
	changed  time.Time // when state was entered
	offered  time.Time // when the gateway's own offer was sent; zero: none is open
	early    []rtc.Candidate
	ufrags   []string // of the remote description
	restarts atomic.Uint64
	devices  int // sent in ready

	sending sync.Mutex // an answer or offer goes before its candidates
}

var (
	errBye       = errors.New("the viewer said bye")
	errLeft      = errors.New("the viewer left the room")
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
		changed: time.Now(),
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
	tick := time.NewTicker(500 * time.Millisecond)
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
		v.rollback()
	}
}

// restart offers new ICE credentials, unless an offer is open already.
func (v *viewer) restart() {
	if !v.offered.IsZero() || v.pc.SignalingState() != webrtc.SignalingStateStable {
		return
	}
	v.refreshServers()
	v.offer(&webrtc.OfferOptions{ICERestart: true})
	v.restarts.Add(1)
}

func (v *viewer) offer(options *webrtc.OfferOptions) {
	v.sending.Lock()
	defer v.sending.Unlock()
	sdp, err := v.pc.CreateOffer(options)
	if err == nil {
		err = v.pc.SetLocalDescription(sdp)
	}
	if err != nil {
		v.log.Warn("offer", "error", err)
		return
	}
	v.offered = time.Now()
	v.send(rtc.Offer{To: v.id.peer, Connection: v.id.connection, SDP: sdp.SDP})
}

// rollback withdraws an offer that nobody answers, so that the viewer's is accepted again.
func (v *viewer) rollback() {
	v.offered = time.Time{}
	if v.pc.SignalingState() != webrtc.SignalingStateHaveLocalOffer {
		return
	}
	if err := v.pc.SetLocalDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeRollback}); err != nil {
		v.end(errFailed)
	}
}

// refreshServers replaces the ICE servers by ones with new credentials.
func (v *viewer) refreshServers() {
	servers := v.p.iceServers(v.ctx)
	if err := v.pc.SetConfiguration(v.p.network.configuration(servers)); err != nil {
		v.log.Warn("set ICE servers", "error", err)
	}
}

// onOffer answers the viewer's offer. While an offer of the gateway is open, it is ignored: the
// gateway is the impolite peer, and the viewer answers the gateway's.
func (v *viewer) onOffer(sdp string) {
	if v.pc != nil && v.pc.SignalingState() != webrtc.SignalingStateStable {
		v.log.Info("ignore an offer while the gateway's own is open")
		return
	}
	ufrags := rtc.Ufrags(sdp)
	switch {
	case v.pc == nil:
		if err := v.connect(); err != nil {
			v.log.Warn("create peer connection", "error", err)
			v.end(errFailed)
			return
		}
	case !slices.Equal(ufrags, v.ufrags):
		v.restarts.Add(1)
		v.refreshServers()
	}
	if err := v.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: sdp}); err != nil {
		v.log.Info("reject an offer", "error", err)
		if v.state == webrtc.PeerConnectionStateUnknown || v.state == webrtc.PeerConnectionStateNew {
			v.end(errFailed)
		}
		return
	}
	v.setUfrags(ufrags)
	if err := v.attachVideo(); err != nil {
		v.log.Warn("attach video", "error", err)
	}
	v.answer()
}

func (v *viewer) answer() {
	v.sending.Lock()
	defer v.sending.Unlock()
	answer, err := v.pc.CreateAnswer(nil)
	if err == nil {
		err = v.pc.SetLocalDescription(answer)
	}
	if err != nil {
		v.log.Warn("answer", "error", err)
		v.end(errFailed)
		return
	}
	v.send(rtc.Answer{To: v.id.peer, Connection: v.id.connection, SDP: answer.SDP})
}

func (v *viewer) onAnswer(sdp string) {
	if v.pc == nil || v.pc.SignalingState() != webrtc.SignalingStateHaveLocalOffer {
		v.log.Info("ignore an answer to no offer")
		return
	}
	v.offered = time.Time{}
	if err := v.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: sdp}); err != nil {
		v.log.Info("reject an answer", "error", err)
		v.rollback()
		return
	}
	v.setUfrags(rtc.Ufrags(sdp))
}

// setUfrags starts an ICE generation: candidates that came before their description are added, those
// of other generations dropped.
func (v *viewer) setUfrags(ufrags []string) {
	v.ufrags = ufrags
	early := v.early
	v.early = nil
	for i := range early {
		if u := ufragOf(&early[i]); u == "" || slices.Contains(ufrags, u) {
			v.addCandidate(&early[i])
		}
	}
}

func ufragOf(c *rtc.Candidate) string {
	if c.UsernameFragment != nil && *c.UsernameFragment != "" {
		return *c.UsernameFragment
	}
	return c.Ufrag()
}

func (v *viewer) onCandidate(c rtc.Candidate) {
	u := ufragOf(&c)
	if v.pc == nil || v.pc.RemoteDescription() == nil || u != "" && !slices.Contains(v.ufrags, u) {
		if len(v.early) < maxEarlyCandidates {
			v.early = append(v.early, c)
		}
		return
	}
	v.addCandidate(&c)
}

func (v *viewer) addCandidate(c *rtc.Candidate) {
	init := webrtc.ICECandidateInit{SDPMid: c.SDPMid, SDPMLineIndex: c.SDPMLineIndex, UsernameFragment: c.UsernameFragment}
	if !c.Last() {
		init.Candidate = *c.Candidate
	}
	if err := v.pc.AddICECandidate(init); err != nil {
		v.log.Info("reject a candidate", "error", err)
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

func (v *viewer) onLocalCandidate(c *webrtc.ICECandidate) {
	v.sending.Lock()
	defer v.sending.Unlock()
	m := rtc.Candidate{To: v.id.peer, Connection: v.id.connection}
	if local := v.pc.PendingLocalDescription(); local != nil {
		m.UsernameFragment = firstUfrag(local.SDP)
	} else if local := v.pc.CurrentLocalDescription(); local != nil {
		m.UsernameFragment = firstUfrag(local.SDP)
	}
	if c != nil {
		init := c.ToJSON()
		m.Candidate, m.SDPMid, m.SDPMLineIndex = &init.Candidate, init.SDPMid, init.SDPMLineIndex
	}
	v.send(m)
}

func firstUfrag(sdp string) *string {
	if all := rtc.Ufrags(sdp); len(all) > 0 {
		return &all[0]
	}
	return nil
}

func (v *viewer) onState(s webrtc.PeerConnectionState) {
	if s == v.state {
		return
	}
	v.state, v.changed = s, time.Now()
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

// openChannels creates the three negotiated channels.
func (v *viewer) openChannels() error {
	open := func(label string, id uint16, lossy bool) (*webrtc.DataChannel, error) {
		negotiated, none := true, uint16(0)
		init := &webrtc.DataChannelInit{Negotiated: &negotiated, ID: &id}
		if lossy {
			ordered := false
			init.Ordered, init.MaxRetransmits = &ordered, &none
		}
		return v.pc.CreateDataChannel(label, init)
	}
	control, err := open(rtc.ControlLabel, rtc.ControlChannel, false)
	if err != nil {
		return err
	}
	live, err := open(rtc.LiveLabel, rtc.LiveChannel, true)
	if err != nil {
		return err
	}
	past, err := open(rtc.HistoryLabel, rtc.HistoryChannel, false)
	if err != nil {
		return err
	}
	if v.pump, err = newPump(live, v.p.clock, v.p.heartbeat, v.p.maxAge); err != nil {
		return err
	}
	v.pump.onRefused = func(err error) { v.log.Debug("a frame was refused", "error", err) }
	encoder, err := newEncoder()
	if err != nil {
		return err
	}
	v.sender = &historySender{
		channel: past, history: &v.p.history, room: make(chan struct{}, 1), counts: &v.pump.counts, encoder: encoder,
	}
	past.SetBufferedAmountLowThreshold(historyWindowBytes / 2)
	past.OnBufferedAmountLow(func() {
		select {
		case v.sender.room <- struct{}{}:
		default:
		}
	})
	live.SetBufferedAmountLowThreshold(liveWindowBytes / 2)
	live.OnBufferedAmountLow(v.pump.signal)
	live.OnMessage(v.onLive(live))
	live.OnOpen(func() { v.call(func() { v.workers.Go(func() { v.pump.run(v.ctx) }) }) })
	past.OnOpen(func() { v.call(func() { v.workers.Go(v.serveHistory) }) })
	v.control = control
	control.OnOpen(func() { v.call(v.sendReady) })
	control.OnMessage(func(m webrtc.DataChannelMessage) { v.call(func() { v.onControl(m.Data) }) })
	v.p.addPump(v)
	return nil
}

// onLive answers clock requests at once, on the goroutine that read them: t1 and t2 are as close to
// the wire as the stack allows. It does not wait for the pump, and is silent while the channel is
// stuck, since a late response has a large error.
func (v *viewer) onLive(live *webrtc.DataChannel) func(webrtc.DataChannelMessage) {
	var response []byte
	return func(m webrtc.DataChannelMessage) {
		received := telemetry.MicrosOf(v.p.clock())
		r, err := rtc.DecodeClockRequest(m.Data)
		if err != nil || !v.pump.hasRoom() {
			return
		}
		answer := rtc.ClockResponse{ID: r.ID, T0: r.T0, T1: received, T2: telemetry.MicrosOf(v.p.clock())}
		response = rtc.AppendClockResponse(response[:0], answer)
		if live.Send(response) == nil {
			v.pump.counts.clocks.Add(1)
		}
	}
}

func (v *viewer) onControl(text []byte) {
	r, err := decodeRequest(text, v.p.historyLength.Seconds())
	if err == nil {
		err = v.handle(r)
	}
	if err == nil {
		return
	}
	var coded *controlError
	if !errors.As(err, &coded) {
		v.log.Error("control message", "type", r.Type, "error", err)
		coded = controlErrorf(codeInternal, r.ID, "the gateway could not do it")
	}
	v.reply(coded)
}

func (v *viewer) handle(r request) error {
	switch r.Type {
	case "subscribe":
		var interval time.Duration
		if r.MaxHz != nil {
			interval = time.Duration(float64(time.Second) / *r.MaxHz)
		}
		v.pump.subscribe(v.p.selection(r.Devices), interval)
	case "unsubscribe":
		v.pump.unsubscribe()
	case "history":
		since := telemetry.MicrosOf(v.p.clock()) - telemetry.Micros(*r.Seconds*1e6)
		select {
		case v.requests <- historyRequest{id: *r.ID, since: since, selection: v.p.selection(r.Devices)}:
		default:
			return controlErrorf(codeTooMany, r.ID, "%d history requests wait already", maxHistoryRequests)
		}
	case "stats":
		v.reply(statsMessage{"stats", v.stats()})
	case "cameras":
		v.sendReady()
	case "camera":
		return v.showCamera(r)
	}
	return nil
}

// reply sends a control message. A viewer that does not read them is closed, since the reliable
// channel would grow without bound.
func (v *viewer) reply(m any) {
	const maxBuffered = 1 << 20
	text, err := json.Marshal(m)
	if err == nil {
		err = v.control.SendText(string(text))
	}
	if err != nil {
		v.log.Info("reply", "error", err)
	}
	if v.control.BufferedAmount() > maxBuffered {
		v.end(errFlood)
	}
}

func (v *viewer) sendReady() {
	if v.control.ReadyState() != webrtc.DataChannelStateOpen {
		return
	}
	devices := v.p.deviceNames()
	v.devices = len(devices)
	v.reply(ready{
		Type: "ready", Gateway: v.p.gateway, Version: protocolLevel, Devices: devices[:min(len(devices), maxDevices)],
		DevicesTotal: len(devices), Cameras: v.p.cameraInfos(),
	})
}

// serveHistory responds to history requests, one after the other.
func (v *viewer) serveHistory() {
	for {
		select {
		case <-v.ctx.Done():
			return
		case r := <-v.requests:
			events, frames, err := v.sender.send(v.ctx, r)
			if err != nil {
				if v.ctx.Err() == nil {
					v.log.Info("history", "error", err)
				}
				continue
			}
			v.call(func() { v.reply(historyDone{"history", r.id, events, frames, true}) })
		}
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
