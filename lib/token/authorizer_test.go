package token_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/token"
)

// vault is a SecretSource.
type vault struct {
	secret []byte
	err    error
	calls  int
}

func (v *vault) Get(_ context.Context, arn string) ([]byte, error) {
	v.calls++
	if arn != "arn:secret" {
		return nil, fmt.Errorf("secret %q: %w", arn, telemetry.ErrNotFound)
	}
	return v.secret, v.err
}

type fixture struct {
	*token.Authorizer
	vault *vault
	now   time.Time
	log   bytes.Buffer
}

func newFixture(tb testing.TB) *fixture {
	tb.Helper()
	f := &fixture{vault: &vault{secret: newSecret(tb)}, now: now()}
	var err error
	f.Authorizer, err = token.NewAuthorizer(token.AuthorizerConfig{
		Secrets: f.vault, SecretARN: "arn:secret", Now: func() time.Time { return f.now },
		Log: slog.New(slog.NewJSONHandler(&f.log, nil)),
	})
	if err != nil {
		tb.Fatal(err)
	}
	return f
}

// event is an authorizer event as API Gateway sends it.
func event(tb testing.TB, authorization string) []byte {
	tb.Helper()
	out, err := json.Marshal(map[string]any{
		"version": "2.0", "type": "REQUEST",
		"routeArn":       "arn:aws:execute-api:eu-west-1:123456789012:abcdef123/dev/POST/v1/telemetry",
		"identitySource": []string{authorization},
		"routeKey":       "POST /v1/telemetry",
		"headers":        map[string]string{"authorization": authorization},
		"requestContext": map[string]any{"requestId": "req-1"},
	})
	if err != nil {
		tb.Fatal(err)
	}
	return out
}

const (
	authorized    = `{"isAuthorized":true,"context":{"gateway":"gw-1","site":"plant-1","role":"gateway"}}`
	notAuthorized = `{"isAuthorized":false}`
)

func TestAuthorizes(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	text := mint(t, f.vault.secret, claims(), time.Hour, now())
	for name, c := range map[string]struct {
		payload []byte
		want    string
	}{
		"bearer":                 {event(t, "Bearer "+text), authorized},
		"scheme in lower case":   {event(t, "bearer "+text), authorized},
		"headers alone":          {[]byte(`{"version":"2.0","type":"REQUEST","headers":{"Authorization":"Bearer ` + text + `"}}`), authorized},
		"no header":              {[]byte(`{"version":"2.0","type":"REQUEST","headers":{}}`), notAuthorized},
		"no scheme":              {event(t, text), notAuthorized},
		"another scheme":         {event(t, "Basic "+text), notAuthorized},
		"bearer of nothing":      {event(t, "Bearer "), notAuthorized},
		"token of another key":   {event(t, "Bearer "+mint(t, newSecret(t), claims(), time.Hour, now())), notAuthorized},
		"token that has expired": {event(t, "Bearer "+mint(t, f.vault.secret, claims(), time.Minute, now().Add(-time.Hour))), notAuthorized},
	} {
		got, err := f.Invoke(t.Context(), c.payload)
		if err != nil || string(got) != c.want {
			t.Errorf("%s: got %s, %v; want %s", name, got, err, c.want)
		}
	}
	if f.vault.calls != 1 {
		t.Errorf("the secret was read %d times", f.vault.calls)
	}
	if strings.Contains(f.log.String(), text) {
		t.Error("a token stands in the log")
	}
}

func TestFollowsRotation(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	check := func(secret []byte, want string) {
		t.Helper()
		got, err := f.Invoke(t.Context(), event(t, "Bearer "+mint(t, secret, claims(), time.Hour, now())))
		if err != nil || string(got) != want {
			t.Errorf("got %s, %v; want %s", got, err, want)
		}
	}
	before := f.vault.secret
	check(before, authorized)
	f.vault.secret = newSecret(t)
	check(before, authorized) // kept
	f.now = f.now.Add(token.DefaultSecretTTL)
	check(f.vault.secret, authorized)
	check(before, notAuthorized)
	f.now = f.now.Add(token.DefaultSecretTTL)
	f.vault.err = telemetry.ErrUnavailable
	check(f.vault.secret, authorized) // the source is down
}

func TestCanNotTell(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	text := "Bearer " + mint(t, f.vault.secret, claims(), time.Hour, now())
	f.vault.err = fmt.Errorf("no such secret: %w", telemetry.ErrInvalid)
	for name, payload := range map[string][]byte{
		"no secret":  event(t, text),
		"not JSON":   []byte(`{`),
		"format 1.0": []byte(`{"version":"1.0","type":"REQUEST"}`),
	} {
		if got, err := f.Invoke(t.Context(), payload); err == nil {
			t.Errorf("%s: got %s", name, got)
		}
	}
	f.vault.err = nil
	if got, err := f.Invoke(t.Context(), event(t, text)); err != nil || string(got) != authorized {
		t.Errorf("after the source came back: got %s, %v", got, err)
	}
}

func TestNewAuthorizerNamesAllThatIsMissing(t *testing.T) {
	t.Parallel()
	_, err := token.NewAuthorizer(token.AuthorizerConfig{})
	if !errors.Is(err, telemetry.ErrInvalid) {
		t.Fatalf("got %v", err)
	}
	for _, want := range []string{"secret source", "ARN", "clock", "log"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not mention %s", err, want)
		}
	}
}
