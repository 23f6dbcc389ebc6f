package whip_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pion/webrtc/v4"

	"github.com/insighthub/insighthub/lib/eventually"
	"github.com/insighthub/insighthub/lib/gateway/video"
	"github.com/insighthub/insighthub/lib/gateway/whip"
)

func TestPublishedCameraIsViewed(t *testing.T) {
	t.Parallel()
	const dome = "dome 1/a" // escaped in paths
	g := newGateway(t, nil)
	encoder := newClient(t, g)
	sent := encoder.publish(dome)
	// One camera of a name.
	second := newClient(t, g)
	if _, err := second.pc.AddTransceiverFromKind(webrtc.RTPCodecTypeVideo, webrtc.RTPTransceiverInit{
		Direction: webrtc.RTPTransceiverDirectionSendrecv,
	}); err != nil {
		t.Fatal(err)
	}
	if response, text := g.do(http.MethodPost, "/whip/dome%201%2Fa", second.offer(nil, true)); response.StatusCode != http.StatusConflict {
		t.Errorf("a second publisher: %s %s", response.Status, text)
	}
	player := newClient(t, g)
	player.view(dome, true)
	eventually.True(t, "frames", func() bool { return player.received() > 15 })

	// The frames are those that were published, from a key frame on.
	player.mu.Lock()
	got := player.frames
	player.mu.Unlock()
	if !got[0].Key {
		t.Error("the first frame is no key frame")
	}
	published := map[string]bool{}
	for _, f := range sent() {
		published[string(f.Units[len(f.Units)-1])] = true
	}
	for i, f := range got[:15] {
		if !published[string(f.Units[len(f.Units)-1])] {
			t.Errorf("frame %d was not published", i)
		}
	}
	if info, ok := g.cams.Info(dome); !ok || info.Width != 320 || info.Height != 240 || info.Codec != "h264" {
		t.Errorf("camera %+v %v", info, ok)
	}

	if response, text := g.do(http.MethodDelete, encoder.session, ""); response.StatusCode != http.StatusOK {
		t.Errorf("DELETE: %s %s", response.Status, text)
	}
	if _, ok := g.cams.Info(dome); ok {
		t.Error("the camera is there after its session")
	}
	if response, _ := g.do(http.MethodDelete, encoder.session, ""); response.StatusCode != http.StatusNotFound {
		t.Errorf("DELETE of an ended session: %s", response.Status)
	}
	// The name is free again.
	newClient(t, g).publish("dome")
}

// silent is a camera whose profile is not known before it runs: high, which pion's default codecs have and this player does not.
type silent struct{}

func (silent) Info() video.Info { return video.Info{Name: "high", Codec: video.H264} }

func (silent) Run(ctx context.Context, deliver func(*video.Frame)) error {
	f, _ := video.NewFrame(video.H264, [][]byte{{0x67, 100, 0, 31}, {0x68, 1}, {0x65, 0x88}}, time.Now())
	deliver(f)
	<-ctx.Done()
	return ctx.Err()
}

func TestPlayerWithoutTheCamerasProfileIsTold(t *testing.T) {
	t.Parallel()
	g := newGateway(t, nil)
	if err := g.cams.Add(silent{}); err != nil {
		t.Fatal(err)
	}
	media := &webrtc.MediaEngine{}
	if err := media.RegisterCodec(webrtc.RTPCodecParameters{RTPCodecCapability: webrtc.RTPCodecCapability{
		MimeType: webrtc.MimeTypeH264, ClockRate: 90_000, SDPFmtpLine: "packetization-mode=1;profile-level-id=42e01f",
	}, PayloadType: 102}, webrtc.RTPCodecTypeVideo); err != nil {
		t.Fatal(err)
	}
	c := newClient(t, g)
	var err error
	c.pc, err = webrtc.NewAPI(webrtc.WithSettingEngine(loopback()), webrtc.WithMediaEngine(media)).NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.pc.Close() })
	if _, err := c.pc.AddTransceiverFromKind(webrtc.RTPCodecTypeVideo); err != nil {
		t.Fatal(err)
	}
	offer := c.offer(nil, true)
	response, text := g.do(http.MethodPost, "/whep/high", offer)
	if response.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(text, "profile") {
		t.Errorf("%s %s", response.Status, text)
	}
	if response, text = g.do(http.MethodPost, "/whep/press-01", offer); response.StatusCode != http.StatusCreated {
		t.Errorf("%s %s", response.Status, text)
	}
}

