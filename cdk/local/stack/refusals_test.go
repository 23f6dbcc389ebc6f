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
	"github.com/insighthub/insighthub/lib/refusals"
	"github.com/insighthub/insighthub/lib/timescale"
	"github.com/insighthub/insighthub/lib/timescale/timescaletest/pgtest"
	"github.com/insighthub/insighthub/lib/trail"
)

// hasty has the authorizer of an assembly report each second, and the API take all that comes.
func hasty(t *testing.T, assembly string) {
	t.Helper()
	file := filepath.Join(assembly, "Flow.template.json")
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(string(raw), `"TOKEN_AUDIENCE"`, `"REFUSALS_INTERVAL_SECONDS":"1","TOKEN_AUDIENCE"`, 1)
	fast := strings.NewReplacer(`"ThrottlingBurstLimit":2000`, `"ThrottlingBurstLimit":100000`, `"ThrottlingRateLimit":1000`, `"ThrottlingRateLimit":100000`).Replace(text)
	if text == string(raw) || fast == text {
		t.Fatal("the assembly has another form")
	}
	if err := os.WriteFile(file, []byte(fast), 0o600); err != nil {
		t.Fatal(err)
	}
}

// from is a client with an address of its own.
func from(address string) *http.Client {
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
	return &http.Client{Transport: &http.Transport{DialContext: dialer.DialContext, MaxIdleConnsPerHost: 4}}
}

// tryToken asks for something with a token and returns the status.
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

// auditOf reads the trail as the first administrator does.
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

// A refused token is in the audit trail moments later, as GET /v1/audit shows it; ten
// thousand from many addresses are a bounded number of entries whose numbers sum to ten
// thousand, what the authorizer still had at its end included; and the chain holds.
func TestRefusedTokensAreInTheTrail(t *testing.T) {
	t.Parallel()
	// At its end the authorizer has a quarter of a second for what it still has. A machine that
	// stands still for as long has that cut off, which is not what this looks for: then it is
	// done again.
	for giveUp := time.Now().Add(2 * time.Minute); ; {
		wrong, inTime := refuseMany(t)
		if wrong == "" || t.Failed() {
			return
		}
		if inTime || time.Now().After(giveUp) {
			t.Fatal(wrong)
		}
	}
}

// refuseMany returns what is wrong with the entries, and whether the authorizer ended as
// soon as it has to.
func refuseMany(t *testing.T) (wrong string, inTime bool) {
	t.Helper()
	cfg := Config{State: t.TempDir(), Database: pgtest.NewDatabase(t), Functions: build(t).functions, Assembly: measuredAssembly(t)}
	serveAPI(t, cfg.Assembly)
	hasty(t, cfg.Assembly)
	s := startTest(t, cfg)
	good := newGateway(t, s, "gw-1").bear
	at := len(good) - 20 // in the signature
	bad := func(i int) string { return good[:at] + fmt.Sprintf("%08d", i) + good[at+8:] }

	if status := tryToken(t, from("127.0.0.2"), s.Info().HTTP, ""); status != http.StatusUnauthorized {
		t.Errorf("without a token: %d", status)
	}
	if status := tryToken(t, from("127.0.0.2"), s.Info().HTTP, bad(10_000)); status != http.StatusForbidden {
		t.Errorf("a bad token: %d", status)
	}
	shown := ""
	eventually.True(t, "a refused token in the trail", func() bool {
		shown = auditOf(t, s)
		return strings.Contains(shown, `"action":"access_token.refuse"`)
	})
	for _, want := range []string{`\"number\":1`, `\"reason\":\"the signature does not verify\"`, `\"source\":\"127.0.0.2\"`, `\"route\":\"ANY /v1/{path+}\"`, `\"claimed_subject\":\"gw-1\"`} {
		if !strings.Contains(shown, want) {
			t.Errorf("the trail does not show %s:\n%s", want, shown)
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
					t.Errorf("%d", status)
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
			t.Error("a part of the token is in the trail")
		}
		if e.Action != refusals.Action {
			continue
		}
		r, err := refusals.ParseReport([]byte(e.Detail))
		if err != nil {
			t.Fatal(err)
		}
		refused++
		sum += r.Number
	}
	// Of each environment one in a second, the first and the last.
	most := environments * (int(took.Seconds()) + 3)
	if sum != addresses*each+1 || refused > most {
		wrong = fmt.Sprintf("%d entries whose numbers sum to %d, want %d in at most %d entries", refused, sum, addresses*each+1, most)
	}
	t.Logf("%d refused tokens of %d addresses in %v: %d entries of %d environments", sum, addresses, took, refused, environments)
	if raw := stateFileOf(t, cfg, "logs/events-given-up.log"); len(raw) > 0 {
		t.Errorf("given up: %s", raw)
	}
	return wrong, inTime
}
