package video_test

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/bluenviron/gortsplib/v5/pkg/format/rtph264"
	"github.com/pion/interceptor"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"github.com/insighthub/insighthub/lib/eventually"
	"github.com/insighthub/insighthub/lib/gateway/testpattern"
	"github.com/insighthub/insighthub/lib/gateway/video"
)

// loopback allows host candidates of the loopback interface alone.
func loopback() webrtc.SettingEngine {
	var s webrtc.SettingEngine
	s.SetIncludeLoopbackCandidate(true)
	s.SetInterfaceFilter(func(name string) bool { return name == "lo" })
	return s
}

// peer is a viewer's end: it collects the frames that it receives.
type peer struct {
	t      *testing.T
	pc     *webrtc.PeerConnection
	viewer *video.Viewer
	far    *webrtc.PeerConnection

	mu      sync.Mutex
	frames  []received
	ssrc    webrtc.SSRC
	packets map[uint8]int // by payload type
	ssrcs   map[uint32]uint16
	gaps    int
}

type received struct {
	*video.Frame
	timestamp uint32
}

// connect makes a peer connection that asks for video of the cameras; configure changes the viewer's media engine.
func connect(t *testing.T, cams *video.Cameras, register func(*webrtc.MediaEngine, *interceptor.Registry) error) *peer {
	t.Helper()
	return connectWith(t, cams, register)
}

// connectWith also adds interceptors to the gateway's, nearest to the network.
func connectWith(
	t *testing.T, cams *video.Cameras, register func(*webrtc.MediaEngine, *interceptor.Registry) error, links ...interceptor.Factory,
) *peer {
	t.Helper()
	p := &peer{t: t, ssrcs: map[uint32]uint16{}}
	media, registry := &webrtc.MediaEngine{}, &interceptor.Registry{}
	if err := register(media, registry); err != nil {
		t.Fatal(err)
	}
	p.pc = newPC(t, media, registry)
	if _, err := p.pc.AddTransceiverFromKind(webrtc.RTPCodecTypeVideo, webrtc.RTPTransceiverInit{
		Direction: webrtc.RTPTransceiverDirectionRecvonly,
	}); err != nil {
		t.Fatal(err)
	}
	p.pc.OnTrack(func(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) { p.read(track) })

	media, registry = &webrtc.MediaEngine{}, &interceptor.Registry{}
	for _, link := range links {
		registry.Add(link)
	}
	bandwidth, err := video.Register(media, registry)
	if err != nil {
		t.Fatal(err)
	}
	if len(links) > 0 {
		if _, ok := links[0].(*slow); ok {
			bandwidth = nil // its queue is to decide, not an estimate
		}
	}
	p.far = newPC(t, media, registry)
	offer := gathered(t, p.pc, func() (webrtc.SessionDescription, error) { return p.pc.CreateOffer(nil) })
	if err := p.far.SetRemoteDescription(offer); err != nil {
		t.Fatal(err)
	}
	if p.viewer, err = cams.Attach(p.far, bandwidth); err != nil {
		t.Fatal(err)
	}
	answer := gathered(t, p.far, func() (webrtc.SessionDescription, error) { return p.far.CreateAnswer(nil) })
	if err := p.pc.SetRemoteDescription(answer); err != nil {
		t.Fatal(err)
	}
	return p
}

func newPC(t *testing.T, media *webrtc.MediaEngine, registry *interceptor.Registry) *webrtc.PeerConnection {
	t.Helper()
	api := webrtc.NewAPI(webrtc.WithMediaEngine(media), webrtc.WithInterceptorRegistry(registry), webrtc.WithSettingEngine(loopback()))
	pc, err := api.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pc.Close() })
	return pc
}

func gathered(
	t *testing.T, pc *webrtc.PeerConnection, create func() (webrtc.SessionDescription, error),
) webrtc.SessionDescription {
	t.Helper()
	done := webrtc.GatheringCompletePromise(pc)
	d, err := create()
	if err != nil {
		t.Fatal(err)
	}
	if err := pc.SetLocalDescription(d); err != nil {
		t.Fatal(err)
	}
	<-done
	return *pc.LocalDescription()
}

func (p *peer) read(track *webrtc.TrackRemote) {
	p.mu.Lock()
	p.ssrc = track.SSRC()
	p.mu.Unlock()
	decoder := &rtph264.Decoder{PacketizationMode: 1}
	if err := decoder.Init(); err != nil {
		return
	}
	for {
		packet, _, err := track.ReadRTP()
		if err != nil {
			return
		}
		p.count(packet)
		if codec := track.Codec().MimeType; codec != webrtc.MimeTypeH264 {
			continue
		}
		units, err := decoder.Decode(packet)
		if err != nil {
			continue
		}
		if f, ok := video.NewFrame(video.H264, units, time.Now()); ok {
			p.mu.Lock()
			p.frames = append(p.frames, received{f, packet.Timestamp})
			p.mu.Unlock()
		}
	}
}

