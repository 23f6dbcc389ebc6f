// Package localsignaling starts the signaling service as a process of its own, with keys in
// memory for the tokens of people and gateways, for load tests and the browser's tests.
package localsignaling

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/insighthub/insighthub/lib/token"
)

const (
	issuer   = "https://localsignaling.test"
	audience = "insighthub"
	keyName  = "current"

	startTimeout = 2 * time.Minute // on a busy machine
	stopTimeout  = 30 * time.Second
)

// Config configures a Server.
type Config struct {
	// Binary is the program: go build ./signaling.
	Binary string
	// Origins are the origins of pages that may connect.
	Origins []string
	// Environment is added to the service's, such as TURN_URLS, TURN_SECRET, REDIS_URL.
	Environment map[string]string
	// Logs gets what the service writes; nil: nothing.
	Logs io.Writer
}

// Server is a running service. Stop ends it.
type Server struct {
	config  Config
	address string
	ticket  string
	keys    *http.Server
	jwks    string
	minter  *token.Minter
	cmd     *exec.Cmd
	exited  chan struct{}
}

// Start starts a service on a free port of the loopback interface and waits until it is ready.
func Start(ctx context.Context, config Config) (*Server, error) {
	s := &Server{config: config}
	if err := s.serveKeys(ctx); err != nil {
		return nil, err
	}
	ticket := make([]byte, 32)
	_, _ = rand.Read(ticket) // never fails
	s.ticket = hex.EncodeToString(ticket)
	var err error
	if s.address, err = freeAddress(ctx); err == nil {
		err = s.run(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, s.keys.Close())
	}
	return s, nil
}

// URL is the WebSocket URL for peers.
func (s *Server) URL() string { return "ws://" + s.address + "/v1/signaling" }

// PID is the id of the service's process.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// Token returns an access token that the service accepts.
func (s *Server) Token(ctx context.Context, who token.Identity, ttl time.Duration) (string, error) {
	text, _, err := s.minter.Mint(ctx, who, ttl)
	return text, err
}

// Kill ends the process at once, as kill -9 does.
func (s *Server) Kill() error {
	if err := s.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-s.exited
	return nil
}

// Restart starts the service again after Kill: at the same address, with the same keys.
func (s *Server) Restart(ctx context.Context) error { return s.run(ctx) }

// Stop ends the service and waits for it.
func (s *Server) Stop() error {
	err := s.cmd.Process.Signal(syscall.SIGTERM)
	if errors.Is(err, os.ErrProcessDone) {
		err = nil
	}
	select {
	case <-s.exited:
	case <-time.After(stopTimeout):
		err = errors.Join(err, fmt.Errorf("signaling did not stop within %v", stopTimeout), s.Kill())
	}
	return errors.Join(err, s.keys.Close())
}

func (s *Server) run(ctx context.Context) error {
	environment := map[string]string{
		"LISTEN": s.address, "TOKEN_ISSUER": issuer, "TOKEN_AUDIENCE": audience, "JWKS_URL": s.jwks,
		"ORIGINS": strings.Join(s.config.Origins, " "), "TICKET_KEY": s.ticket, "DRAIN_SECONDS": "0",
		"GODEBUG": "adaptivestackstart=0", // as in the image
	}
	maps.Copy(environment, s.config.Environment)
	// Not with the context: Stop and Kill end the process.
	s.cmd = exec.Command(s.config.Binary) //nolint:gosec,noctx // the caller's program
	s.cmd.Env = []string{}
	for _, name := range slices.Sorted(maps.Keys(environment)) {
		s.cmd.Env = append(s.cmd.Env, name+"="+environment[name])
	}
	s.cmd.Stdout, s.cmd.Stderr = s.config.Logs, s.config.Logs
	// It ends with this process.
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		return fmt.Errorf("start signaling: %w", err)
	}
	exited := make(chan struct{})
	s.exited = exited
	go func() {
		_ = s.cmd.Wait()
		close(exited)
	}()
	if err := s.ready(ctx); err != nil {
		return errors.Join(err, s.Kill())
	}
	return nil
}

// ready waits until the service says that it is ready.
func (s *Server) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.address+"/readyz", http.NoBody)
		if err != nil {
			return err
		}
		response, err := http.DefaultClient.Do(request)
		if err == nil {
			_ = response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-s.exited:
			return errors.New("signaling ended at its start; see its log")
		case <-ctx.Done():
			return fmt.Errorf("signaling is not ready: %w", ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// serveKeys makes a key and serves its public half.
func (s *Server) serveKeys(ctx context.Context) error {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	source := signer{private}
	set, err := token.NewKeySet(token.KeySetConfig{Source: source, Keys: []token.SigningKey{{Key: keyName}}, Now: time.Now})
	if err != nil {
		return err
	}
	if s.minter, err = token.NewMinter(token.MinterConfig{
		Signer: source, Key: keyName, Issuer: issuer, Audience: audience, Now: time.Now, Random: rand.Reader,
	}); err != nil {
		return err
	}
	body, err := set.JWKS(ctx)
	if err != nil {
		return err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s.jwks = "http://" + listener.Addr().String() + "/jwks.json"
	s.keys = &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/jwk-set+json")
			_, _ = w.Write(body)
		}),
		ReadHeaderTimeout: time.Minute,
	}
	go func() { _ = s.keys.Serve(listener) }() // until Close
	return nil
}

func freeAddress(ctx context.Context) (string, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}

// signer is a token.Signer with one key in memory.
type signer struct{ key *ecdsa.PrivateKey }

var _ token.Signer = signer{}

func (s signer) PublicKey(context.Context, string) (*ecdsa.PublicKey, error) {
	return &s.key.PublicKey, nil
}

func (s signer) Sign(_ context.Context, _ string, digest [sha256.Size]byte) ([]byte, error) {
	r, t, err := ecdsa.Sign(rand.Reader, s.key, digest[:])
	if err != nil {
		return nil, err
	}
	raw := make([]byte, 64)
	r.FillBytes(raw[:32])
	t.FillBytes(raw[32:])
	return raw, nil
}
