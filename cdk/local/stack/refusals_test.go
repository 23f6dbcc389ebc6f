package stack

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/insighthub/insighthub/lib/eventually"
	"github.com/insighthub/insighthub/lib/timescale"
	"github.com/insighthub/insighthub/lib/timescale/timescaletest"
	"github.com/insighthub/insighthub/lib/timescale/timescaletest/pgtest"
	"github.com/insighthub/insighthub/lib/trail"
)

// reportEverySecond changes an assembly: the authorizer reports each second, and the API has a
// high rate limit.
func reportEverySecond(t *testing.T, assembly string) {
	t.Helper()
	file := filepath.Join(assembly, "Flow.template.json")
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(string(raw), `"TOKEN_AUDIENCE"`, `"REFUSALS_INTERVAL_SECONDS":"1","TOKEN_AUDIENCE"`, 1)
	fast := strings.NewReplacer(`"ThrottlingBurstLimit":2000`, `"ThrottlingBurstLimit":100000`, `"ThrottlingRateLimit":1000`,
		`"ThrottlingRateLimit":100000`).Replace(text)
	if text == string(raw) || fast == text {
		t.Fatal("the assembly does not have the expected settings")
	}
	if err := os.WriteFile(file, []byte(fast), 0o600); err != nil {
		t.Fatal(err)
	}
}

// from returns a client with its own source address.
func from(address string) *http.Client {
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
	return &http.Client{Transport: &http.Transport{DialContext: dialer.DialContext, MaxIdleConnsPerHost: 4}}
}

// tryToken sends a request with a token and returns the status.
func tryToken(t *testing.T, client *http.Client, url, token string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/v1/sites", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Error(err)
		return 0
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

// auditOf returns the audit trail, as the first administrator reads it.
func auditOf(t *testing.T, s *Stack) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.Info().HTTP+"/v1/audit?format=ndjson&limit=1000", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+logIn(t, s))
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	raw, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("audit: %d %s, %v", answer.StatusCode, raw, err)
	}
	return string(raw)
}

// TestRejectedTokensAreInTheAuditTrail: GET /v1/audit soon shows a rejected token. Ten
// thousand from many addresses are a limited number of entries whose numbers sum to ten
// thousand, with those that the authorizer had not reported before its end; and the hash
// chain is intact.
func TestRejectedTokensAreInTheAuditTrail(t *testing.T) {
	t.Parallel()
	// The authorizer has a quarter of a second for its last report. On a machine that stalls for as
	// long the report is lost, which is not what is tested here: then the test is repeated.
	for deadline := time.Now().Add(eventually.Timeout); ; {
		wrong, inTime := rejectMany(t)
		if wrong == "" || t.Failed() {
			return
		}
		if inTime || time.Now().After(deadline) {
			t.Fatal(wrong)
		}
	}
}

// rejectMany returns what is wrong with the entries, and whether the authorizer ended in time.
func rejectMany(t *testing.T) (wrong string, inTime bool) {
	t.Helper()
	cfg := Config{State: t.TempDir(), Database: pgtest.NewDatabase(t), Functions: build(t).functions, Assembly: measuredAssembly(t)}
	serveAPI(t, cfg.Assembly)
	reportEverySecond(t, cfg.Assembly)
	s := startTest(t, cfg)
	good := newGateway(t, s, "gw-1").token
	at := len(good) - 20 // in the signature
	bad := func(i int) string { return good[:at] + fmt.Sprintf("%08d", i) + good[at+8:] }

	if status := tryToken(t, from("127.0.0.2"), s.Info().HTTP, ""); status != http.StatusUnauthorized {
		t.Errorf("without a token: got %d, want 401", status)
	}
	if status := tryToken(t, from("127.0.0.2"), s.Info().HTTP, bad(10_000)); status != http.StatusForbidden {
		t.Errorf("invalid token: got %d, want 403", status)
	}
	shown := ""
	eventually.True(t, "a rejected token in the audit trail", func() bool {
		shown = auditOf(t, s)
		return strings.Contains(shown, `"action":"access_token.refuse"`)
	})
	for _, want := range []string{
		`\"number\":1`, `\"reason\":\"the signature does not verify\"`, `\"source\":\"127.0.0.2\"`,
		`\"route\":\"ANY /v1/{path+}\"`, `\"claimed_subject\":\"gw-1\"`,
	} {
		if !strings.Contains(shown, want) {
			t.Errorf("the audit trail does not have %s:\n%s", want, shown)
		}
	}

	const addresses, each = 50, 200
	start := time.Now()
	var all sync.WaitGroup
	for a := range addresses {
		all.Go(func() {
			client := from(fmt.Sprintf("127.0.1.%d", a+1))
			defer client.CloseIdleConnections()
			for i := range each {
				if status := tryToken(t, client, s.Info().HTTP, bad(a*each+i)); status != http.StatusForbidden {
					t.Errorf("got status %d, want 403", status)
					return
				}
			}
		})
	}
	all.Wait()
	took := time.Since(start)
	environments := len(program(t, s, "authorizer").Stats().PIDs)
	end := time.Now()
	if err := program(t, s, "authorizer").Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	inTime = time.Since(end) < 250*time.Millisecond
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}

	timescaletest.SumAtOnce(t, cfg.Database) // what came in the last minute is not summed yet
	pool, err := timescale.Open(t.Context(), timescale.PoolConfig{DSN: cfg.Database})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	entries, err := pool.TrailAfter(t.Context(), 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	var chain trail.Verifier
	refused, sum := 0, int64(0)
	for _, e := range entries {
		if err := chain.Next(e); err != nil {
			t.Error(err)
		}
		if strings.Contains(e.Detail, good[:20]) || strings.Contains(e.Detail, good[at-40:at]) {
			t.Error("the audit trail has a part of the token")
		}
		if e.Action != trail.RefusedAccessToken {
			continue
		}
		r, err := trail.ParseSum([]byte(e.Detail), e.Action)
		if err != nil {
			t.Fatal(err)
		}
		refused++
		sum += r.Number
	}
	// One a minute, however many environments there are, and a first and a last one.
	most := int(took.Minutes()) + 3
	if sum != addresses*each+1 || refused > most {
		wrong = fmt.Sprintf("got %d entries whose numbers sum to %d, want %d in at most %d entries", refused, sum, addresses*each+1, most)
	}
	t.Logf("%d rejected tokens of %d addresses in %v: %d entries of %d environments", sum, addresses, took, refused, environments)
	if raw := stateFileOf(t, cfg, "logs/events-undelivered.log"); len(raw) > 0 {
		t.Errorf("undelivered events: got %s, want none", raw)
	}
	return wrong, inTime
}
