package gateway

import (
	"github.com/pion/interceptor"
	"github.com/pion/webrtc/v4"

	"github.com/insighthub/insighthub/lib/gateway/video"
)

// prepareVideo registers what the peer connection can send.
func (v *viewer) prepareVideo(m *webrtc.MediaEngine, r *interceptor.Registry) error {
	if v.p.cameras == nil {
		return m.RegisterDefaultCodecs() // to answer an offer of video with none
	}
	var err error
	v.bandwidth, err = video.Register(m, r)
	return err
}

// attachVideo adds the track for the cameras once the viewer has offered to receive video.
func (v *viewer) attachVideo() error {
	if v.video != nil || v.p.cameras == nil || !offersVideo(v.pc) {
		return nil
	}
	var err error
	v.video, err = v.p.cameras.Attach(v.pc, v.bandwidth)
	return err
}

func offersVideo(pc *webrtc.PeerConnection) bool {
	for _, t := range pc.GetTransceivers() {
		if t.Kind() == webrtc.RTPCodecTypeVideo {
			return true
		}
	}
	return false
}

func (v *viewer) showCamera(r request) error {
	if v.video == nil {
		return controlErrorf(codeNoVideo, r.ID, "no video: the gateway has no camera, or the offer no recvonly transceiver")
	}
	name := ""
	if r.Name != nil {
		name = *r.Name
	}
	if err := v.video.Show(name); err != nil {
		v.log.Info("show camera", "error", err)
		return controlErrorf(codeCamera, r.ID, "no such camera, or the viewer cannot decode it")
	}
	return nil
}

func (p *Publisher) cameraInfos() []video.Info {
	if p.cameras == nil {
		return []video.Info{}
	}
	return p.cameras.Infos()
}
