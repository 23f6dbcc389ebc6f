package audit_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/insighthub/insighthub/lib/audit"
)

// TestLatencyWaitsForTheThrottle: a route's throttle is shared by all clients, so a response of
// 429 is no failure of the platform. The self-check waits for a while, and then says so.
func TestLatencyWaitsForTheThrottle(t *testing.T) {
	for name, c := range map[string]struct {
		open func(n int) bool // whether the n-th request finds a token
		want audit.Result
	}{
		"never throttled": {func(int) bool { return true }, audit.Pass},
		"now and then":    {func(n int) bool { return n%3 != 0 }, audit.Pass},
		"for long":        {func(n int) bool { return n < 10 }, audit.Warn},
	} {
		t.Run(name, func(t *testing.T) {
			reads := 0
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if !strings.HasPrefix(r.URL.Path, "/.well-known") {
					_, _ = io.WriteString(w, `{"items":[]}`)
					return
				}
				if reads++; !c.open(reads) {
					w.WriteHeader(http.StatusTooManyRequests)
					_, _ = io.WriteString(w, `{"message":"Too Many Requests"}`)
				}
			}))
			defer server.Close()
			findings := audit.LatencyCheck(audit.LatencyConfig{
				API: audit.API{Base: server.URL, HTTP: server.Client(), Now: time.Now}, Paths: []string{"/.well-known/jwks.json"},
				Reads: 20, Budget: time.Hour, Pause: time.Millisecond,
			})(t.Context())
			if len(findings) != 1 || findings[0].Result != c.want {
				t.Errorf("%+v, want one with %v", findings, c.want)
			}
		})
	}
}
