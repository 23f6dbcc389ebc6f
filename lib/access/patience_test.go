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
	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/token"
)

// hung is a database that does not answer.
type hung struct{ empty }

func (hung) BeginAttempt(ctx context.Context, _ []directory.AttemptPolicy, _ time.Time) (time.Time, error) {
	<-ctx.Done()
	return time.Time{}, fmt.Errorf("begin attempt: %w: %w", telemetry.ErrUnavailable, ctx.Err())
}

func (hung) Mint(context.Context, token.Identity, time.Duration) (string, token.Claims, error) {
	return "", token.Claims{}, telemetry.ErrUnavailable
}

func (hung) JWKS(context.Context) ([]byte, error) { return nil, telemetry.ErrUnavailable }

// TestDatabaseHangs: the answer is 503 and when to try again, while the function still runs.
func TestDatabaseHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		platform := hung{empty{t}}
		service, err := access.New(access.Config{
			Accounts: platform, Attempts: platform, Sessions: platform, Gateways: platform, Trail: platform, Minter: platform, Keys: platform,
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
			t.Errorf("got %d %s", w.Code, w.Body)
		}
		if err := function.Err(); err != nil {
			t.Errorf("the function had ended by then: %v", err)
		}
	})
}
