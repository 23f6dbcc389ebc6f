// Package rtpin takes cameras that send RTP: plainly over UDP, or by RTSP. It puts packets in order, makes frames of them, and lets no
// frame through that refers to a lost one.
package rtpin

import (
	"errors"
	"slices"
	"time"

	"github.com/bluenviron/gortsplib/v5/pkg/format/rtph264"
	"github.com/bluenviron/gortsplib/v5/pkg/format/rtpvp8"
	"github.com/pion/rtp"
	"github.com/pion/rtp/codecs"

	"github.com/insighthub/insighthub/lib/gateway/video"
)

// A packet that is missing is waited for until this many later ones are there, or the first of them has waited for reorderTime: long
// enough for a retransmission on a local network.
const (
	reorderPackets = 128
	reorderTime    = 60 * time.Millisecond
	// prefixUnits bounds the parameter sets and other units that may come in packets of their own before a picture.
	prefixUnits = 16
)

// Assembler makes frames of the RTP packets of one stream. It is not safe for concurrent use.
type Assembler struct {
	codec video.Codec
	h264  *rtph264.Decoder
	vp8   *rtpvp8.Decoder
	// lost is called when frames are missing, until a key frame comes: at each packet, so it limits itself.
	lost func()

	started bool
	next    uint16 // the sequence number that is due
	held    map[uint16]held
	since   time.Time // when the oldest held packet came

	broken bool      // until a key frame
	first  time.Time // when the first packet of the frame came
	prefix [][]byte  // units that came before their picture
	// skipping: packets are passed over until a key frame begins.
	skipping bool
	inBand   bool // H.264 parameter sets come in the stream
}

type held struct {
	packet *rtp.Packet
	at     time.Time
}

// NewAssembler returns an assembler of H.264 (RFC 6184, packetization modes 0 and 1) or VP8 (RFC 7741). lost may be nil.
func NewAssembler(codec video.Codec, lost func()) *Assembler {
	if lost == nil {
		lost = func() {}
	}
	a := &Assembler{codec: codec, lost: lost, held: map[uint16]held{}, broken: true, skipping: true}
	a.reset()
	return a
}

// reset forgets the frame that is not complete.
func (a *Assembler) reset() {
	// Init of these decoders fails only for packetization mode 2.
	a.h264, a.vp8, a.first = &rtph264.Decoder{PacketizationMode: 1}, &rtpvp8.Decoder{}, time.Time{}
	_ = a.h264.Init()
	_ = a.vp8.Init()
}

// Push takes a packet that came at a time, and returns the frames that are complete, in order. The first is a key frame. The packet is
// given away.
func (a *Assembler) Push(p *rtp.Packet, at time.Time) []*video.Frame {
	if !a.started {
		a.started, a.next = true, p.SequenceNumber
	}
	ahead := int16(p.SequenceNumber - a.next)
	switch {
	case ahead < -reorderPackets || ahead > 16*reorderPackets:
		// The sender started over.
		clear(a.held)
		a.gap()
		a.next = p.SequenceNumber
	case ahead < 0:
		return nil // too late, or a duplicate
	}
	if len(a.held) == 0 {
		a.since = at
	}
	a.held[p.SequenceNumber] = held{p, at}
	frames := a.drain()
	for len(a.held) > 0 && (len(a.held) >= reorderPackets || at.Sub(a.since) >= reorderTime) {
		a.gap()
		for _, there := a.held[a.next]; !there; _, there = a.held[a.next] {
			a.next++
		}
		frames = append(frames, a.drain()...)
	}
	if a.broken {
		a.lost()
	}
	return frames
}

// gap notes that packets are lost. The next may be the rest of a frame.
func (a *Assembler) gap() {
	a.broken, a.skipping = true, true
	a.prefix = nil
	a.reset()
}

// drain takes the packets that are in order.
func (a *Assembler) drain() []*video.Frame {
	var frames []*video.Frame
	for {
		h, ok := a.held[a.next]
		if !ok {
			break
		}
		delete(a.held, a.next)
		a.next++
		if f := a.take(h); f != nil {
			frames = append(frames, f)
		}
	}
	if len(a.held) > 0 {
		first := time.Time{}
		for _, h := range a.held {
			if first.IsZero() || h.at.Before(first) {
				first = h.at
			}
		}
		a.since = first
	}
	return frames
}

// take depacketizes one packet, and returns the frame that it completes, if it can be decoded.
func (a *Assembler) take(h held) *video.Frame {
	if len(h.packet.Payload) == 0 {
		return nil // a probe, or padding
	}
	if a.skipping {
		if !a.startsKeyFrame(h.packet.Payload) {
			return nil
		}
		a.skipping = false
	}
	if a.first.IsZero() {
		a.first = h.at
	}
	units, err := a.decode(h.packet)
	if err != nil {
		if needsMore(err) && !h.packet.Marker {
			return nil
		}
		a.gap()
		return nil
	}
	first := a.first
	a.first = time.Time{}
	if !h.packet.Marker {
		a.first = h.at // it ended the frame before its own
	}
	units = append(a.prefix, units...)
	a.prefix = nil
	f, ok := video.NewFrame(a.codec, units, first)
	switch {
	case !ok:
		if a.codec == video.H264 && len(units) <= prefixUnits {
			a.prefix = slices.Clip(units)
		}
		return nil
	case f.Key:
		a.broken = false
	}
	if a.broken {
		return nil
	}
	return f
}

func (a *Assembler) decode(p *rtp.Packet) ([][]byte, error) {
	if a.codec == video.H264 {
		return a.h264.Decode(p)
	}
	frame, err := a.vp8.Decode(p)
	return [][]byte{frame}, err
}

func needsMore(err error) bool {
	return errors.Is(err, rtph264.ErrMorePacketsNeeded) || errors.Is(err, rtpvp8.ErrMorePacketsNeeded)
}

// The types of RFC 6184 with which a picture can begin.
const (
	typeIDR   = 5
	typeSPS   = 7
	typeAUD   = 9
	typeSTAPA = 24
	typeFUA   = 28
)

// startsKeyFrame reports whether a key frame may begin with the packet: with its parameter sets if the stream carries them, as those that
// are known may be of another one.
func (a *Assembler) startsKeyFrame(payload []byte) bool {
	if a.codec == video.VP8 {
		var p codecs.VP8Packet
		_, err := p.Unmarshal(payload)
		return err == nil && p.S == 1 && p.PID == 0 && len(p.Payload) > 0 && p.Payload[0]&1 == 0
	}
	unit, begins := payload, true
	switch payload[0] & 0x1F {
	case typeSTAPA:
		if len(payload) < 4 {
			return false
		}
		unit = payload[3:]
	case typeFUA:
		if len(payload) < 3 {
			return false
		}
		begins = payload[1]&0x80 != 0
		unit = payload[1:]
	}
	switch unit[0] & 0x1F {
	case typeSPS:
		a.inBand = true
		return begins
	case typeAUD:
		return begins
	case typeIDR:
		return begins && !a.inBand && len(unit) > 1 && unit[1]&0x80 != 0 // first_mb_in_slice is 0
	}
	return false
}
