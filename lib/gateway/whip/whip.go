package whip

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/insighthub/insighthub/lib/gateway/video"
	"github.com/insighthub/insighthub/lib/problem"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// Action is what a token is asked to permit.
type Action string

// The actions.
const (
	View    Action = "view"
	Publish Action = "publish"
)

// Errors of Authorize.
var (
	ErrUnauthorized = errors.New("the token is missing, not valid or expired")
	ErrForbidden    = errors.New("the token does not permit this")
)

// Media types.
const (
	typeSDP      = "application/sdp"
	typeFragment = "application/trickle-ice-sdpfrag"
)

const (
	maxBody = 64 << 10 // bytes
	// gatherTimeout is the longest that a response waits for candidates of our own: an unreachable STUN server takes 5 s.
	gatherTimeout = 3 * time.Second
	// startTimeout ends a session that never connects.
	startTimeout = 30 * time.Second
	// describeTimeout is the longest that a response waits for a camera's first key frame, which says whether the player can decode it.
	describeTimeout = 2 * time.Second
	retryAfter      = 5 // seconds
)

// Config of a Server. Cameras and Authorize are required.
type Config struct {
	Cameras *video.Cameras
	// Authorize checks a bearer token and returns when its right ends. The error is ErrUnauthorized or ErrForbidden; any other means that
	// it cannot be checked now.
	Authorize func(ctx context.Context, token string, action Action, camera string) (until time.Time, err error)
	// ICEServers returns the servers of one session, with fresh credentials. nil: none.
	ICEServers func(ctx context.Context) ([]webrtc.ICEServer, error)
	// Settings apply to each peer connection.
	Settings webrtc.SettingEngine
	// Origins are those of the browsers' pages that may call.
	Origins []string
	// MaxSessions limits the sessions at a time, 64 if 0.
	MaxSessions int
	Logger      *slog.Logger
}

// Server handles the requests. It is safe for concurrent use.
type Server struct {
	config Config
	mux    *http.ServeMux
	wait   sync.WaitGroup

	mu       sync.Mutex
	closed   bool
	starting int // sessions that are being made
	sessions map[string]*session
}

// New returns a server; Close ends it.
func New(c Config) *Server {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.MaxSessions == 0 {
		c.MaxSessions = 64
	}
	s := &Server{config: c, mux: http.NewServeMux(), sessions: map[string]*session{}}
	for prefix, action := range map[string]Action{"/whip/": Publish, "/whep/": View} {
		s.mux.HandleFunc(prefix+"{camera}", func(w http.ResponseWriter, r *http.Request) { s.endpoint(w, r, action) })
		s.mux.HandleFunc(prefix+"{camera}/{id}", func(w http.ResponseWriter, r *http.Request) { s.session(w, r, action) })
	}
	s.mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		fail(w, http.StatusNotFound, "The endpoints are /whip/{camera} and /whep/{camera}.")
	})
	return s
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Add("Vary", "Origin")
	if origin := r.Header.Get("Origin"); origin != "" {
		if !slices.Contains(s.config.Origins, origin) {
			fail(w, http.StatusForbidden, "Pages of this origin may not call.")
			return
		}
		w.Header().Set("Access-Control-Allow-Origin", origin)
		w.Header().Set("Access-Control-Expose-Headers", "Location, Link, ETag, Accept-Post, Accept-Patch")
	}
	s.mux.ServeHTTP(w, r)
}

// endpoint serves the addresses that sessions are made at.
func (s *Server) endpoint(w http.ResponseWriter, r *http.Request, action Action) {
	switch r.Method {
	case http.MethodOptions:
		w.Header().Set("Accept-Post", typeSDP)
		s.preflight(w, "POST, OPTIONS")
	case http.MethodPost:
		until, ok := s.authorized(w, r, action)
		if !ok {
			return
		}
		if err := telemetry.ValidName(r.PathValue("camera")); err != nil {
			fail(w, http.StatusBadRequest, "The camera's name is not valid: "+err.Error()+".")
			return
		}
		if offer, ok := body(w, r, typeSDP); ok {
			s.create(w, r, action, offer, until)
		}
	default:
		w.Header().Set("Allow", "POST, OPTIONS")
		fail(w, http.StatusMethodNotAllowed, "Send the offer by POST.")
	}
}