func TestTrickledCandidates(t *testing.T) {
	t.Parallel()
	g := newGateway(t, nil)
	player := newClient(t, g)
	player.view("press-01", false)
	fragment := fragmentOf(player.pc.LocalDescription().SDP)
	for _, c := range []struct {
		match string
		want  int
	}{
		{"", http.StatusPreconditionRequired},
		{`"other"`, http.StatusPreconditionFailed},
		{player.etag, http.StatusNoContent},
	} {
		response, text := g.do(http.MethodPatch, player.session, fragment, "If-Match", c.match)
		if response.StatusCode != c.want {
			t.Errorf("If-Match %s: %s %s, want %d", c.match, response.Status, text, c.want)
		}
	}
	eventually.True(t, "frames", func() bool { return player.received() > 5 })
}

// fragmentOf makes what a client sends in PATCH.
func fragmentOf(description string) string {
	var b strings.Builder
	for line := range strings.Lines(description) {
		switch l := strings.TrimRight(line, "\r\n"); {
		case strings.HasPrefix(l, "a=ice-ufrag:"), strings.HasPrefix(l, "a=ice-pwd:"):
			if !strings.Contains(b.String(), l) {
				b.WriteString(l + "\r\n")
			}
		case strings.HasPrefix(l, "a=candidate:"):
			b.WriteString("m=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n" + l + "\r\n")
		}
	}
	return b.String() + "a=end-of-candidates\r\n"
}

func line(description, prefix string) string {
	for l := range strings.Lines(description) {
		if strings.HasPrefix(l, prefix) {
			return strings.TrimRight(l, "\r\n")
		}
	}
	return ""
}

func TestICERestart(t *testing.T) {
	t.Parallel()
	g := newGateway(t, nil)
	player := newClient(t, g)
	player.view("press-01", true)
	eventually.True(t, "frames", func() bool { return player.received() > 5 })

	fragment := fragmentOf(player.offer(&webrtc.OfferOptions{ICERestart: true}, true))
	response, text := g.do(http.MethodPatch, player.session, fragment, "If-Match", "*")
	if response.StatusCode != http.StatusOK || response.Header.Get("Content-Type") != "application/trickle-ice-sdpfrag" {
		t.Fatalf("%s %s", response.Status, text)
	}
	etag := response.Header.Get("ETag")
	if etag == player.etag || line(text, "a=ice-ufrag:") == line(player.answer, "a=ice-ufrag:") {
		t.Errorf("ETag %s, credentials %s: as before", etag, line(text, "a=ice-ufrag:"))
	}
	// The old answer with the new credentials and candidates is the new answer.
	var answer strings.Builder
	for l := range strings.Lines(player.answer) {
		switch {
		case strings.HasPrefix(l, "a=ice-ufrag:"):
			answer.WriteString(line(text, "a=ice-ufrag:") + "\r\n")
		case strings.HasPrefix(l, "a=ice-pwd:"):
			answer.WriteString(line(text, "a=ice-pwd:") + "\r\n")
		case strings.HasPrefix(l, "a=candidate:"):
		default:
			answer.WriteString(l)
		}
	}
	for l := range strings.Lines(text) {
		if strings.HasPrefix(l, "a=candidate:") {
			answer.WriteString(l)
		}
	}
	if err := player.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: answer.String()}); err != nil {
		t.Fatal(err)
	}
	before := player.received()
	eventually.True(t, "frames after the restart", func() bool { return player.received() > before+20 })
	if state := player.pc.ConnectionState(); state != webrtc.PeerConnectionStateConnected {
		t.Errorf("the connection is %s", state)
	}
	response, _ = g.do(http.MethodPatch, player.session, fragment, "If-Match", player.etag)
	if response.StatusCode != http.StatusPreconditionFailed {
		t.Errorf("candidates of the old ICE session: %s", response.Status)
	}
	for name, bad := range map[string]string{
		"no password":  "a=ice-ufrag:abcd1234\r\n",
		"bad password": "a=ice-ufrag:abcd1234\r\na=ice-pwd:short\r\n",
		"nothing":      "a=group:BUNDLE 0\r\n",
		"no SDP":       "hello",
		"candidate":    "a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\na=candidate:nonsense\r\n",
	} {
		if response, text := g.do(http.MethodPatch, player.session, bad, "If-Match", "*"); response.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %s %s", name, response.Status, text)
		}
	}
}