func (p *peer) count(packet *rtp.Packet) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.packets == nil {
		p.packets = map[uint8]int{}
	}
	p.packets[packet.PayloadType]++
	if next, seen := p.ssrcs[packet.SSRC]; seen && next != packet.SequenceNumber {
		p.gaps++
	}
	p.ssrcs[packet.SSRC] = packet.SequenceNumber + 1
}

// packetsOf returns how many packets of a codec came.
func (p *peer) packetsOf(mime string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, c := range p.pc.GetReceivers()[0].GetParameters().Codecs {
		if c.MimeType == mime {
			n += p.packets[uint8(c.PayloadType)]
		}
	}
	return n
}

func (p *peer) received() []received {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clip(p.frames)
}

func (p *peer) keys() int {
	n := 0
	for _, f := range p.received() {
		if f.Key {
			n++
		}
	}
	return n
}

// request sends RTCP to the gateway.
func (p *peer) request(packet func(ssrc uint32) rtcp.Packet) {
	p.t.Helper()
	p.mu.Lock()
	ssrc := uint32(p.ssrc)
	p.mu.Unlock()
	if err := p.pc.WriteRTCP([]rtcp.Packet{packet(ssrc)}); err != nil {
		p.t.Fatal(err)
	}
}

func registerViewer(m *webrtc.MediaEngine, r *interceptor.Registry) error {
	return video.RegisterIngest(m, r) // with feedback for the gateway's bandwidth estimate, as browsers send it
}

func pattern(t *testing.T, name string) *testpattern.Source {
	t.Helper()
	s, err := testpattern.NewSource(testpattern.Config{Name: name, Width: 320, Height: 240})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newCameras(t *testing.T, sources ...video.Source) *video.Cameras {
	t.Helper()
	cams := video.NewCameras(video.Config{})
	t.Cleanup(func() {
		if err := cams.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, s := range sources {
		if err := cams.Add(s); err != nil {
			t.Fatal(err)
		}
	}
	return cams
}

func TestViewerBeginsWithAKeyFrame(t *testing.T) {
	t.Parallel()
	cams := newCameras(t, pattern(t, "press-01"))
	p := connect(t, cams, registerViewer)
	if err := p.viewer.Show("press-01"); err != nil {
		t.Fatal(err)
	}
	eventually.True(t, "ten frames", func() bool { return len(p.received()) >= 10 })
	got := p.received()
	if !got[0].Key {
		t.Error("the first frame is no key frame")
	}
	if u := got[0].Units; len(u) != 3 || u[0][0]&31 != 7 || u[1][0]&31 != 8 || u[2][0]&31 != 5 {
		t.Errorf("the first frame has %d units; want SPS, PPS, IDR", len(u))
	}
	for i := 1; i < len(got); i++ {
		if d := int32(got[i].timestamp - got[i-1].timestamp); d <= 0 {
			t.Errorf("frame %d: the RTP timestamp moves by %d", i, d)
		}
	}
}

func TestKeyFramesOnRequest(t *testing.T) {
	t.Parallel()
	for name, request := range map[string]func(ssrc uint32) rtcp.Packet{
		"PLI": func(ssrc uint32) rtcp.Packet { return &rtcp.PictureLossIndication{MediaSSRC: ssrc} },
		"FIR": func(ssrc uint32) rtcp.Packet {
			return &rtcp.FullIntraRequest{MediaSSRC: ssrc, FIR: []rtcp.FIREntry{{SSRC: ssrc, SequenceNumber: 1}}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			// Key frames that nobody asked for come every 5 s: not within these frames.
			cams := newCameras(t, pattern(t, "press-01"))
			p := connect(t, cams, registerViewer)
			if err := p.viewer.Show("press-01"); err != nil {
				t.Fatal(err)
			}
			eventually.True(t, "frames", func() bool { return len(p.received()) >= 10 })
			before, keys := len(p.received()), p.keys()
			p.request(request)
			eventually.True(t, "a key frame", func() bool { return p.keys() > keys })
			if after := len(p.received()); after-before > 60 {
				t.Errorf("the key frame came %d frames after the request", after-before)
			}
			if got := p.viewer.Stats().KeyRequests; got != 1 {
				t.Errorf("%d requests were counted, want 1", got)
			}
		})
	}
}
