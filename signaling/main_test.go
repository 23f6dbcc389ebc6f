package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/insighthub/insighthub/lib/eventually"
	"github.com/insighthub/insighthub/lib/rtc"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/token"
	"github.com/insighthub/insighthub/lib/token/tokentest"
)

func environment(all map[string]string) func(string) string {
	return func(name string) string { return all[name] }
}

// TestParseReportsEveryProblem: a wrong environment is reported at once, without secrets.
func TestParseReportsEveryProblem(t *testing.T) {
	t.Parallel()
	_, err := parse(environment(map[string]string{
		"LISTEN": "8443", "DRAIN_SECONDS": "200", "JWKS_URL": "ftp://keys", "TRUSTED_ISSUERS": "{",
		"ORIGINS":   "https://console.example/path",
		"REDIS_URL": "http://:pass-word@redis", "TICKET_KEY": "short-key", "TURN_SECRET": "turn-secret", "TURN_SECRET_ARN": "arn:aws:x",
		"STUN_URLS": "turn:host", "TURN_URLS": "turn:", "MESSAGES_PER_SECOND": "0", "TRUST_FORWARDED_FOR": "yes",
	}))
	if !errors.Is(err, telemetry.ErrInvalid) {
		t.Fatalf("got %v", err)
	}
	for _, want := range []string{
		"LISTEN", "DRAIN_SECONDS", "TOKEN_ISSUER", "JWKS_URL", "trusted issuers", "console.example", "REDIS_URL", "TICKET_KEY: has 9 bytes",
		"TURN_SECRET and TURN_SECRET_ARN", "STUN_URLS", "TURN_URLS", "MESSAGES_PER_SECOND", "TRUST_FORWARDED_FOR",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in: %v", want, err)
		}
	}
	for _, secret := range []string{"pass-word", "short-key", "turn-secret"} {
		if strings.Contains(err.Error(), secret) {
			t.Errorf("the secret %q is in: %v", secret, err)
		}
	}
}

// TestParseDefaults: an issuer is all that one machine needs; tasks that share a relay need
// the same key of tickets.
func TestParseDefaults(t *testing.T) {
	t.Parallel()
	c, err := parse(environment(map[string]string{"TOKEN_ISSUER": "http://127.0.0.1:8080/"}))
	if err != nil || c.jwks != "http://127.0.0.1:8080/.well-known/jwks.json" || c.listen != "127.0.0.1:8443" || c.usesAWS() {
		t.Errorf("got %+v, %v", c, err)
	}
	_, err = parse(environment(map[string]string{"TOKEN_ISSUER": "http://127.0.0.1:8080", "REDIS_URL": "redis://127.0.0.1"}))
	if err == nil || !strings.Contains(err.Error(), "TICKET_KEY") {
		t.Errorf("got %v", err)
	}
}

// keyServer publishes the keys of tokens.
type keyServer struct {
	*httptest.Server
	mu    sync.Mutex
	names []string
	keys  tokentest.Keys
}

func newKeyServer(t *testing.T) *keyServer {
	t.Helper()
	k := &keyServer{names: []string{"current"}}
	k.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		k.mu.Lock()
		defer k.mu.Unlock()
		set := struct {
			Keys []json.RawMessage `json:"keys"`
		}{Keys: []json.RawMessage{[]byte(`{"kty":"RSA","kid":"other","n":"AQAB","e":"AQAB"}`)}}
		for _, name := range k.names {
			jwk, err := token.MarshalPublicKey(&k.keys.Private(name).PublicKey)
			if err != nil {
				t.Error(err)
			}
			set.Keys = append(set.Keys, jwk)
		}
		_ = json.NewEncoder(w).Encode(set)
	}))
	t.Cleanup(k.Close)
	return k
}

