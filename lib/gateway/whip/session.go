package whip

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/webrtc/v4"

	"github.com/insighthub/insighthub/lib/gateway/video"
)

// session is one camera that publishes, or one player.
type session struct {
	server *Server
	id     string
	action Action
	camera string
	pc     *webrtc.PeerConnection
	viewer *video.Viewer // of a player
	// published: the camera is one of the gateway's. Set before the session is known.
	published bool

	patching sync.Mutex // one PATCH at a time
	etag     string     // of the ICE session; held by patching

	mu     sync.Mutex
	ended  bool
	until  *time.Timer // closes the session when its right ends
	start  *time.Timer // closes it if it does not connect
	closed chan struct{}
}

// rejection is an error with its response.
type rejection struct {
	status int
	detail string
	cause  error
}

func (r *rejection) Error() string { return fmt.Sprintf("%s: %v", r.detail, r.cause) }
func (r *rejection) Unwrap() error { return r.cause }

// create makes a session of an offer.
func (s *Server) create(w http.ResponseWriter, r *http.Request, action Action, offer string, until time.Time) {
	s.mu.Lock()
	full := s.closed || len(s.sessions)+s.starting >= s.config.MaxSessions
	if !full {
		s.starting++
		s.wait.Add(1)
	}
	s.mu.Unlock()
	if full {
		unavailable(w, "There are as many sessions as the gateway takes.")
		return
	}
	defer s.wait.Done()
	defer func() {
		s.mu.Lock()
		s.starting--
		s.mu.Unlock()
	}()
	var servers []webrtc.ICEServer
	if s.config.ICEServers != nil {
		var err error
		if servers, err = s.config.ICEServers(r.Context()); err != nil {
			// Candidates of the local network may do.
			s.config.Logger.Warn("ICE servers", "error", err)
		}
	}
	made, answer, err := s.open(r.Context(), action, r.PathValue("camera"), offer, servers)
	if err != nil {
		var rejected *rejection
		if !errors.As(err, &rejected) {
			s.config.Logger.Error("session", "action", action, "camera", r.PathValue("camera"), "error", err)
			fail(w, http.StatusInternalServerError, "")
			return
		}
		s.config.Logger.Info("session rejected", "action", action, "camera", r.PathValue("camera"), "error", err)
		fail(w, rejected.status, rejected.detail)
		return
	}
	made.extend(until)
	links(w.Header(), servers)
	w.Header().Set("Content-Type", typeSDP)
	w.Header().Set("Location", strings.TrimSuffix(r.URL.EscapedPath(), "/")+"/"+made.id)
	w.Header().Set("ETag", made.etag)
	w.Header().Set("Accept-Patch", typeFragment)
	w.WriteHeader(http.StatusCreated)
	_, _ = w.Write([]byte(answer)) //nolint:gosec // its type is application/sdp
}

// open makes the peer connection and the answer.
func (s *Server) open(
	ctx context.Context, action Action, camera, offer string, servers []webrtc.ICEServer,
) (made *session, answer string, err error) {
	if err := checkOffer(offer, action); err != nil {
		return nil, "", err
	}
	if _, known := s.config.Cameras.Info(camera); action == View && !known {
		return nil, "", &rejection{http.StatusNotFound, "There is no camera of this name.", video.ErrUnknownCamera}
	}
	media, registry := &webrtc.MediaEngine{}, &interceptor.Registry{}
	var bandwidth *video.Bandwidth
	if action == View {
		bandwidth, err = video.Register(media, registry)
	} else {
		err = video.RegisterIngest(media, registry)
	}
	if err = errors.Join(err, registerAudio(media)); err != nil {
		return nil, "", err
	}
	api := webrtc.NewAPI(
		webrtc.WithMediaEngine(media), webrtc.WithInterceptorRegistry(registry), webrtc.WithSettingEngine(s.config.Settings))
	pc, err := api.NewPeerConnection(webrtc.Configuration{ICEServers: servers})
	if err != nil {
		return nil, "", fmt.Errorf("peer connection: %w", err)
	}
	made = &session{server: s, id: rand.Text(), action: action, camera: camera, pc: pc, closed: make(chan struct{})}
	defer func() {
		if err != nil {
			made.close("it was rejected")
		}
	}()
	gathered := made.gathered()
	if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: offer}); err != nil {
		return made, "", &rejection{http.StatusBadRequest, "The offer is not a valid session description.", err}
	}
	if action == View {
		if made.viewer, err = s.config.Cameras.Attach(pc, bandwidth); err != nil {
			return made, "", err
		}
	} else if err := made.publish(); err != nil {
		return made, "", err
	}
	answer, err = made.answer(ctx, gathered)
	if err != nil {
		return made, "", err
	}
	if action == View {
		if err := made.show(ctx); err != nil {
			return made, "", err
		}
	}
	if !s.keep(made) {
		return made, "", &rejection{http.StatusServiceUnavailable, "The gateway is closing.", video.ErrClosed}
	}
	return made, answer, nil
}

