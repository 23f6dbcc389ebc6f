package gatewaytest

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/insighthub/insighthub/lib/rtc"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// TB is the part of testing.TB that is used here.
type TB interface {
	Helper()
	Fatal(args ...any)
	Cleanup(f func())
	Logf(format string, args ...any)
}

// Reading is an event as a viewer got it.
type Reading struct {
	telemetry.Event
	Read    telemetry.Micros // by the gateway's clock
	Sent    telemetry.Micros
	Arrived time.Time
}

// Options configure a Viewer.
type Options struct {
	ID         rtc.PeerID // "viewer" by default
	Connection rtc.ConnectionID
	Settings   webrtc.SettingEngine
	Config     webrtc.Configuration
	Video      bool // offers to receive video
	// OnReading is called for each live event, on the channel's goroutine; a slow one is a slow viewer.
	OnReading func(Reading)
	// Discard does not remember readings.
	Discard bool
}

// Viewer is a peer with the three channels, by pion. It must not offer while the gateway does: pion cannot
// roll an offer back.
type Viewer struct {
	ID         rtc.PeerID
	Connection rtc.ConnectionID
	PC         *webrtc.PeerConnection
	Control    *webrtc.DataChannel
	Live       *webrtc.DataChannel
	History    *webrtc.DataChannel

	room    *Room
	options Options
	inbox   chan rtc.Message
	quit    chan struct{}
	done    chan struct{}
	decoder *telemetry.Decoder

	mu         sync.Mutex
	making     bool
	early      []webrtc.ICECandidateInit
	readings   []Reading
	past       map[uint32][]telemetry.Event
	lasts      map[uint32]int
	controls   []map[string]any
	heartbeats int
	lastFrame  time.Time
	clocks     []rtc.ClockResponse
	arrivals   []telemetry.Micros
	seqs       []uint32
	states     []webrtc.PeerConnectionState
	bye        string
	byes       int
	faults     []error
}

