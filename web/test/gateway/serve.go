package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/token"
	"github.com/insighthub/insighthub/loadtest/localsignaling"
)

// server is the origin of the pages.
type server struct {
	signaling *localsignaling.Server

	mu      sync.Mutex
	gateway *exec.Cmd
}

func serve(ctx context.Context, args []string, out io.Writer) (err error) {
	flags := flag.NewFlagSet("gateway serve", flag.ContinueOnError)
	program := flags.String("signaling", "", "the program of the signaling service")
	pages := flags.String("pages", "build/local/web/live", "the folder of the built pages")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *program == "" {
		return errors.New("want -signaling PROGRAM")
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	origin := "http://" + listener.Addr().String()
	s := &server{}
	if s.signaling, err = localsignaling.Start(ctx, localsignaling.Config{
		Binary: *program, Origins: []string{origin}, Logs: os.Stderr,
	}); err != nil {
		return errors.Join(err, listener.Close())
	}
	defer func() { err = errors.Join(err, s.signaling.Stop()) }()
	if err := s.startGateway(ctx); err != nil {
		return errors.Join(err, listener.Close())
	}
	defer s.killGateway()
	if err := json.NewEncoder(out).Encode(map[string]string{
		"origin": origin, "signaling": s.signaling.URL(), "site": string(site), "gateway": string(gatewayName),
	}); err != nil {
		return err
	}
	h := &http.Server{Handler: s.handler(*pages), ReadHeaderTimeout: time.Minute}
	go func() {
		<-ctx.Done()
		_ = h.Close()
	}()
	if err := h.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func (s *server) handler(pages string) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /live/", withHeaders(http.StripPrefix("/live/", http.FileServer(http.Dir(pages)))))
	mux.HandleFunc("GET /live/config.json", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, map[string]string{"signaling": s.signaling.URL(), "api": ""})
	})
	mux.HandleFunc("POST /v1/login", s.login)
	mux.HandleFunc("POST /v1/refresh", s.refresh)
	mux.HandleFunc("POST /v1/logout", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("GET /v1/sites", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, map[string]any{"items": []map[string]string{{"name": string(site), "title": "Plant 1"}}})
	})
	mux.HandleFunc("POST /test/score", score)
	mux.HandleFunc("POST /test/gateway/kill", func(http.ResponseWriter, *http.Request) { s.killGateway() })
	mux.HandleFunc("POST /test/gateway/stop", s.signalGateway(syscall.SIGSTOP))
	mux.HandleFunc("POST /test/gateway/continue", s.signalGateway(syscall.SIGCONT))
	mux.HandleFunc("POST /test/gateway/start", try(s.startGateway))
	mux.HandleFunc("POST /test/signaling/kill", try(func(context.Context) error { return s.signaling.Kill() }))
	mux.HandleFunc("POST /test/signaling/start", try(s.signaling.Restart))
	return mux
}

// withHeaders adds what the local stack sends with the pages.
func withHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self' ws: wss:; "+
			"base-uri 'none'; frame-ancestors 'none'; object-src 'none'")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Embedder-Policy", "require-corp")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-cache")
		next.ServeHTTP(w, r)
	})
}

func try(f func(context.Context) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := f(context.WithoutCancel(r.Context())); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	}
}

func (s *server) login(w http.ResponseWriter, r *http.Request) {
	var body struct{ Name, Password string }
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil || body.Password == "wrong" {
		unauthorized(w)
		return
	}
	if body.Name == "brief" {
		s.tokens(w, r, briefly, "ihr_brief")
		return
	}
	s.tokens(w, r, 10*time.Minute, "ihr_test")
}

// briefly is the lifetime of the token of the person "brief", who gets no other.
const briefly = 20 * time.Second

func (s *server) refresh(w http.ResponseWriter, r *http.Request) {
	var body struct {
		RefreshToken string `json:"refresh_token"`
	}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil || body.RefreshToken != "ihr_test" {
		unauthorized(w)
		return
	}
	s.tokens(w, r, 10*time.Minute, "ihr_test")
}

func unauthorized(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(http.StatusUnauthorized)
	_, _ = io.WriteString(w, `{"type":"about:blank","title":"Unauthorized","status":401,"detail":"The name or the password is wrong."}`)
}

func (s *server) tokens(w http.ResponseWriter, r *http.Request, ttl time.Duration, refresh string) {
	access, err := s.signaling.Token(r.Context(), token.Identity{
		Subject: "1b671a64-40d5-491e-99b0-da01ff1f3341", Grants: map[telemetry.SiteID]token.Role{site: token.Viewer},
	}, ttl)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	writeJSON(w, map[string]any{
		"access_token": access, "token_type": "Bearer", "expires_in": int(ttl.Seconds()),
		"refresh_token": refresh, "refresh_expires_in": 43200,
	})
}

// startGateway starts the gateway as a process of its own.
func (s *server) startGateway(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gateway != nil {
		return errors.New("the gateway runs")
	}
	access, err := s.signaling.Token(ctx, token.Identity{
		Subject: string(gatewayName), Gateway: gatewayName, Site: site, Role: token.Gateway,
	}, time.Hour)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(self, "publish") //nolint:gosec,noctx // this program; killGateway ends it
	cmd.Env = []string{"SIGNALING=" + s.signaling.URL(), "TOKEN=" + access}
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the gateway: %w", err)
	}
	s.gateway = cmd
	return nil
}

// killGateway ends the gateway as kill -9 does, and waits for it.
func (s *server) killGateway() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gateway == nil {
		return
	}
	_ = s.gateway.Process.Kill()
	_ = s.gateway.Wait()
	s.gateway = nil
}

func (s *server) signalGateway(sig syscall.Signal) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.gateway == nil {
			http.Error(w, "the gateway does not run", http.StatusConflict)
			return
		}
		_ = s.gateway.Process.Signal(sig)
	}
}
