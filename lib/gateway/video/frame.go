package video

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
)

// Codec names a video codec, as control messages spell it.
type Codec string

// The codecs that are passed on.
const (
	H264 Codec = "h264"
	VP8  Codec = "vp8"
)

// Errors of choosing a camera.
var (
	ErrUnknownCamera = errors.New("unknown camera")
	// ErrCodec means that the peer did not accept the camera's codec or profile.
	ErrCodec = errors.New("the viewer does not accept the camera's codec")
)

// Info describes a camera. Codec, Width, Height and Profile are empty until its first key frame where the source does not know them.
type Info struct {
	Name   string  `json:"name"`
	Codec  Codec   `json:"codec"`
	Width  int     `json:"width"`  // pixels
	Height int     `json:"height"` // pixels
	FPS    float64 `json:"fps"`    // nominal frames per second, 0 = unknown
	// Profile is the profile-level-id of H.264 (RFC 6184), six hexadecimal digits.
	Profile string `json:"profile,omitempty"`
}

// Frame is one encoded picture. Frames are shared by all viewers: nobody changes one after it was delivered.
type Frame struct {
	Codec Codec
	// Units are the NAL units without start codes (H.264), or the one frame (VP8).
	Units [][]byte
	// Captured is the gateway's clock when the picture was taken or came in.
	Captured time.Time
	// Key: the picture decodes without others.
	Key bool
	// Disposable: no other picture refers to it.
	Disposable bool
}

func (f *Frame) size() int {
	n := 0
	for _, u := range f.Units {
		n += len(u)
	}
	return n
}

// Source delivers the frames of one camera.
type Source interface {
	// Info says what is known before Run; Name is required and must not change.
	Info() Info
	// Run delivers frames in order, from one goroutine, until ctx ends (then its error is ignored) or the source fails; it is then started
	// again after a wait. The frames and what they point to are given away. Runs of one source do not overlap.
	Run(ctx context.Context, deliver func(*Frame)) error
}

// KeyFramer is a Source that can make a key frame on request. RequestKeyFrame does not block.
type KeyFramer interface {
	RequestKeyFrame()
}

// NewFrame classifies the units of a picture; ok is false when they hold none. H.264 access unit delimiters and filler data are left out.
func NewFrame(codec Codec, units [][]byte, captured time.Time) (f *Frame, ok bool) {
	f = &Frame{Codec: codec, Captured: captured}
	if codec == VP8 {
		if len(units) != 1 || len(units[0]) < 3 {
			return nil, false
		}
		f.Units = units
		f.Key = units[0][0]&1 == 0 // RFC 6386, section 9.1
		return f, true
	}
	picture := false
	f.Disposable = true
	for _, u := range units {
		if len(u) == 0 {
			continue
		}
		switch h264.NALUType(u[0] & 0x1F) {
		case h264.NALUTypeAccessUnitDelimiter, h264.NALUTypeFillerData:
			continue
		case h264.NALUTypeIDR:
			f.Key, picture = true, true
			f.Disposable = false
		case h264.NALUTypeNonIDR, h264.NALUTypeDataPartitionA:
			picture = true
			if u[0]&0x60 != 0 {
				f.Disposable = false
			}
		default:
		}
		f.Units = append(f.Units, u)
	}
	return f, picture
}

// parameters holds the last parameter sets of an H.264 stream.
type parameters struct {
	sps, pps []byte
}

// apply remembers the parameter sets of a frame, and puts the last ones before an IDR picture that lacks them. It returns the frame to
// send, and false if the frame is a key frame that no decoder could start with.
func (p *parameters) apply(f *Frame) (*Frame, bool) {
	if f.Codec != H264 {
		return f, true
	}
	hasSPS, hasPPS := false, false
	for _, u := range f.Units {
		switch h264.NALUType(u[0] & 0x1F) {
		case h264.NALUTypeSPS:
			p.sps, hasSPS = u, true
		case h264.NALUTypePPS:
			p.pps, hasPPS = u, true
		default:
		}
	}
	if !f.Key || hasSPS && hasPPS {
		return f, true
	}
	if p.sps == nil || p.pps == nil {
		return nil, false
	}
	units := make([][]byte, 0, len(f.Units)+2)
	units = append(units, p.sps, p.pps)
	for _, u := range f.Units {
		if t := h264.NALUType(u[0] & 0x1F); t != h264.NALUTypeSPS && t != h264.NALUTypePPS {
			units = append(units, u)
		}
	}
	with := *f
	with.Units = units
	return &with, true
}

// describe fills info from a key frame that has its parameter sets.
func describe(info *Info, f *Frame) {
	info.Codec = f.Codec
	if f.Codec == VP8 {
		// RFC 6386, section 9.1: tag, start code, 14 bits of width and height each.
		if d := f.Units[0]; len(d) >= 10 {
			info.Width = (int(d[6]) | int(d[7])<<8) & 0x3FFF
			info.Height = (int(d[8]) | int(d[9])<<8) & 0x3FFF
		}
		return
	}
	for _, u := range f.Units {
		if h264.NALUType(u[0]&0x1F) != h264.NALUTypeSPS || len(u) < 4 {
			continue
		}
		info.Profile = fmt.Sprintf("%02x%02x%02x", u[1], u[2], u[3])
		var sps h264.SPS
		if sps.Unmarshal(u) == nil {
			info.Width, info.Height = sps.Width(), sps.Height()
			if fps := sps.FPS(); fps > 0 && info.FPS == 0 {
				info.FPS = fps
			}
		}
		return
	}
}
