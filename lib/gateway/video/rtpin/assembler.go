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
	// Packets of the timestamp skipped are passed over; with skipAny, that of the next packet.
	skipping, skipAny bool
	skipped           uint32
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
	a := &Assembler{codec: codec, lost: lost, held: map[uint16]held{}, broken: true}
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
	a.broken = true
	a.skipping, a.skipAny = true, true
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
		// The rest of a frame that lost its beginning.
		if h.packet.Timestamp == a.skipped || a.skipAny {
			a.skipped, a.skipAny = h.packet.Timestamp, false
			a.skipping = !h.packet.Marker
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
		a.skipping, a.skipAny, a.skipped = !h.packet.Marker, false, h.packet.Timestamp
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
	case !startsPicture(f):
		a.broken = true
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

// startsPicture reports whether the first slice of an H.264 frame begins with the first macroblock: a one in ue(v) is a zero.
func startsPicture(f *video.Frame) bool {
	if f.Codec != video.H264 {
		return true
	}
	for _, u := range f.Units {
		if t := u[0] & 0x1F; t == 1 || t == 2 || t == 5 {
			return len(u) > 1 && u[1]&0x80 != 0
		}
	}
	return false
}
