package video

import (
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/pion/interceptor"
	"github.com/pion/interceptor/pkg/cc"
	"github.com/pion/interceptor/pkg/gcc"
	"github.com/pion/webrtc/v4"
)

// playoutDelayURI asks the receiver to show pictures within a delay; Chromium takes 0 to 0 as: as soon as they are decoded.
const playoutDelayURI = "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay"

// Bounds of the bandwidth estimate, in bits per second. It starts high: a gateway's viewers are mostly near, and a wrong start costs a
// second of frames.
const (
	initialBits = 8_000_000
	minimumBits = 50_000
	maximumBits = 50_000_000
)

// Bandwidth is the estimate of what one peer connection can carry.
type Bandwidth struct {
	estimator atomic.Pointer[cc.BandwidthEstimator]
}

// Bits returns the estimate in bits per second, 0 if there is none.
func (b *Bandwidth) Bits() int {
	if b == nil {
		return 0
	}
	if e := b.estimator.Load(); e != nil {
		return (*e).GetTargetBitrate()
	}
	return 0
}

// Register sets up one peer connection for video: its codecs with feedback by NACK, PLI and FIR, retransmission, reports,
// transport-wide congestion control with an estimate of the bandwidth, and the playout delay extension. The engine and the registry
// must be fresh and serve one peer connection only; other codecs and interceptors may be added to them.
func Register(media *webrtc.MediaEngine, registry *interceptor.Registry) (*Bandwidth, error) {
	if err := registerCodecs(media); err != nil {
		return nil, err
	}
	if err := media.RegisterHeaderExtension(
		webrtc.RTPHeaderExtensionCapability{URI: playoutDelayURI}, webrtc.RTPCodecTypeVideo,
		webrtc.RTPTransceiverDirectionSendonly,
	); err != nil {
		return nil, fmt.Errorf("video: playout delay: %w", err)
	}
	b := &Bandwidth{}
	congestion, err := cc.NewInterceptor(func() (cc.BandwidthEstimator, error) {
		return gcc.NewSendSideBWE(
			gcc.SendSideBWEInitialBitrate(initialBits),
			gcc.SendSideBWEMinBitrate(minimumBits),
			gcc.SendSideBWEMaxBitrate(maximumBits),
			// The viewer's pump spreads bursts itself; the default pacer delays every frame by up to 5 ms.
			gcc.SendSideBWEPacer(gcc.NewNoOpPacer()),
		)
	})
	if err != nil {
		return nil, fmt.Errorf("video: bandwidth estimate: %w", err)
	}
	congestion.OnNewPeerConnection(func(_ string, e cc.BandwidthEstimator) { b.estimator.Store(&e) })
	registry.Add(congestion)
	if err := errors.Join(
		webrtc.ConfigureTWCCHeaderExtensionSender(media, registry),
		webrtc.ConfigureNack(media, registry),
		webrtc.ConfigureRTCPReports(registry),
	); err != nil {
		return nil, fmt.Errorf("video: interceptors: %w", err)
	}
	return b, nil
}

// RegisterIngest sets up one peer connection that receives a camera's video (WHIP): the same codecs, retransmission, reports, and the
// feedback from which the camera estimates its bandwidth.
func RegisterIngest(media *webrtc.MediaEngine, registry *interceptor.Registry) error {
	if err := registerCodecs(media); err != nil {
		return err
	}
	if err := errors.Join(
		webrtc.ConfigureNack(media, registry),
		webrtc.ConfigureRTCPReports(registry),
		webrtc.ConfigureTWCCSender(media, registry),
	); err != nil {
		return fmt.Errorf("video: interceptors: %w", err)
	}
	return nil
}

// Accepts reports whether the codecs that a peer accepted can carry the camera, as far as its codec is known.
func Accepts(negotiated []webrtc.RTPCodecParameters, info Info) bool {
	list := formats(negotiated)
	if info.Codec == "" {
		return len(list) > 0
	}
	_, ok := choose(list, info.Codec, info.Profile)
	return ok
}

// registerCodecs registers H.264 in the profiles that cameras have and VP8. They have no RTX: a retransmission repeats the packet
// itself, because RTX is bound to one payload type and a viewer's may change with the camera.
func registerCodecs(media *webrtc.MediaEngine) error {
	feedback := []webrtc.RTCPFeedback{
		{Type: "nack"}, {Type: "nack", Parameter: "pli"}, {Type: "ccm", Parameter: "fir"}, {Type: "transport-cc"},
	}
	// Dynamic payload types; an answer uses the offer's.
	for i, c := range []struct{ mime, parameters string }{
		{webrtc.MimeTypeH264, "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f"},
		{webrtc.MimeTypeH264, "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42001f"},
		{webrtc.MimeTypeH264, "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=4d001f"},
		{webrtc.MimeTypeH264, "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=640c1f"},
		{webrtc.MimeTypeH264, "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=64001f"},
		{webrtc.MimeTypeVP8, ""},
	} {
		payload := webrtc.PayloadType(96 + i)
		if err := media.RegisterCodec(webrtc.RTPCodecParameters{
			RTPCodecCapability: webrtc.RTPCodecCapability{
				MimeType: c.mime, ClockRate: 90_000, SDPFmtpLine: c.parameters, RTCPFeedback: feedback,
			},
			PayloadType: payload,
		}, webrtc.RTPCodecTypeVideo); err != nil {
			return fmt.Errorf("video: %s: %w", c.mime, err)
		}
	}
	return nil
}
