package gateway

import (
	"github.com/pion/interceptor"
	"github.com/pion/webrtc/v4"
)

// Cameras are what viewers may watch.
type Cameras interface {
	// Infos returns the cameras of now.
	Infos() []CameraInfo
	// Prepare registers codecs and interceptors of a new peer connection, and returns the function that
	// adds its track; that is called between the viewer's first offer with video and the answer.
	Prepare(*webrtc.MediaEngine, *interceptor.Registry) (func(*webrtc.PeerConnection) (View, error), error)
}

// View is what one viewer watches.
type View interface {
	// Show switches to a camera; "" shows none.
	Show(name string) error
	Close() error
}

type videoTrack = View

// prepareVideo registers what the peer connection can receive and send.
func (v *viewer) prepareVideo(m *webrtc.MediaEngine, r *interceptor.Registry) error {
	if v.p.cameras == nil {
		return m.RegisterDefaultCodecs() // to answer an offer of video with none
	}
	attach, err := v.p.cameras.Prepare(m, r)
	v.attach = attach
	return err
}

// attachVideo adds the track for the cameras once the viewer has offered to receive video.
func (v *viewer) attachVideo() error {
	if v.video != nil || v.attach == nil || !offersVideo(v.pc) {
		return nil
	}
	view, err := v.attach(v.pc)
	if err != nil {
		return err
	}
	v.video = view
	return nil
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
		return controlErrorf(codeNoVideo, r.ID, "the connection has no video: offer a recvonly transceiver")
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

func (p *Publisher) cameraInfos() []CameraInfo {
	if p.cameras == nil {
		return []CameraInfo{}
	}
	return p.cameras.Infos()
}
