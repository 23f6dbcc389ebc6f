package access_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/insighthub/insighthub/lib/access"
	"github.com/insighthub/insighthub/lib/attempt"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/token"
)

// hanging is a database that never responds.
type hanging struct{ empty }

func (hanging) BeginAttempt(ctx context.Context, _ attempt.Keys, _ time.Time) (time.Time, error) {
	<-ctx.Done()
	return time.Time{}, fmt.Errorf("begin attempt: %w: %w", telemetry.ErrUnavailable, ctx.Err())
}

func (hanging) Mint(context.Context, token.Identity, time.Duration) (string, token.Claims, error) {
	return "", token.Claims{}, telemetry.ErrUnavailable
}

func (hanging) JWKS(context.Context) ([]byte, error) { return nil, telemetry.ErrUnavailable }

// TestDatabaseHangs checks that the response is 503 with Retry-After, before the function's
// own deadline.
func TestDatabaseHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		platform := hanging{empty{t}}
		service, err := access.New(access.Config{
			Accounts: platform, Attempts: platform, Sessions: platform, Gateways: platform, Trail: platform, Failures: platform,
			Minter: platform, Keys: platform,
			Log: slog.New(slog.DiscardHandler), Now: time.Now, Random: bytes.NewReader(nil), Issuer: "http://127.0.0.1",
		})
		if err != nil {
			t.Fatal(err)
		}
		function, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		r := httptest.NewRequestWithContext(function, http.MethodPost, "/v1/login", strings.NewReader(`{"name":"ada","password":"x"}`))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		service.Handler().ServeHTTP(w, r)
		if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
			t.Errorf("got %d %s, want 503 with Retry-After", w.Code, w.Body)
		}
		if err := function.Err(); err != nil {
			t.Errorf("the response came after the function's deadline: %v", err)
		}
	})
}
