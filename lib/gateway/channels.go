package gateway

import (
	"encoding/json"
	"errors"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/insighthub/insighthub/lib/rtc"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// openChannels creates the negotiated channels, and waits for the live channel, which the viewer opens:
// pion sends on a negotiated channel as if it were reliable and ordered, whatever it was created with,
// and takes the reliability of a channel only from the message that opens it.
func (v *viewer) openChannels() error {
	open := func(label string, id uint16) (*webrtc.DataChannel, error) {
		negotiated := true
		return v.pc.CreateDataChannel(label, &webrtc.DataChannelInit{Negotiated: &negotiated, ID: &id})
	}
	var err error
	if v.control, err = open(rtc.ControlLabel, rtc.ControlChannel); err != nil {
		return err
	}
	past, err := open(rtc.HistoryLabel, rtc.HistoryChannel)
	if err != nil {
		return err
	}
	if v.pump, err = newPump(v.p.clock, v.p.heartbeat, v.p.maxAge); err != nil {
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
	past.OnOpen(func() { v.call(func() { v.workers.Go(v.serveHistory) }) })
	v.control.OnOpen(func() { v.call(v.sendReady) })
	v.control.OnMessage(func(m webrtc.DataChannelMessage) { v.call(func() { v.onControl(m.Data) }) })
	v.pc.OnDataChannel(v.onDataChannel)
	v.p.addPump(v)
	return nil
}

// onDataChannel takes the live channel. It runs on a goroutine of pion, one channel after the other.
func (v *viewer) onDataChannel(d *webrtc.DataChannel) {
	lossy := !d.Ordered() && d.MaxRetransmits() != nil && *d.MaxRetransmits() == 0
	if d.Label() != rtc.LiveLabel || !lossy || v.hasLive.Swap(true) {
		v.log.Info("close a data channel that is not the live one", "label", d.Label())
		d.Close() //nolint:errcheck // its end is all that is wanted
		return
	}
	d.SetBufferedAmountLowThreshold(liveWindowBytes / 2)
	d.OnBufferedAmountLow(v.pump.signal)
	d.OnMessage(v.onLive(d))
	d.OnOpen(func() {
		v.call(func() {
			v.workers.Go(func() { v.pump.run(v.ctx, d) })
		})
	})
}

// onLive answers clock requests at once, on the goroutine that read them: t1 and t2 are as close to
// the wire as the stack allows. It does not wait for the pump, and is silent while the channel is
// stuck, since a late response has a large error.
func (v *viewer) onLive(live *webrtc.DataChannel) func(webrtc.DataChannelMessage) {
	var response []byte
	return func(m webrtc.DataChannelMessage) {
		received := telemetry.MicrosOf(v.p.clock())
		r, err := rtc.DecodeClockRequest(m.Data)
		if err != nil || live.BufferedAmount() >= liveWindowBytes {
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
		v.replyStats()
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

func (v *viewer) replyStats() {
	m := statsMessage{Type: "stats", Stats: v.stats()}
	if v.video != nil {
		s := v.video.Stats()
		m.Video = &s
	}
	v.reply(m)
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