// registerAudio lets offers have audio, which is answered and not used: pion rejects a section without a=mid, and clients made with it fail
// at an answer that rejects their audio.
func registerAudio(media *webrtc.MediaEngine) error {
	return media.RegisterCodec(webrtc.RTPCodecParameters{
		RTPCodecCapability: webrtc.RTPCodecCapability{
			MimeType: webrtc.MimeTypeOpus, ClockRate: 48_000, Channels: 2, SDPFmtpLine: "minptime=10;useinbandfec=1",
		},
		PayloadType: 111,
	}, webrtc.RTPCodecTypeAudio)
}

// show starts the player's camera, if the player takes its codec.
func (s *session) show(ctx context.Context) error {
	err := s.viewer.Show(s.camera) //nolint:contextcheck // a source outlives the request
	if errors.Is(err, video.ErrUnknownCamera) {
		return &rejection{http.StatusNotFound, "There is no camera of this name.", err}
	}
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, describeTimeout)
	defer cancel()
	info := s.server.config.Cameras.Await(ctx, s.camera)
	for _, t := range s.pc.GetTransceivers() {
		if t.Sender() != nil && t.Kind() == webrtc.RTPCodecTypeVideo && !video.Accepts(t.Sender().GetParameters().Codecs, info) {
			return &rejection{http.StatusUnprocessableEntity, "The offer does not accept the camera's codec or profile.", video.ErrCodec}
		}
	}
	return nil
}

// gathered returns a channel that is closed when all candidates of the next ICE session are known. Call it before the remote offer is
// set: a restart gathers from there on, and pion's own promise is kept already then, by the session before.
func (s *session) gathered() <-chan struct{} {
	done := make(chan struct{})
	var once sync.Once
	s.pc.OnICECandidate(func(c *webrtc.ICECandidate) {
		if c == nil {
			once.Do(func() { close(done) })
		}
	})
	return done
}

// answer makes the answer to the remote offer, with the candidates that are found in gatherTimeout.
func (s *session) answer(ctx context.Context, gathered <-chan struct{}) (string, error) {
	answer, err := s.pc.CreateAnswer(nil)
	if err != nil {
		return "", &rejection{http.StatusUnprocessableEntity, "The offer cannot be answered.", err}
	}
	if err := s.pc.SetLocalDescription(answer); err != nil {
		return "", &rejection{http.StatusUnprocessableEntity, "The offer cannot be answered.", err}
	}
	timer := time.NewTimer(gatherTimeout)
	defer timer.Stop()
	select {
	case <-gathered:
	case <-timer.C:
	case <-ctx.Done():
		return "", ctx.Err()
	}
	text := s.pc.LocalDescription().SDP
	s.etag = `"` + attribute(text, "ice-ufrag") + `"`
	return text, nil
}

