package access_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/insighthub/insighthub/lib/access"
	"github.com/insighthub/insighthub/lib/attempt"
	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/token"
	"github.com/insighthub/insighthub/lib/token/tokentest"
	"github.com/insighthub/insighthub/lib/trail"
)

// empty is a platform without accounts and gateways.
type empty struct{ t *testing.T }

func (empty) AccountByName(context.Context, string) (directory.Account, string, error) {
	return directory.Account{}, "", telemetry.ErrNotFound
}

func (empty) Rehash(context.Context, directory.AccountID, string, string) error { return nil }

func (empty) BeginAttempt(context.Context, attempt.Keys, time.Time) (time.Time, error) {
	return time.Time{}, nil
}

func (empty) SucceedAttempt(context.Context, attempt.Keys, time.Time) error { return nil }

func (empty) StartSession(context.Context, directory.Session, trail.Entry) (bool, error) {
	return false, nil
}

func (empty) RefreshSession(context.Context, directory.Refresh, trail.Entry, trail.Occurrence) (directory.Refreshed, error) {
	return directory.Refreshed{}, telemetry.ErrNotFound
}

func (empty) EndSession(context.Context, [32]byte, trail.Entry) error { return nil }

func (empty) GatewayKey(context.Context, telemetry.GatewayID, string, time.Time) (directory.Gateway, directory.GatewayKey, error) {
	return directory.Gateway{}, directory.GatewayKey{}, telemetry.ErrNotFound
}

func (empty) UseAssertion(context.Context, telemetry.GatewayID, string, time.Time) error {
	return nil
}

// Count is that nothing becomes of what is added up.
func (empty) Count(trail.Occurrence) {}

// AppendFailure checks that the entry holds no control characters of the request.
func (e empty) AppendFailure(_ context.Context, _ bool, entry trail.Entry, _ trail.Occurrence) error {
	if len(entry.Object) > 256 || strings.ContainsAny(entry.Object, "\x00\r\n\x1b") || !json.Valid([]byte(entry.Detail)) {
		e.t.Errorf("got entry %+v, want printable text and a JSON detail", entry)
	}
	return nil
}

// FuzzEndpoints checks that no request to a token endpoint gets a token, a status of 500
// or a response that is not JSON.
func FuzzEndpoints(f *testing.F) {
	const form, object = "application/x-www-form-urlencoded", "application/json"
	for _, seed := range []struct{ path, kind, body string }{
		{"/v1/login", object, `{"name":"ada","password":"x"}`},
		{"/v1/login", object, `{"name":"a\u0000\n\u001b[2J","password":"x"} {}`},
		{"/v1/login", object, `{"name":1}`},
		{"/v1/login", "text/plain", `{}`},
		{"/v1/refresh", object, `{"refresh_token":"ihr_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}`},
		{"/v1/logout", object, `{"refresh_token":"x","admin":true}`},
		{"/v1/token", form, "grant_type=client_credentials&client_assertion=e30.e30.AA" +
			"&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer"},
		{"/v1/token", form, "grant_type=client_credentials&grant_type=x%zz;"},
		{"/v1/token", form + "; charset", strings.Repeat("a", 17<<10)},
	} {
		f.Add(seed.path, seed.kind, seed.body)
	}
	keys := new(tokentest.Keys)
	set, err := token.NewKeySet(token.KeySetConfig{Source: keys, Keys: []token.SigningKey{{Key: "current"}}, Now: time.Now})
	if err != nil {
		f.Fatal(err)
	}
	minter := tokentest.Minter(f, keys, time.Now)
	f.Fuzz(func(t *testing.T, path, kind, body string) {
		platform := empty{t}
		service, err := access.New(access.Config{
			Accounts: platform, Attempts: platform, Sessions: platform, Gateways: platform, Trail: platform, Failures: platform,
			Minter: minter, Keys: set, Cost: cheap(),
			Log: slog.New(slog.DiscardHandler), Now: time.Now, Random: rand.Reader, Issuer: tokentest.Issuer,
		})
		if err != nil {
			t.Fatal(err)
		}
		endpoint := "/v1/login"
		for _, known := range []string{"/v1/refresh", "/v1/logout", "/v1/token"} {
			if strings.HasPrefix(path, known) {
				endpoint = known
			}
		}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, endpoint, strings.NewReader(body))
		r.Header["Content-Type"] = []string{kind}
		w := httptest.NewRecorder()
		service.Handler().ServeHTTP(w, r)
		response, err := io.ReadAll(w.Body)
		if err != nil {
			t.Fatal(err)
		}
		switch w.Code {
		case http.StatusBadRequest, http.StatusUnauthorized, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType:
			if !json.Valid(response) || strings.Contains(string(response), "token\":\"") {
				t.Errorf("%s %q: %s", endpoint, body, response)
			}
		case http.StatusNoContent:
			if endpoint != "/v1/logout" {
				t.Errorf("%s %q: %d", endpoint, body, w.Code)
			}
		default:
			t.Errorf("%s %q: %d %s", endpoint, body, w.Code, response)
		}
	})
}