func TestSessionEndsWithTheRightOfItsToken(t *testing.T) {
	t.Parallel()
	g := newGateway(t, nil)
	g.mu.Lock()
	g.until["good"] = time.Now().Add(3 * time.Second)
	g.mu.Unlock()
	player := newClient(t, g)
	player.view("press-01", true)
	renewed := newClient(t, g)
	renewed.view("press-01", true)
	eventually.True(t, "frames", func() bool { return player.received() > 0 && renewed.received() > 0 })
	g.mu.Lock()
	g.until["renewed"] = time.Now().Add(time.Hour)
	g.mu.Unlock()
	if response, text := g.do(http.MethodPatch, renewed.session, "a=end-of-candidates\r\n", "If-Match", renewed.etag,
		"Authorization", "Bearer renewed"); response.StatusCode != http.StatusNoContent {
		t.Fatalf("%s %s", response.Status, text)
	}
	eventually.True(t, "the player's connection is closed", func() bool {
		return player.pc.ConnectionState() == webrtc.PeerConnectionStateClosed
	})
	before := renewed.received()
	eventually.True(t, "the one with a renewed token goes on", func() bool { return renewed.received() > before+10 })
}

func TestRejectedRequests(t *testing.T) {
	t.Parallel()
	g := newGateway(t, func(c *whip.Config) { c.MaxSessions = 2 })
	offering := func(kind webrtc.RTPCodecType, direction webrtc.RTPTransceiverDirection) string {
		c := newClient(t, g)
		if _, err := c.pc.AddTransceiverFromKind(kind, webrtc.RTPTransceiverInit{Direction: direction}); err != nil {
			t.Fatal(err)
		}
		return c.offer(nil, true)
	}
	const recvonly = webrtc.RTPTransceiverDirectionRecvonly
	good := offering(webrtc.RTPCodecTypeVideo, recvonly)
	vp9 := strings.NewReplacer("H264", "VP9X", "VP8", "VP7").Replace(good)
	const sdp = "application/sdp"
	for name, c := range map[string]struct {
		method, path, body string
		headers            []string
		want               int
	}{
		"no token":         {"POST", "/whep/press-01", good, []string{"Authorization", ""}, 401},
		"wrong token":      {"POST", "/whep/press-01", good, []string{"Authorization", "Bearer bad"}, 401},
		"wrong scheme":     {"POST", "/whep/press-01", good, []string{"Authorization", "Basic good"}, 401},
		"no right":         {"POST", "/whip/dome", good, []string{"Authorization", "Bearer viewer"}, 403},
		"not checkable":    {"POST", "/whep/press-01", good, []string{"Authorization", "Bearer broken"}, 503},
		"foreign origin":   {"POST", "/whep/press-01", good, []string{"Origin", "https://evil.example"}, 403},
		"media type":       {"POST", "/whep/press-01", good, []string{"Content-Type", "text/plain"}, 415},
		"too long":         {"POST", "/whep/press-01", good + strings.Repeat("a=x\r\n", 20_000), nil, 413},
		"empty":            {"POST", "/whep/press-01", "", nil, 400},
		"no SDP":           {"POST", "/whep/press-01", "hello", nil, 400},
		"damaged SDP":      {"POST", "/whep/press-01", strings.Replace(good, "m=video", "m=video x y\r\nm=video", 1), nil, 422},
		"no fingerprint":   {"POST", "/whep/press-01", strings.ReplaceAll(good, "a=fingerprint", "a=x"), nil, 400},
		"unknown camera":   {"POST", "/whep/press-02", good, nil, 404},
		"no video":         {"POST", "/whep/press-01", offering(webrtc.RTPCodecTypeAudio, recvonly), nil, 422},
		"wrong direction":  {"POST", "/whep/press-01", strings.ReplaceAll(good, "a=recvonly", "a=sendonly"), nil, 422},
		"line feed":        {"POST", "/whip/cam%0A", good, nil, 400},
		"long name":        {"POST", "/whip/" + strings.Repeat("n", 500), good, nil, 400},
		"viewer publishes": {"POST", "/whip/dome", good, nil, 422},
		"no common codec":  {"POST", "/whep/press-01", vp9, nil, 422},
		"GET":              {"GET", "/whep/press-01", "", nil, 405},
		"PUT":              {"PUT", "/whip/press-01", "", nil, 405},
		"GET of a session": {"GET", "/whep/press-01/x", "", nil, 405},
		"unknown session":  {"PATCH", "/whep/press-01/x", "a=ice-ufrag:abcd", nil, 404},
		"other path":       {"POST", "/", good, []string{"Content-Type", sdp}, 404},
	} {
		response, text := g.do(c.method, c.path, c.body, c.headers...)
		var document struct {
			Status int    `json:"status"`
			Detail string `json:"detail"`
		}
		if err := json.Unmarshal([]byte(text), &document); err != nil || response.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: no problem document: %q", name, text)
		}
		if response.StatusCode != c.want || document.Status != c.want || document.Detail == "" {
			t.Errorf("%s: %s %s, want %d", name, response.Status, text, c.want)
		}
		if c.want == 401 && response.Header.Get("WWW-Authenticate") == "" || c.want == 503 && response.Header.Get("Retry-After") == "" ||
			c.want == 405 && response.Header.Get("Allow") == "" {
			t.Errorf("%s: headers %v", name, response.Header)
		}
	}
	// None of these left a session: two fit, a third does not.
	for i, want := range []int{201, 201, 503} {
		response, text := g.do(http.MethodPost, "/whep/press-01", offering(webrtc.RTPCodecTypeVideo, recvonly))
		if response.StatusCode != want {
			t.Errorf("session %d: %s %s, want %d", i, response.Status, text, want)
		}
	}
}

