package gateway

import (
	"slices"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/insighthub/insighthub/lib/rtc"
)

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
	sdp, err := v.pc.CreateOffer(options)
	if err == nil {
		err = v.describe(sdp, rtc.Offer{To: v.id.peer, Connection: v.id.connection, SDP: sdp.SDP})
	}
	if err != nil {
		v.log.Warn("offer", "error", err)
		return
	}
	v.offered = time.Now()
}

// describe sets the local description and sends its message. Candidates are sent after it: pion
// reports them from other goroutines, and from within SetLocalDescription.
func (v *viewer) describe(sdp webrtc.SessionDescription, m rtc.Message) error {
	v.sending.Lock()
	v.holding = true
	v.sending.Unlock()
	err := v.pc.SetLocalDescription(sdp)
	if err == nil {
		v.send(m)
	}
	v.sending.Lock()
	defer v.sending.Unlock()
	for _, c := range v.held {
		v.send(c)
	}
	v.held, v.holding = nil, false
	return err
}

// repeat sends the open offer again, with the candidates so far: the viewer may not have got it. pion
// can withdraw no offer (it rejects every rollback), so what was offered must be answered.
func (v *viewer) repeat() {
	if local := v.pc.PendingLocalDescription(); local != nil {
		v.offered = time.Now()
		v.send(rtc.Offer{To: v.id.peer, Connection: v.id.connection, SDP: local.SDP})
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
// gateway is the impolite peer, and the viewer answers the gateway's, which it may not have got yet.
func (v *viewer) onOffer(sdp string) {
	if v.pc != nil && v.pc.SignalingState() != webrtc.SignalingStateStable {
		v.log.Info("ignore an offer while the gateway's own is open")
		v.repeat()
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
	answer, err := v.pc.CreateAnswer(nil)
	if err == nil {
		err = v.describe(answer, rtc.Answer{To: v.id.peer, Connection: v.id.connection, SDP: answer.SDP})
	}
	if err != nil {
		v.log.Warn("answer", "error", err)
		v.end(errFailed)
	}
}

func (v *viewer) onAnswer(sdp string) {
	if v.pc == nil || v.pc.SignalingState() != webrtc.SignalingStateHaveLocalOffer {
		v.log.Info("ignore an answer to no offer")
		return
	}
	v.offered = time.Time{}
	if err := v.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: sdp}); err != nil {
		v.log.Info("reject an answer", "error", err)
		v.repeat()
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

func (v *viewer) onLocalCandidate(c *webrtc.ICECandidate) {
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
	v.sending.Lock()
	defer v.sending.Unlock()
	if v.holding {
		v.held = append(v.held, m)
		return
	}
	v.send(m)
}

func firstUfrag(sdp string) *string {
	if all := rtc.Ufrags(sdp); len(all) > 0 {
		return &all[0]
	}
	return nil
}