func (k *keyServer) mint(t *testing.T, key string) string {
	t.Helper()
	m, err := token.NewMinter(token.MinterConfig{
		Signer: &k.keys, Key: key, Issuer: tokentest.Issuer, Audience: tokentest.Audience, Now: time.Now, Random: rand.Reader,
	})
	if err != nil {
		t.Fatal(err)
	}
	text, _, err := m.Mint(t.Context(), tokentest.GatewayOf("gw-1", "plant-1"), 10*time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestRemoteKeys: keys come from the issuer, a new one is found, and its outage is not the
// token's fault.
func TestRemoteKeys(t *testing.T) {
	t.Parallel()
	k := newKeyServer(t)
	now := time.Now()
	keys := &remoteKeys{url: k.URL, http: k.Client(), config: token.VerifierConfig{
		Issuer: tokentest.Issuer, Audience: tokentest.Audience, Now: func() time.Time { return now },
	}}
	claims, err := keys.Verify(t.Context(), k.mint(t, "current"))
	if err != nil || claims.Gateway != "gw-1" {
		t.Fatalf("got %+v, %v", claims, err)
	}
	next := k.mint(t, "next")
	var rejected *token.RejectionError
	if _, err := keys.Verify(t.Context(), next); !errors.As(err, &rejected) {
		t.Errorf("a token of an unknown key: %v", err)
	}
	k.mu.Lock()
	k.names = append(k.names, "next")
	k.mu.Unlock()
	now = now.Add(retryKeys)
	if _, err := keys.Verify(t.Context(), next); err != nil {
		t.Errorf("a token of the new key: %v", err)
	}
	k.Close()
	now = now.Add(keysFor)
	if _, err := keys.Verify(t.Context(), next); err != nil {
		t.Errorf("without the issuer, known keys: %v", err)
	}
	keys.verifier = nil
	if _, err := keys.Verify(t.Context(), next); !errors.Is(err, telemetry.ErrUnavailable) {
		t.Errorf("without the issuer: got %v", err)
	}
}

// service is a running process, but for the process.
type service struct {
	address string
	stop    context.CancelFunc
	ended   chan error
	logs    *logs
}

type logs struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func startService(t *testing.T, k *keyServer, more map[string]string) *service {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &service{address: listener.Addr().String(), ended: make(chan error, 1), logs: new(logs)}
	_ = listener.Close()
	env := map[string]string{
		"LISTEN": s.address, "TOKEN_ISSUER": tokentest.Issuer, "TOKEN_AUDIENCE": tokentest.Audience, "JWKS_URL": k.URL,
		"TICKET_KEY": "0123456789abcdef", "TURN_SECRET": "turn-secret", "TURN_URLS": "turn:127.0.0.1:3478",
	}
	maps.Copy(env, more)
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	go func() {
		log := slog.New(slog.NewJSONHandler(s.logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
		s.ended <- run(ctx, func() {}, environment(env), log)
	}()
	eventually.True(t, "the service is ready", func() bool { return s.get("/readyz") == http.StatusOK })
	return s
}

func (s *service) get(path string) int {
	response, err := http.Get("http://" + s.address + path)
	if err != nil {
		return 0
	}
	_ = response.Body.Close()
	return response.StatusCode
}

// connect says hello and returns the socket with the welcome.
func (s *service) connect(t *testing.T, text string) (*websocket.Conn, rtc.Welcome) {
	t.Helper()
	dialer := websocket.Dialer{Subprotocols: []string{rtc.Subprotocol}}
	conn, response, err := dialer.DialContext(t.Context(), "ws://"+s.address+rtc.Path, nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.WriteJSON(map[string]string{"type": "hello", "token": text}); err != nil {
		t.Fatal(err)
	}
	welcome, ok := receive(t, conn).(rtc.Welcome)
	if !ok {
		t.Fatal("no welcome")
	}
	return conn, welcome
}

func receive(t *testing.T, conn *websocket.Conn) rtc.Message {
	t.Helper()
	_, raw, err := conn.ReadMessage()
	if err != nil {
		t.Fatal(err)
	}
	m, err := rtc.DecodeServer(raw)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestDrain: a signal turns the service away from new clients, asks those that are there to
// move, and ends it when they have.
func TestDrain(t *testing.T) {
	t.Parallel()
	k := newKeyServer(t)
	s := startService(t, k, map[string]string{"DRAIN_SECONDS": "100"})
	text := k.mint(t, "current")
	conn, welcome := s.connect(t, text)
	if s.get("/healthz") != http.StatusOK || s.get("/metrics") != http.StatusOK {
		t.Error("/healthz or /metrics is not served")
	}
	request, _ := http.NewRequest(http.MethodGet, "http://"+s.address+"/metrics", http.NoBody)
	request.Header.Set("X-Forwarded-For", "203.0.113.7")
	if response, err := http.DefaultClient.Do(request); err != nil || response.StatusCode != http.StatusNotFound {
		t.Errorf("a stranger behind the load balancer: got %v, %v", response, err)
	} else {
		_ = response.Body.Close()
	}
	s.stop()
	move, ok := receive(t, conn).(rtc.Move)
	if !ok || !move.Reconnect || move.DelayMS > 30_000 {
		t.Errorf("got %+v", move)
	}
	eventually.Equal(t, "/readyz while draining", http.StatusServiceUnavailable, func() int { return s.get("/readyz") })
	if s.get("/healthz") != http.StatusOK {
		t.Error("a draining task is not healthy: it would be killed")
	}
	dialer := websocket.Dialer{Subprotocols: []string{rtc.Subprotocol}}
	_, response, err := dialer.DialContext(t.Context(), "ws://"+s.address+rtc.Path, nil)
	if err == nil || response.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("a new client: got %v, %v", response, err)
	}
	_ = conn.Close() // it has moved
	if err := <-s.ended; err != nil {
		t.Error(err)
	}
	for _, secret := range []string{text, welcome.Ticket, "turn-secret", "0123456789abcdef"} {
		if strings.Contains(s.logs.String(), secret) {
			t.Errorf("%q is in the log", secret)
		}
	}
}

// TestDrainDeadline: who does not move is closed with going_away.
func TestDrainDeadline(t *testing.T) {
	t.Parallel()
	k := newKeyServer(t)
	s := startService(t, k, map[string]string{"DRAIN_SECONDS": "1"})
	conn, _ := s.connect(t, k.mint(t, "current"))
	s.stop()
	if m, ok := receive(t, conn).(rtc.Move); !ok {
		t.Errorf("got %+v", m)
	}
	if m, ok := receive(t, conn).(rtc.ErrorMessage); !ok || m.Code != rtc.GoingAway {
		t.Errorf("got %+v", m)
	}
	_, _, err := conn.ReadMessage()
	if !websocket.IsCloseError(err, websocket.CloseGoingAway) {
		t.Errorf("got %v", err)
	}
	if err := <-s.ended; err != nil {
		t.Error(err)
	}
}

// TestListenInUse: an address that is in use is an error, not a service that hangs.
func TestListenInUse(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	env := map[string]string{"TOKEN_ISSUER": tokentest.Issuer, "LISTEN": listener.Addr().String()}
	err = run(t.Context(), func() {}, environment(env), slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), "LISTEN") {
		t.Errorf("got %v", err)
	}
}
