package rtpin_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bluenviron/gortsplib/v5"
	"github.com/bluenviron/gortsplib/v5/pkg/base"
	"github.com/bluenviron/gortsplib/v5/pkg/description"
	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/bluenviron/gortsplib/v5/pkg/format/rtph264"
	"github.com/google/go-cmp/cmp"
	"github.com/pion/rtp"

	"github.com/insighthub/insighthub/lib/eventually"
	"github.com/insighthub/insighthub/lib/gateway/testpattern"
	"github.com/insighthub/insighthub/lib/gateway/video"
	"github.com/insighthub/insighthub/lib/gateway/video/rtpin"
)

// collect runs a source in the background until the test ends, and gives its frames.
func collect(t *testing.T, s video.Source) (frames func() []*video.Frame, ended func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var mu sync.Mutex
	var list []*video.Frame
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		err = s.Run(ctx, func(f *video.Frame) {
			mu.Lock()
			defer mu.Unlock()
			list = append(list, f)
		})
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return func() []*video.Frame {
			mu.Lock()
			defer mu.Unlock()
			return append([]*video.Frame(nil), list...)
		}, func() error {
			<-done
			return err
		}
}

// packets makes RTP packets of the test pattern, and remembers the frames.
type packets struct {
	encoder *rtph264.Encoder

	mu     sync.Mutex
	frames []*video.Frame
}

func newPackets(t *testing.T, payloadType uint8, ssrc uint32) *packets {
	t.Helper()
	// Its sequence numbers and its way of cutting frames are not ours.
	p := &packets{encoder: &rtph264.Encoder{PayloadType: payloadType, SSRC: &ssrc, PacketizationMode: 1, PayloadMaxSize: 900}}
	if err := p.encoder.Init(); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *packets) of(f *video.Frame) []*rtp.Packet {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.frames = append(p.frames, f)
	list, err := p.encoder.Encode(f.Units)
	if err != nil {
		panic(err)
	}
	for _, packet := range list {
		packet.Timestamp = uint32(f.Captured.UnixMicro() * 9 / 100)
	}
	return list
}

// check compares received frames with those sent, from the first received on.
func (p *packets) check(t *testing.T, got []*video.Frame) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for from, f := range p.frames {
		if !f.Key || !cmp.Equal(f.Units, got[0].Units) {
			continue
		}
		for i := range got {
			if diff := cmp.Diff(p.frames[from+i].Units, got[i].Units); diff != "" {
				t.Fatalf("frame %d: %s", i, diff)
			}
		}
		return
	}
	t.Fatal("the first frame is none of those sent")
}