// keep makes the session known, and watches it.
func (s *Server) keep(made *session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.sessions[made.id] = made
	made.mu.Lock()
	made.start = time.AfterFunc(startTimeout, func() { made.close("it did not connect") })
	made.mu.Unlock()
	// pion calls it on a goroutine of its own.
	made.pc.OnConnectionStateChange(func(state webrtc.PeerConnectionState) {
		switch state {
		case webrtc.PeerConnectionStateConnected:
			made.mu.Lock()
			made.start.Stop()
			made.mu.Unlock()
		case webrtc.PeerConnectionStateFailed, webrtc.PeerConnectionStateClosed:
			made.close("the connection is " + state.String())
		default:
		}
	})
	return true
}

// extend lets the session live until the time.
func (s *session) extend(until time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return
	}
	if s.until != nil {
		s.until.Stop()
	}
	s.until = time.AfterFunc(time.Until(until), func() { s.close("its token expired") })
}

// close ends the session. The second call waits for the first.
func (s *session) close(reason string) {
	s.mu.Lock()
	if s.ended {
		s.mu.Unlock()
		<-s.closed
		return
	}
	s.ended = true
	for _, t := range []*time.Timer{s.until, s.start} {
		if t != nil {
			t.Stop()
		}
	}
	s.mu.Unlock()
	defer close(s.closed)
	s.server.mu.Lock()
	delete(s.server.sessions, s.id)
	s.server.mu.Unlock()
	if s.published {
		s.server.config.Cameras.Remove(s.camera)
	}
	if s.viewer != nil {
		_ = s.viewer.Close()
	}
	if err := s.pc.Close(); err != nil {
		s.server.config.Logger.Warn("close session", "error", err)
	}
	s.server.config.Logger.Info("session ended", "action", s.action, "camera", s.camera, "reason", reason)
}

// patch applies a fragment: candidates, or an ICE restart.
func (s *session) patch(w http.ResponseWriter, r *http.Request, text string) {
	f, err := parseFragment(text)
	if err != nil {
		fail(w, http.StatusBadRequest, "The body is not a valid SDP fragment: "+err.Error()+".")
		return
	}
	s.patching.Lock()
	defer s.patching.Unlock()
	current := s.pc.RemoteDescription()
	match := r.Header.Get("If-Match")
	switch {
	case match == "":
		fail(w, http.StatusPreconditionRequired, "Send If-Match with the session's ETag, or * for an ICE restart.")
	case match == "*" && f.ufrag != "" && f.ufrag != attribute(current.SDP, "ice-ufrag"):
		s.restart(w, r, f, current.SDP)
	case match != "*" && match != s.etag:
		fail(w, http.StatusPreconditionFailed, "The ETag is of another ICE session.")
	default:
		for _, c := range f.candidates {
			if err := s.pc.AddICECandidate(c); err != nil {
				fail(w, http.StatusBadRequest, "A candidate is not valid.")
				return
			}
		}
		w.WriteHeader(http.StatusNoContent)
	}
}

// restart restarts ICE: the old offer with the new credentials is a new offer.
func (s *session) restart(w http.ResponseWriter, r *http.Request, f fragment, offer string) {
	if f.pwd == "" {
		fail(w, http.StatusBadRequest, "An ICE restart needs a=ice-ufrag and a=ice-pwd.")
		return
	}
	gathered := s.gathered()
	renewed := webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: f.renew(offer)}
	if err := s.pc.SetRemoteDescription(renewed); err != nil {
		fail(w, http.StatusUnprocessableEntity, "ICE cannot be restarted with this fragment.")
		return
	}
	answer, err := s.answer(r.Context(), gathered)
	if err != nil {
		fail(w, http.StatusUnprocessableEntity, "ICE cannot be restarted with this fragment.")
		return
	}
	for _, c := range f.candidates {
		if err := s.pc.AddICECandidate(c); err != nil {
			fail(w, http.StatusBadRequest, "A candidate is not valid.")
			return
		}
	}
	w.Header().Set("Content-Type", typeFragment)
	w.Header().Set("ETag", s.etag)
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write([]byte(fragmentOf(answer)))
}