// NewViewer returns a viewer of the room that has not offered yet.
func NewViewer(t TB, room *Room, o Options) *Viewer {
	t.Helper()
	if o.ID == "" {
		o.ID = "viewer"
	}
	if o.Connection == "" {
		o.Connection = "c1"
	}
	media := &webrtc.MediaEngine{}
	if err := media.RegisterDefaultCodecs(); err != nil {
		t.Fatal(err)
	}
	pc, err := webrtc.NewAPI(webrtc.WithSettingEngine(o.Settings), webrtc.WithMediaEngine(media)).NewPeerConnection(o.Config)
	if err != nil {
		t.Fatal(err)
	}
	decoder, err := telemetry.NewDecoder(telemetry.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	v := &Viewer{
		ID: o.ID, Connection: o.Connection, PC: pc, room: room, options: o, inbox: make(chan rtc.Message, 4096),
		quit: make(chan struct{}), done: make(chan struct{}), decoder: decoder,
		past: make(map[uint32][]telemetry.Event), lasts: make(map[uint32]int),
	}
	v.Control = v.channel(t, rtc.ControlLabel, rtc.ControlChannel)
	v.Live = v.live(t)
	v.History = v.channel(t, rtc.HistoryLabel, rtc.HistoryChannel)
	if o.Video {
		if _, err := pc.AddTransceiverFromKind(webrtc.RTPCodecTypeVideo, webrtc.RTPTransceiverInit{
			Direction: webrtc.RTPTransceiverDirectionRecvonly,
		}); err != nil {
			t.Fatal(err)
		}
	}
	v.Control.OnMessage(v.onControl)
	v.Live.OnMessage(v.onLive)
	v.History.OnMessage(v.onHistory)
	pc.OnConnectionStateChange(func(s webrtc.PeerConnectionState) {
		v.mu.Lock()
		v.states = append(v.states, s)
		v.mu.Unlock()
	})
	pc.OnICECandidate(func(c *webrtc.ICECandidate) {
		m := rtc.Candidate{From: v.ID, Connection: v.Connection}
		if c != nil {
			init := c.ToJSON()
			m.Candidate, m.SDPMid, m.SDPMLineIndex = &init.Candidate, init.SDPMid, init.SDPMLineIndex
		}
		room.ToGateway(m)
	})
	room.add(v)
	go v.run()
	t.Cleanup(v.Close)
	return v
}

func (v *Viewer) channel(t TB, label string, id uint16) *webrtc.DataChannel {
	t.Helper()
	negotiated := true
	ch, err := v.PC.CreateDataChannel(label, &webrtc.DataChannelInit{Negotiated: &negotiated, ID: &id})
	if err != nil {
		t.Fatal(err)
	}
	return ch
}

func (v *Viewer) live(t TB) *webrtc.DataChannel {
	t.Helper()
	ordered, none := false, uint16(0)
	ch, err := v.PC.CreateDataChannel(rtc.LiveLabel, &webrtc.DataChannelInit{Ordered: &ordered, MaxRetransmits: &none})
	if err != nil {
		t.Fatal(err)
	}
	return ch
}

// Offer starts the connection, or with restart a new ICE generation.
func (v *Viewer) Offer(restart bool) error {
	v.mu.Lock()
	v.making = true
	v.mu.Unlock()
	defer func() {
		v.mu.Lock()
		v.making = false
		v.mu.Unlock()
	}()
	var options *webrtc.OfferOptions
	if restart {
		options = &webrtc.OfferOptions{ICERestart: true}
	}
	offer, err := v.PC.CreateOffer(options)
	if err != nil {
		return err
	}
	// The offer goes before its candidates.
	v.room.ToGateway(rtc.Offer{From: v.ID, Connection: v.Connection, SDP: offer.SDP})
	return v.PC.SetLocalDescription(offer)
}

// run handles what the gateway sends.
func (v *Viewer) run() {
	defer close(v.done)
	for {
		select {
		case <-v.quit:
			return
		case m := <-v.inbox:
			if err := v.handle(m); err != nil {
				v.mu.Lock()
				v.faults = append(v.faults, fmt.Errorf("%s: %w", m.Type(), err))
				v.mu.Unlock()
			}
		}
	}
}

func (v *Viewer) handle(m rtc.Message) error {
	switch m := m.(type) {
	case rtc.Answer:
		if v.PC.SignalingState() != webrtc.SignalingStateHaveLocalOffer {
			return nil // to an offer that was withdrawn
		}
		return v.describe(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: m.SDP})
	case rtc.Offer:
		if v.PC.SignalingState() != webrtc.SignalingStateStable {
			return nil // a polite peer would roll its offer back, which pion cannot
		}
		if err := v.describe(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: m.SDP}); err != nil {
			return err
		}
		answer, err := v.PC.CreateAnswer(nil)
		if err != nil {
			return err
		}
		v.room.ToGateway(rtc.Answer{From: v.ID, Connection: v.Connection, SDP: answer.SDP})
		return v.PC.SetLocalDescription(answer)
	case rtc.Candidate:
		init := webrtc.ICECandidateInit{SDPMid: m.SDPMid, SDPMLineIndex: m.SDPMLineIndex}
		if m.Candidate != nil {
			init.Candidate = *m.Candidate
		}
		if v.PC.RemoteDescription() == nil {
			v.early = append(v.early, init)
			return nil
		}
		return v.PC.AddICECandidate(init)
	case rtc.Bye:
		v.mu.Lock()
		v.bye = m.Reason
		v.byes++
		v.mu.Unlock()
	}
	return nil
}

func (v *Viewer) describe(d webrtc.SessionDescription) error {
	if err := v.PC.SetRemoteDescription(d); err != nil {
		return err
	}
	for _, c := range v.early {
		if err := v.PC.AddICECandidate(c); err != nil {
			return err
		}
	}
	v.early = nil
	return nil
}

// SendControl sends a control message.
func (v *Viewer) SendControl(m map[string]any) error {
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return v.Control.SendText(string(text))
}

func (v *Viewer) onControl(m webrtc.DataChannelMessage) {
	var out map[string]any
	err := json.Unmarshal(m.Data, &out)
	v.mu.Lock()
	defer v.mu.Unlock()
	if err != nil {
		v.faults = append(v.faults, err)
		return
	}
	v.controls = append(v.controls, out)
}

func (v *Viewer) onLive(m webrtc.DataChannelMessage) {
	arrived := time.Now()
	readings, err := v.readLive(m.Data, arrived)
	if err != nil {
		v.mu.Lock()
		v.faults = append(v.faults, err)
		v.mu.Unlock()
	}
	if v.options.OnReading != nil {
		for _, r := range readings {
			v.options.OnReading(r)
		}
	}
}