// session serves the address of one session.
func (s *Server) session(w http.ResponseWriter, r *http.Request, action Action) {
	switch r.Method {
	case http.MethodOptions:
		w.Header().Set("Accept-Patch", typeFragment)
		s.preflight(w, "PATCH, DELETE, OPTIONS")
		return
	case http.MethodPatch, http.MethodDelete:
	default:
		w.Header().Set("Allow", "PATCH, DELETE, OPTIONS")
		fail(w, http.StatusMethodNotAllowed, "A session takes PATCH and DELETE.")
		return
	}
	until, ok := s.authorized(w, r, action)
	if !ok {
		return
	}
	s.mu.Lock()
	found := s.sessions[r.PathValue("id")]
	s.mu.Unlock()
	if found == nil || found.action != action || found.camera != r.PathValue("camera") {
		fail(w, http.StatusNotFound, "There is no such session; it may have ended.")
		return
	}
	if r.Method == http.MethodDelete {
		found.close("the client ended it")
		w.WriteHeader(http.StatusOK)
		return
	}
	found.extend(until)
	if text, ok := body(w, r, typeFragment); ok {
		found.patch(w, r, text)
	}
}

// preflight answers OPTIONS. The ICE servers' credentials are for those with a token, so they come with the response of POST.
func (s *Server) preflight(w http.ResponseWriter, methods string) {
	w.Header().Set("Access-Control-Allow-Methods", methods)
	w.Header().Set("Access-Control-Allow-Headers", "Authorization, Content-Type, If-Match")
	w.Header().Set("Access-Control-Max-Age", "600")
	w.WriteHeader(http.StatusNoContent)
}

// authorized checks the token, and responds if it does not permit the action.
func (s *Server) authorized(w http.ResponseWriter, r *http.Request, action Action) (until time.Time, ok bool) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	err := ErrUnauthorized
	if strings.EqualFold(scheme, "Bearer") && token != "" {
		until, err = s.config.Authorize(r.Context(), strings.TrimSpace(token), action, r.PathValue("camera"))
		if err == nil && !time.Now().Before(until) {
			err = ErrUnauthorized
		}
	}
	switch {
	case err == nil:
		return until, true
	case errors.Is(err, ErrUnauthorized):
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		fail(w, http.StatusUnauthorized, "Send a valid token: Authorization: Bearer TOKEN.")
	case errors.Is(err, ErrForbidden):
		w.Header().Set("WWW-Authenticate", `Bearer error="insufficient_scope"`)
		fail(w, http.StatusForbidden, "The token does not permit to "+string(action)+" this camera.")
	default:
		s.config.Logger.Error("check token", "error", err)
		unavailable(w, "The token cannot be checked now.")
	}
	return time.Time{}, false
}

// body reads a request's body of the media type, and responds if there is none.
func body(w http.ResponseWriter, r *http.Request, mediaType string) (string, bool) {
	if got, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || got != mediaType {
		fail(w, http.StatusUnsupportedMediaType, "The Content-Type must be "+mediaType+".")
		return "", false
	}
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var tooLong *http.MaxBytesError
	switch {
	case errors.As(err, &tooLong):
		fail(w, http.StatusRequestEntityTooLarge, "The body is longer than "+strconv.Itoa(maxBody)+" bytes.")
		return "", false
	case err != nil:
		fail(w, http.StatusBadRequest, "The body ended early.")
		return "", false
	}
	return string(text), true
}

// links writes the ICE servers as Link headers (RFC 9725, section 4.6).
func links(h http.Header, servers []webrtc.ICEServer) {
	for _, s := range servers {
		for _, u := range s.URLs {
			link := "<" + u + `>; rel="ice-server"`
			if password, ok := s.Credential.(string); ok && s.Username != "" {
				link += "; username=" + quoted(s.Username) + "; credential=" + quoted(password) + `; credential-type="password"`
			}
			h.Add("Link", link)
		}
	}
}

// quoted returns a quoted-string (RFC 9110, section 5.6.4).
func quoted(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

func fail(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", problem.ContentType)
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(problem.Document{Status: status, Detail: detail})
}

func unavailable(w http.ResponseWriter, detail string) {
	w.Header().Set("Retry-After", strconv.Itoa(retryAfter))
	fail(w, http.StatusServiceUnavailable, detail)
}

// Close ends all sessions and waits for them.
func (s *Server) Close() error {
	s.mu.Lock()
	s.closed = true
	open := make([]*session, 0, len(s.sessions))
	for _, found := range s.sessions {
		open = append(open, found)
	}
	s.mu.Unlock()
	for _, found := range open {
		found.close("the server closes")
	}
	s.wait.Wait()
	return nil
}
