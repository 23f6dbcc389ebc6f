package main

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	local "github.com/insighthub/insighthub/cdk/local/kms"
	locals3 "github.com/insighthub/insighthub/cdk/local/s3"
	awsconfig "github.com/insighthub/insighthub/lib/aws/config"
	"github.com/insighthub/insighthub/lib/aws/kms"
	lambdahost "github.com/insighthub/insighthub/lib/lambda/host"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/token"
)

// service is a local KMS with one key, and the environment of a function that uses it.
type service struct {
	*httptest.Server
	env map[string]string
	arn string
}

func newService(tb testing.TB) *service {
	tb.Helper()
	file := filepath.Join(tb.TempDir(), "kms.json")
	store, err := local.New(local.Config{File: file, Region: "eu-west-1", AccountID: "1", Now: time.Now})
	if err != nil {
		tb.Fatal(err)
	}
	if err := store.Ensure("k"); err != nil {
		tb.Fatal(err)
	}
	s := &service{Server: httptest.NewServer(store.Handler()), arn: store.ARN("k")}
	tb.Cleanup(s.Close)
	s.env = map[string]string{
		"TOKEN_ISSUER": "https://a.example", "TOKEN_AUDIENCE": "insighthub", "SIGNING_KEYS": `[{"key":"` + s.arn + `"}]`,
		"EVENT_BUS": "none", "AWS_ENDPOINT_URL_EVENTBRIDGE": "http://127.0.0.1:1",
		"STATE_BUCKET": "states", "AWS_S3_PATH_STYLE": "true", "AWS_ENDPOINT_URL_S3": stateBucket(tb),
		"AWS_ENDPOINT_URL_KMS": s.URL, "AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none",
	}
	return s
}

// stateBucket returns the address of an S3 with an empty bucket.
func stateBucket(tb testing.TB) string {
	tb.Helper()
	objects, err := locals3.New(locals3.Config{Dir: tb.TempDir(), Now: time.Now})
	if err != nil {
		tb.Fatal(err)
	}
	if err := objects.CreateBucket("states"); err != nil {
		tb.Fatal(err)
	}
	server := httptest.NewServer(objects.Handler())
	tb.Cleanup(func() {
		server.Close()
		if err := objects.Close(); err != nil {
			tb.Error(err)
		}
	})
	return server.URL
}

func (s *service) getenv(name string) string { return s.env[name] }

func (s *service) function(t *testing.T, log io.Writer) *lambdahost.Instance {
	t.Helper()
	instance, err := lambdahost.New(t.Context(), s.getenv, slog.New(slog.NewJSONHandler(log, nil)), build)
	if err != nil {
		t.Fatal(err)
	}
	return instance
}

func (s *service) mint(tb testing.TB, who token.Identity) string {
	tb.Helper()
	aws, err := awsconfig.Load(s.getenv)
	if err != nil {
		tb.Fatal(err)
	}
	minter, err := token.NewMinter(token.MinterConfig{
		Signer: kms.New(aws), Key: s.arn, Issuer: s.env["TOKEN_ISSUER"], Audience: s.env["TOKEN_AUDIENCE"],
		Now: time.Now, Random: rand.Reader,
	})
	if err != nil {
		tb.Fatal(err)
	}
	text, _, err := minter.Mint(tb.Context(), who, time.Minute)
	if err != nil {
		tb.Fatal(err)
	}
	return text
}

func payload(authorization string) []byte {
	raw, _ := json.Marshal(authorization) // a string is always valid
	return []byte(`{"version":"2.0","type":"REQUEST","identitySource":[` + string(raw) + `],"requestContext":{"requestId":"r-1"}}`)
}

// TestFunction builds the function from its environment; it reads its key with the AWS SDK.
func TestFunction(t *testing.T) {
	t.Parallel()
	s := newService(t)
	var log strings.Builder
	f := s.function(t, &log)
	text := s.mint(t, token.Identity{Subject: "gw-1", Gateway: "gw-1", Site: "plant-1", Role: token.Gateway})
	got, err := f.Invoke(t.Context(), payload("Bearer "+text))
	if err != nil {
		t.Fatal(err)
	}
	var response struct {
		IsAuthorized bool           `json:"isAuthorized"`
		Context      map[string]any `json:"context"`
	}
	err = json.Unmarshal(got, &response)
	if err != nil || !response.IsAuthorized || response.Context["gateway"] != "gw-1" || response.Context["role"] != "gateway" {
		t.Errorf("got %s, %v; want the gateway authorized", got, err)
	}
	person := s.mint(t, token.Identity{Subject: "u-1", Grants: map[telemetry.SiteID]token.Role{"plant-1": token.Viewer}})
	got, err = f.Invoke(t.Context(), payload("Bearer "+person))
	if want := `"grants":{"plant-1":"viewer"}`; err != nil || !strings.Contains(string(got), want) {
		t.Errorf("got %s, %v; want %s", got, err, want)
	}
	for _, header := range []string{"Bearer " + text + "x", "Bearer " + text[:len(text)-4], "Bearer", "Basic " + text, text} {
		if got, err := f.Invoke(t.Context(), payload(header)); err != nil || string(got) != `{"isAuthorized":false}` {
			t.Errorf("%.10s…: got %s, %v", header, got, err)
		}
	}
	if strings.Contains(log.String(), text[:20]) || !strings.Contains(log.String(), "r-1") {
		t.Errorf("log:\n%s", log.String())
	}
}

// TestWithoutKMS: callers whose key is cached are authorized; for others the function fails,
// and says neither authorized nor unauthorized.
func TestWithoutKMS(t *testing.T) {
	t.Parallel()
	s := newService(t)
	f, cold := s.function(t, io.Discard), s.function(t, io.Discard)
	text := "Bearer " + s.mint(t, token.Identity{Subject: "gw-1", Gateway: "gw-1", Site: "plant-1", Role: token.Gateway})
	if _, err := f.Invoke(t.Context(), payload(text)); err != nil {
		t.Fatal(err)
	}
	s.Close()
	if got, err := f.Invoke(t.Context(), payload(text)); err != nil || !strings.HasPrefix(string(got), `{"isAuthorized":true`) {
		t.Errorf("with a cached key: got %s, %v", got, err)
	}
	got, err := cold.Invoke(t.Context(), payload(text))
	if err == nil || errors.Is(err, telemetry.ErrInvalid) || strings.Contains(err.Error(), text[7:30]) {
		t.Errorf("without a key: got %s, %v, want an error", got, err)
	}
}

func TestBuildNamesWhatIsMissing(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"TOKEN_ISSUER", "TOKEN_AUDIENCE", "SIGNING_KEYS", "AWS_REGION", "EVENT_BUS", "STATE_BUCKET"} {
		s := newService(t)
		delete(s.env, name)
		_, err := lambdahost.New(t.Context(), s.getenv, slog.New(slog.DiscardHandler), build)
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("without %s: got %v, want an error that names it", name, err)
		}
	}
	for name, value := range map[string]string{"SIGNING_KEYS": "[]", "TRUSTED_ISSUERS": `[{"issuer":"i"}]`} {
		s := newService(t)
		s.env[name] = value
		if _, err := lambdahost.New(t.Context(), s.getenv, slog.New(slog.DiscardHandler), build); err == nil {
			t.Errorf("%s %s: got no error", name, value)
		}
	}
}