func (v *Viewer) readLive(frame []byte, arrived time.Time) ([]Reading, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.lastFrame = arrived
	switch rtc.FrameKind(frame[0]) {
	case rtc.FrameHeartbeat:
		v.heartbeats++
		return nil, nil
	case rtc.FrameClockResponse:
		c, err := rtc.DecodeClockResponse(frame)
		if err == nil {
			v.clocks, v.arrivals = append(v.clocks, c), append(v.arrivals, telemetry.MicrosOf(arrived))
		}
		return nil, err
	case rtc.FrameLive:
	default:
		return nil, fmt.Errorf("frame of kind %d", frame[0])
	}
	var f rtc.LiveFrame
	if err := rtc.DecodeLive(frame, &f); err != nil {
		return nil, err
	}
	if len(frame) > rtc.LiveFrameBytes {
		return nil, fmt.Errorf("live frame of %d bytes", len(frame))
	}
	var b telemetry.Batch
	if err := v.decoder.Decode(f.Record, &b); err != nil {
		return nil, err
	}
	if b.Len() != len(f.Ages) {
		return nil, fmt.Errorf("%d ages for %d events", len(f.Ages), b.Len())
	}
	v.seqs = append(v.seqs, f.Seq)
	var out []Reading
	for i := range b.Len() {
		out = append(out, Reading{b.Event(i), f.Sent - telemetry.Micros(f.Ages[i]), f.Sent, arrived})
	}
	if !v.options.Discard {
		v.readings = append(v.readings, out...)
	}
	return out, nil
}

func (v *Viewer) onHistory(m webrtc.DataChannelMessage) {
	v.mu.Lock()
	defer v.mu.Unlock()
	h, err := rtc.DecodeHistory(m.Data)
	var b telemetry.Batch
	if err == nil {
		err = v.decoder.Decode(h.Record, &b)
	}
	if err != nil {
		v.faults = append(v.faults, err)
		return
	}
	for i := range b.Len() {
		v.past[h.Request] = append(v.past[h.Request], b.Event(i))
	}
	if h.Last {
		v.lasts[h.Request]++
	}
}

// AskClock sends a clock request of now.
func (v *Viewer) AskClock(id uint32) error {
	return v.Live.Send(rtc.AppendClockRequest(nil, rtc.ClockRequest{ID: id, T0: telemetry.MicrosOf(time.Now())}))
}

// Readings returns the live events so far.
func (v *Viewer) Readings() []Reading {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.readings)
}

// Controls returns the control messages of a type.
func (v *Viewer) Controls(kind string) []map[string]any {
	v.mu.Lock()
	defer v.mu.Unlock()
	var out []map[string]any
	for _, m := range v.controls {
		if m["type"] == kind {
			out = append(out, m)
		}
	}
	return out
}

// Past returns the events of a history request, and how many of its frames were marked as the last.
func (v *Viewer) Past(id uint32) ([]telemetry.Event, int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.past[id]), v.lasts[id]
}

// Clocks returns the clock responses and their times of arrival.
func (v *Viewer) Clocks() ([]rtc.ClockResponse, []telemetry.Micros) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.clocks), slices.Clone(v.arrivals)
}

// Seqs returns the numbers of the live frames in the order of arrival.
func (v *Viewer) Seqs() []uint32 {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.seqs)
}

// Heartbeats returns the number of heartbeats.
func (v *Viewer) Heartbeats() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.heartbeats
}

// LastFrame returns when the last frame of any kind came on the live channel.
func (v *Viewer) LastFrame() time.Time {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.lastFrame
}

// States returns the states of the connection so far.
func (v *Viewer) States() []webrtc.PeerConnectionState {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.states)
}

// Bye returns the reason of the gateway's bye, and whether there was one.
func (v *Viewer) Bye() (string, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.bye, v.byes > 0
}

// Faults returns what the gateway did wrong.
func (v *Viewer) Faults() []error {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.faults)
}

// Close closes the viewer's peer connection. It may be called twice.
func (v *Viewer) Close() {
	v.mu.Lock()
	select {
	case <-v.quit:
		v.mu.Unlock()
		return
	default:
		close(v.quit)
	}
	v.mu.Unlock()
	<-v.done
	v.PC.GracefulClose() //nolint:errcheck // nothing to lose
}