func TestHeaders(t *testing.T) {
	t.Parallel()
	g := newGateway(t, func(c *whip.Config) {
		c.ICEServers = func(context.Context) ([]webrtc.ICEServer, error) {
			return []webrtc.ICEServer{
				{URLs: []string{"stun:127.0.0.1:1"}},
				{URLs: []string{"turn:127.0.0.1:1?transport=udp"}, Username: `1:a"b`, Credential: `p\w`},
			}, nil
		}
	})
	response, _ := g.do(http.MethodOptions, "/whep/press-01", "", "Authorization", "", "Origin", "https://console.example")
	got := fmt.Sprint(response.StatusCode, response.Header["Accept-Post"], response.Header["Access-Control-Allow-Origin"],
		response.Header["Access-Control-Allow-Methods"], response.Header["Link"])
	if want := "204 [application/sdp] [https://console.example] [POST, OPTIONS] []"; got != want {
		t.Errorf("OPTIONS: %s, want %s", got, want)
	}
	c := newClient(t, g)
	if _, err := c.pc.AddTransceiverFromKind(webrtc.RTPCodecTypeVideo); err != nil {
		t.Fatal(err)
	}
	response, text := g.do(http.MethodPost, "/whep/press-01", c.offer(nil, true), "Origin", "https://console.example")
	if response.StatusCode != http.StatusCreated {
		t.Fatal(response.Status, text)
	}
	want := []string{
		`<stun:127.0.0.1:1>; rel="ice-server"`,
		`<turn:127.0.0.1:1?transport=udp>; rel="ice-server"; username="1:a\"b"; credential="p\\w"; credential-type="password"`,
	}
	if diff := cmp.Diff(want, response.Header["Link"]); diff != "" {
		t.Error(diff)
	}
	for _, name := range []string{"Location", "ETag", "Link"} {
		if !strings.Contains(response.Header.Get("Access-Control-Expose-Headers"), name) {
			t.Errorf("a page cannot read %s", name)
		}
	}
}

func TestCloseEndsAllSessions(t *testing.T) {
	g := newGateway(t, nil)
	player := newClient(t, g)
	player.view("press-01", true)
	encoder := newClient(t, g)
	encoder.publish("dome")
	eventually.True(t, "frames", func() bool { return player.received() > 0 })
	if err := g.whip.Close(); err != nil {
		t.Fatal(err)
	}
	eventually.True(t, "nothing of the server runs", func() bool {
		stacks := make([]byte, 1<<20)
		text := string(stacks[:runtime.Stack(stacks, true)])
		return !strings.Contains(text, "whip.(*session)") && !strings.Contains(text, "whip.(*published)")
	})
	if response, _ := g.do(http.MethodPost, "/whep/press-01", "v=0"); response.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("after Close: %s", response.Status)
	}
}
