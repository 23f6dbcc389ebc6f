package whip_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bluenviron/gortsplib/v5/pkg/format/rtph264"
	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"
	"github.com/pion/webrtc/v4/pkg/media"

	"github.com/insighthub/insighthub/lib/gateway/testpattern"
	"github.com/insighthub/insighthub/lib/gateway/video"
	"github.com/insighthub/insighthub/lib/gateway/whip"
)

func loopback() webrtc.SettingEngine {
	var s webrtc.SettingEngine
	s.SetIncludeLoopbackCandidate(true)
	s.SetInterfaceFilter(func(name string) bool { return name == "lo" })
	return s
}

// gateway is a server with a camera press-01, and what it was configured with.
type gateway struct {
	t    *testing.T
	http *httptest.Server
	whip *whip.Server
	cams *video.Cameras

	mu    sync.Mutex
	until map[string]time.Time // the tokens
}

func newGateway(t *testing.T, change func(*whip.Config)) *gateway {
	t.Helper()
	g := &gateway{t: t, cams: video.NewCameras(video.Config{}), until: map[string]time.Time{"good": time.Now().Add(time.Hour)}}
	source, err := testpattern.NewSource(testpattern.Config{Name: "press-01", Width: 320, Height: 240})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.cams.Add(source); err != nil {
		t.Fatal(err)
	}
	config := whip.Config{
		Cameras: g.cams, Settings: loopback(), Origins: []string{"https://console.example"},
		Authorize: func(_ context.Context, token string, action whip.Action, _ string) (time.Time, error) {
			g.mu.Lock()
			defer g.mu.Unlock()
			switch until, ok := g.until[token]; {
			case token == "broken":
				return time.Time{}, io.ErrUnexpectedEOF
			case token == "viewer" && action != whip.View:
				return time.Time{}, whip.ErrForbidden
			case token == "viewer":
				return time.Now().Add(time.Hour), nil
			case !ok:
				return time.Time{}, whip.ErrUnauthorized
			default:
				return until, nil
			}
		},
		ICEServers: func(context.Context) ([]webrtc.ICEServer, error) { return nil, nil },
	}
	if change != nil {
		change(&config)
	}
	g.whip = whip.New(config)
	g.http = httptest.NewServer(g.whip)
	t.Cleanup(func() {
		g.http.Close()
		_ = g.whip.Close()
		_ = g.cams.Close()
	})
	return g
}

// do sends a request with a token; headers are name, value pairs.
func (g *gateway) do(method, path, body string, headers ...string) (*http.Response, string) {
	g.t.Helper()
	r, err := http.NewRequest(method, g.http.URL+path, strings.NewReader(body))
	if err != nil {
		g.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer good")
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/sdp")
	}
	if method == http.MethodPatch {
		r.Header.Set("Content-Type", "application/trickle-ice-sdpfrag")
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		g.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	return response, string(text)
}

// client is a player or an encoder: pion as it comes, with its default codecs and interceptors.
type client struct {
	t       *testing.T
	g       *gateway
	pc      *webrtc.PeerConnection
	session string // its path
	etag    string
	answer  string

	mu     sync.Mutex
	frames []*video.Frame
}

func newClient(t *testing.T, g *gateway) *client {
	t.Helper()
	c := &client{t: t, g: g}
	var err error
	if c.pc, err = webrtc.NewAPI(webrtc.WithSettingEngine(loopback())).NewPeerConnection(webrtc.Configuration{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.pc.Close() })
	return c
}

// offer makes the local description, with or without its candidates.
func (c *client) offer(options *webrtc.OfferOptions, candidates bool) string {
	c.t.Helper()
	// Not GatheringCompletePromise: at a restart it is kept already.
	gathered := make(chan struct{})
	var once sync.Once
	c.pc.OnICECandidate(func(candidate *webrtc.ICECandidate) {
		if candidate == nil {
			once.Do(func() { close(gathered) })
		}
	})
	offer, err := c.pc.CreateOffer(options)
	if err != nil {
		c.t.Fatal(err)
	}
	if err := c.pc.SetLocalDescription(offer); err != nil {
		c.t.Fatal(err)
	}
	<-gathered
	if !candidates {
		return offer.SDP
	}
	return c.pc.LocalDescription().SDP
}

// post makes the session.
func (c *client) post(path, offer string) {
	c.t.Helper()
	response, answer := c.g.do(http.MethodPost, path, offer)
	if response.StatusCode != http.StatusCreated || response.Header.Get("Content-Type") != "application/sdp" {
		c.t.Fatalf("POST %s: %s %s", path, response.Status, answer)
	}
	c.session, c.etag, c.answer = response.Header.Get("Location"), response.Header.Get("ETag"), answer
	if !strings.HasPrefix(c.session, path+"/") || len(c.etag) < 6 || c.etag[0] != '"' {
		c.t.Fatalf("Location %q, ETag %q", c.session, c.etag)
	}
	if err := c.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: answer}); err != nil {
		c.t.Fatal(err)
	}
}