func pattern(t *testing.T) *testpattern.Source {
	t.Helper()
	s, err := testpattern.NewSource(testpattern.Config{Name: "x", FPS: 60})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// freePort finds an UDP port that nobody listens at.
func freePort(t *testing.T) string {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.LocalAddr().String()
}

func TestUDPCamera(t *testing.T) {
	t.Parallel()
	address := freePort(t)
	source, err := rtpin.NewUDP(rtpin.UDPConfig{Name: "dome", Codec: video.H264, Address: address, PayloadType: 96})
	if err != nil {
		t.Fatal(err)
	}
	frames, _ := collect(t, source)
	sent := newPackets(t, 96, 7)
	conn, err := net.Dial("udp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s := pattern(t)
		_ = s.Run(ctx, func(f *video.Frame) {
			if f.Disposable {
				s.RequestKeyFrame() // often: the port may be opened late
			}
			for _, p := range sent.of(f) {
				for _, write := range []func(*rtp.Packet){
					func(*rtp.Packet) {},
					func(p *rtp.Packet) { p.PayloadType = 97 }, // another stream
					func(p *rtp.Packet) { p.SSRC = 8 },         // another sender
				} {
					other := *p
					write(&other)
					data, _ := other.Marshal()
					_, _ = conn.Write(data)
				}
				_, _ = conn.Write([]byte("no RTP"))
			}
		})
	}()
	defer func() {
		cancel()
		<-done
	}()
	eventually.True(t, "frames", func() bool { return len(frames()) > 20 })
	sent.check(t, frames())
}

// server is an RTSP server with one stream.
type server struct {
	stream *gortsplib.ServerStream
	auth   string
}

func (s *server) OnDescribe(c *gortsplib.ServerHandlerOnDescribeCtx) (*base.Response, *gortsplib.ServerStream, error) {
	if got := c.Request.Header["Authorization"]; s.auth != "" && (len(got) == 0 || got[0] != s.auth) {
		return &base.Response{StatusCode: base.StatusUnauthorized, Header: base.Header{
			"WWW-Authenticate": base.HeaderValue{`Basic realm="camera"`},
		}}, nil, nil
	}
	return &base.Response{StatusCode: base.StatusOK}, s.stream, nil
}

func (s *server) OnSetup(*gortsplib.ServerHandlerOnSetupCtx) (*base.Response, *gortsplib.ServerStream, error) {
	return &base.Response{StatusCode: base.StatusOK}, s.stream, nil
}

func (s *server) OnPlay(*gortsplib.ServerHandlerOnPlayCtx) (*base.Response, error) {
	return &base.Response{StatusCode: base.StatusOK}, nil
}

// camera starts an RTSP camera that sends the test pattern, and returns its address and what ends it.
func camera(t *testing.T, udp bool, auth string) (address string, sent *packets, stop func()) {
	t.Helper()
	h := &server{auth: auth}
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address = tcp.Addr().String()
	tcp.Close()
	s := &gortsplib.Server{Handler: h, RTSPAddress: address}
	if udp {
		// An even port and the next.
		for port := 20_000; ; port += 2 {
			s.UDPRTPAddress, s.UDPRTCPAddress = fmt.Sprintf("127.0.0.1:%d", port), fmt.Sprintf("127.0.0.1:%d", port+1)
			if err = s.Start(); err == nil || port > 30_000 {
				break
			}
		}
	} else {
		err = s.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	h264 := &format.H264{PayloadTyp: 96, PacketizationMode: 1}
	media := &description.Media{Type: description.MediaTypeVideo, Formats: []format.Format{h264}}
	h.stream = &gortsplib.ServerStream{Server: s, Desc: &description.Session{Medias: []*description.Media{media}}}
	if err := h.stream.Initialize(); err != nil {
		t.Fatal(err)
	}
	sent = newPackets(t, 96, 7)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		source := pattern(t)
		_ = source.Run(ctx, func(f *video.Frame) {
			if f.Disposable {
				source.RequestKeyFrame() // often: whoever comes in waits for one
			}
			for _, p := range sent.of(f) {
				_ = h.stream.WritePacketRTP(media, p)
			}
		})
	}()
	stop = sync.OnceFunc(func() {
		cancel()
		<-done
		h.stream.Close()
		s.Close()
	})
	t.Cleanup(stop)
	return address, sent, stop
}

func TestRTSPCamera(t *testing.T) {
	t.Parallel()
	for name, udp := range map[string]bool{"UDP": true, "TCP alone": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			auth := "Basic " + base64.StdEncoding.EncodeToString([]byte("viewer:secret"))
			address, sent, stop := camera(t, udp, auth)
			source, err := rtpin.NewRTSP(rtpin.RTSPConfig{Name: "dome", URL: "rtsp://viewer:secret@" + address + "/stream"})
			if err != nil {
				t.Fatal(err)
			}
			frames, ended := collect(t, source)
			eventually.True(t, "frames", func() bool { return len(frames()) > 20 })
			sent.check(t, frames())
			stop()
			if err := ended(); err == nil || strings.Contains(err.Error(), "secret") {
				t.Errorf("the camera ended: error %v", err)
			}
		})
	}
}

func TestRTSPErrorsHideThePassword(t *testing.T) {
	t.Parallel()
	address, _, _ := camera(t, false, "Basic nobody")
	for _, url := range []string{
		"rtsp://viewer:secret@" + address + "/stream", "rtsp://viewer:secret@127.0.0.1:1/stream", "rtsp://viewer:secret@host.invalid/",
		"http://viewer:secret@" + address, "rtsp://viewer:secret@[::1/", "secret",
	} {
		source, err := rtpin.NewRTSP(rtpin.RTSPConfig{Name: "dome", URL: url})
		if err == nil {
			err = source.Run(t.Context(), func(*video.Frame) { t.Error("a frame") })
		}
		if err == nil || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), "dome") {
			t.Errorf("error %v: want one that names the camera and not the password", err)
		}
	}
}

func TestBadConfigurations(t *testing.T) {
	t.Parallel()
	for _, c := range []rtpin.UDPConfig{
		{}, {Name: "x"}, {Name: "x", Address: ":1", Codec: "h265"}, {Name: "x", Address: ":1", Codec: video.VP8, PayloadType: 128},
	} {
		if _, err := rtpin.NewUDP(c); err == nil {
			t.Errorf("%+v: no error", c)
		}
	}
	source, err := rtpin.NewUDP(rtpin.UDPConfig{Name: "x", Address: "127.0.0.1:99999", Codec: video.H264})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := source.Run(ctx, nil); err == nil || ctx.Err() != nil {
		t.Errorf("an address without a port: error %v", err)
	}
}
