package video

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

// track is the local track of one viewer. Its owner is the viewer's pump; Bind and Unbind come from the peer connection.
type track struct {
	bound atomic.Pointer[binding]

	sequence uint16
	ticks    int64 // the last RTP timestamp before it is cut to 32 bits
	shift    int64 // ticks added to the clock's
	started  bool
}

// binding is what the peer agreed to.
type binding struct {
	formats      []format
	ssrc         webrtc.SSRC
	playoutDelay uint8 // the id of the header extension, 0 = not agreed
	writer       webrtc.TrackLocalWriter
}

var _ webrtc.TrackLocal = (*track)(nil)

func (t *track) ID() string                { return "camera" }
func (t *track) RID() string               { return "" }
func (t *track) StreamID() string          { return "camera" }
func (t *track) Kind() webrtc.RTPCodecType { return webrtc.RTPCodecTypeVideo }

func (t *track) Bind(c webrtc.TrackLocalContext) (webrtc.RTPCodecParameters, error) {
	b := &binding{formats: formats(c.CodecParameters()), ssrc: c.SSRC(), writer: c.WriteStream()}
	for _, e := range c.HeaderExtensions() {
		if e.URI == playoutDelayURI && e.ID > 0 && e.ID < 15 {
			b.playoutDelay = uint8(e.ID)
		}
	}
	if len(b.formats) == 0 {
		return webrtc.RTPCodecParameters{}, fmt.Errorf("%w: neither VP8 nor H.264 in packetization mode 1", webrtc.ErrUnsupportedCodec)
	}
	t.bound.Store(b)
	for _, p := range c.CodecParameters() {
		if p.PayloadType == b.formats[0].payload {
			return p, nil
		}
	}
	return webrtc.RTPCodecParameters{}, webrtc.ErrUnsupportedCodec
}

func (t *track) Unbind(webrtc.TrackLocalContext) error {
	t.bound.Store(nil)
	return nil
}

// stamp advances the RTP timestamp to a moment of the 90 kHz clock and returns it. It always moves forward; a clock that is set back by
// more than 10 s goes on from there.
func (t *track) stamp(at time.Time) uint32 {
	ticks := at.UnixMicro()*9/100 + t.shift
	if t.started && ticks <= t.ticks {
		if t.ticks-ticks > 10*90_000 {
			t.shift += t.ticks + 1 - ticks
		}
		ticks = t.ticks + 1
	}
	t.ticks, t.started = ticks, true
	return uint32(ticks)
}

// write sends one RTP packet.
func (t *track) write(b *binding, payloadType webrtc.PayloadType, timestamp uint32, last bool, payload []byte) error {
	h := &rtp.Header{
		Version: 2, PayloadType: uint8(payloadType), SequenceNumber: t.sequence, Timestamp: timestamp, Marker: last,
		SSRC: uint32(b.ssrc),
	}
	t.sequence++
	if b.playoutDelay != 0 {
		if err := h.SetExtension(b.playoutDelay, []byte{0, 0, 0}); err != nil { // both 0
			return err
		}
	}
	_, err := b.writer.WriteRTP(h, payload)
	return err
}