// view asks for video, and for audio, which players do and the gateway has not.
func (c *client) view(camera string, candidates bool) {
	c.t.Helper()
	for _, kind := range []webrtc.RTPCodecType{webrtc.RTPCodecTypeAudio, webrtc.RTPCodecTypeVideo} {
		if _, err := c.pc.AddTransceiverFromKind(kind, webrtc.RTPTransceiverInit{
			Direction: webrtc.RTPTransceiverDirectionRecvonly,
		}); err != nil {
			c.t.Fatal(err)
		}
	}
	c.pc.OnTrack(func(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		decoder := &rtph264.Decoder{PacketizationMode: 1}
		_ = decoder.Init()
		for {
			packet, _, err := track.ReadRTP()
			if err != nil {
				return
			}
			if units, err := decoder.Decode(packet); err == nil {
				if f, ok := video.NewFrame(video.H264, units, time.Now()); ok {
					c.mu.Lock()
					c.frames = append(c.frames, f)
					c.mu.Unlock()
				}
			}
		}
	})
	c.post("/whep/"+url.PathEscape(camera), c.offer(nil, candidates))
}

func (c *client) received() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.frames)
}

// publish sends the test pattern, and audio, until the test ends.
func (c *client) publish(camera string) (sent func() []*video.Frame) {
	c.t.Helper()
	audio, err := webrtc.NewTrackLocalStaticSample(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus}, "audio", "camera")
	if err != nil {
		c.t.Fatal(err)
	}
	track, err := webrtc.NewTrackLocalStaticSample(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeH264}, "video", "camera")
	if err != nil {
		c.t.Fatal(err)
	}
	if _, err := c.pc.AddTransceiverFromTrack(audio, webrtc.RTPTransceiverInit{
		Direction: webrtc.RTPTransceiverDirectionSendonly,
	}); err != nil {
		c.t.Fatal(err)
	}
	transceiver, err := c.pc.AddTransceiverFromTrack(track, webrtc.RTPTransceiverInit{
		Direction: webrtc.RTPTransceiverDirectionSendonly,
	})
	if err != nil {
		c.t.Fatal(err)
	}
	source, err := testpattern.NewSource(testpattern.Config{Name: camera, Width: 320, Height: 240})
	if err != nil {
		c.t.Fatal(err)
	}
	c.post("/whip/"+url.PathEscape(camera), c.offer(nil, true))
	go func() {
		for {
			packets, _, err := transceiver.Sender().ReadRTCP()
			if err != nil {
				return
			}
			for _, p := range packets {
				if _, ok := p.(*rtcp.PictureLossIndication); ok {
					source.RequestKeyFrame()
				}
			}
		}
	}()
	var mu sync.Mutex
	var frames []*video.Frame
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = source.Run(ctx, func(f *video.Frame) {
			var b bytes.Buffer
			for _, u := range f.Units {
				b.WriteString("\x00\x00\x00\x01")
				b.Write(u)
			}
			_ = track.WriteSample(media.Sample{Data: b.Bytes(), Duration: time.Second / 30})
			mu.Lock()
			frames = append(frames, f)
			mu.Unlock()
		})
	}()
	c.t.Cleanup(func() {
		cancel()
		<-done
	})
	return func() []*video.Frame {
		mu.Lock()
		defer mu.Unlock()
		return append([]*video.Frame(nil), frames...)
	}
}
