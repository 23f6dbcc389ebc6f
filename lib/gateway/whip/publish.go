package whip

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"

	"github.com/insighthub/insighthub/lib/gateway/video"
	"github.com/insighthub/insighthub/lib/gateway/video/rtpin"
)

// lossEvery bounds the requests for key frames after losses.
const lossEvery = 500 * time.Millisecond

// published is the camera of one session. It receives all the time, and delivers while it is run.
type published struct {
	name string
	pc   *webrtc.PeerConnection

	mu      sync.Mutex
	codec   video.Codec
	ssrc    webrtc.SSRC
	asked   time.Time
	deliver func(*video.Frame)
}

var (
	_ video.Source    = (*published)(nil)
	_ video.KeyFramer = (*published)(nil)
)

// publish makes the session's video a camera, which goes with the session.
func (s *session) publish() error {
	p := &published{name: s.camera, pc: s.pc}
	s.pc.OnTrack(func(track *webrtc.TrackRemote, receiver *webrtc.RTPReceiver) {
		if track.Kind() != webrtc.RTPCodecTypeVideo {
			return
		}
		// Reports are read so that the interceptors see them, until the peer connection ends the receiver.
		go func() {
			for {
				if _, _, err := receiver.ReadRTCP(); err != nil {
					return
				}
			}
		}()
		p.receive(track)
	})
	err := s.server.config.Cameras.Add(p)
	if errors.Is(err, video.ErrDuplicate) {
		return &rejection{http.StatusConflict, "A camera of this name exists already.", err}
	}
	if err != nil {
		return err
	}
	s.published = true
	return nil
}

// receive reads the track until it ends.
func (p *published) receive(track *webrtc.TrackRemote) {
	codec := video.H264
	if strings.EqualFold(track.Codec().MimeType, webrtc.MimeTypeVP8) {
		codec = video.VP8
	}
	p.mu.Lock()
	p.codec, p.ssrc = codec, track.SSRC()
	p.mu.Unlock()
	assembler := rtpin.NewAssembler(codec, p.lost)
	for {
		packet, _, err := track.ReadRTP()
		if err != nil {
			return
		}
		for _, f := range assembler.Push(packet, time.Now()) {
			p.mu.Lock()
			deliver := p.deliver
			p.mu.Unlock()
			if deliver != nil {
				deliver(f) // without the lock: it takes the camera's
			}
		}
	}
}

// lost asks for a key frame, but not at each packet.
func (p *published) lost() {
	p.mu.Lock()
	now := time.Now()
	due := now.Sub(p.asked) >= lossEvery
	if due {
		p.asked = now
	}
	p.mu.Unlock()
	if due {
		p.RequestKeyFrame()
	}
}

// Info implements video.Source.
func (p *published) Info() video.Info {
	p.mu.Lock()
	defer p.mu.Unlock()
	return video.Info{Name: p.name, Codec: p.codec}
}

// RequestKeyFrame implements video.KeyFramer.
func (p *published) RequestKeyFrame() {
	p.mu.Lock()
	ssrc := p.ssrc
	p.mu.Unlock()
	if ssrc != 0 {
		_ = p.pc.WriteRTCP([]rtcp.Packet{&rtcp.PictureLossIndication{MediaSSRC: uint32(ssrc)}})
	}
}

// Run implements video.Source.
func (p *published) Run(ctx context.Context, deliver func(*video.Frame)) error {
	p.mu.Lock()
	p.deliver = deliver
	p.mu.Unlock()
	<-ctx.Done()
	p.mu.Lock()
	p.deliver = nil
	p.mu.Unlock()
	return ctx.Err()
}
