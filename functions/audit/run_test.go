package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/insighthub/insighthub/cdk/local/stackfile"
	"github.com/insighthub/insighthub/lib/audit"
	awsconfig "github.com/insighthub/insighthub/lib/aws/config"
	"github.com/insighthub/insighthub/lib/aws/s3"
	lambdahost "github.com/insighthub/insighthub/lib/lambda/host"
	"github.com/insighthub/insighthub/lib/timescale/timescaletest"
)

// bucket opens one of the platform's buckets.
func (p *platform) bucket(t *testing.T, name string) *s3.Store {
	t.Helper()
	info := must(stackfile.Read(p.state))(t)
	return must(s3.New(s3.Config{AWS: must(awsconfig.Load(info.Getenv))(t), Bucket: name, PathStyle: true}))(t)
}

// On an intact platform no check fails, with accounts or with signed tokens, and what is
// left of the accounts is that they exist, disabled.
func TestGreen(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	for _, more := range [][]string{nil, nil, {"-signed"}} {
		code, report := p.audit(t, more...)
		for _, f := range report.Findings {
			if f.Result != audit.Pass && f.Check != "archive: objects" {
				t.Errorf("%v: %+v", more, f)
			}
		}
		if code != exitGood || report.Counts[audit.Fail] != 0 || report.Counts[audit.Warn] != 1 {
			t.Errorf("%v: exit %d, %v", more, code, report.Counts)
		}
	}
	left := timescaletest.Value(t, p.dsn,
		`SELECT string_agg(name || ' ' || disabled, ', ' ORDER BY name) FROM account WHERE name LIKE 'audit%'`)
	if want := "audit-admin true, audit-admin-of-another-site true, audit-operator true, audit-viewer true"; left != want {
		t.Errorf("got accounts %s, want %s", left, want)
	}
	for _, query := range []string{
		`SELECT count(*) FROM account_grant g JOIN account a ON a.id = g.account_id WHERE a.name LIKE 'audit%'`,
		`SELECT count(*) FROM refresh_token r JOIN account a ON a.id = r.account_id WHERE r.revoked_at IS NULL`,
		`SELECT count(*) FROM site WHERE name <> 'plant-1'`, `SELECT count(*) FROM gateway`, `SELECT count(*) FROM alarm_rule`,
	} {
		if n := timescaletest.Value(t, p.dsn, query); n != "0" {
			t.Errorf("%s: got %s, want 0", query, n)
		}
	}
	keys := must(p.bucket(t, "audits").Keys(t.Context(), audit.AnchorsPrefix, "", 10))(t)
	if len(keys) != 3 { // each self-check with accounts adds entries after its anchor
		t.Errorf("got anchors %v, want 3", keys)
	}
}

// Each fault that the test injects is found, and no other check fails.
func TestRed(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	for name, c := range map[string]struct {
		front  func(next http.Handler, w http.ResponseWriter, r *http.Request)
		sample func(query string) string
		args   []string
		checks []string // that fail, or warn
		result audit.Result
		found  string
	}{
		"a header is missing": {
			front: func(next http.Handler, w http.ResponseWriter, r *http.Request) {
				respondWith(w, next, r, func(h http.Header) { h.Del("X-Content-Type-Options") })
			},
			checks: []string{"headers: a rejection", "headers: a response", "headers: the key set"}, result: audit.Fail, found: "nosniff",
		},
		"the server names itself": {
			front: func(next http.Handler, w http.ResponseWriter, r *http.Request) {
				respondWith(w, next, r, func(h http.Header) { h.Set("Server", "acme/1.2") })
			},
			checks: []string{"headers: a rejection", "headers: a response", "headers: the key set"}, result: audit.Fail, found: "acme/1.2",
		},
		"a viewer may write": {
			front:  respondToViewer(http.MethodPost, "/alarm-rules", http.StatusUnprocessableEntity),
			checks: []string{"rights: viewer"}, result: audit.Fail, found: "POST /v1/sites/{site}/alarm-rules: 422",
		},
		"a write succeeds": {
			front:  respondToViewer(http.MethodPut, "/plant-1", http.StatusOK),
			checks: []string{"rights: viewer"}, result: audit.Fail, found: "a write succeeded that should be rejected",
		},
		"an endpoint rejects everybody": {
			front:  respondToViewer(http.MethodPut, "/v1/me/password", http.StatusForbidden),
			checks: []string{"rights: viewer"}, result: audit.Fail, found: "allowed, but rejected",
		},
		"the key set is empty": {
			front: func(next http.Handler, w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/.well-known/jwks.json" {
					respondWith(w, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
						w.Header().Set("X-Content-Type-Options", "nosniff")
						_, _ = io.WriteString(w, `{"keys":[]}`)
					}), r, func(http.Header) {})
					return
				}
				next.ServeHTTP(w, r)
			},
			checks: []string{"keys: published"}, result: audit.Fail, found: "no keys",
		},
		"reads are slow": {
			args: []string{"-budget", "1ns"},
			checks: []string{
				"latency: /.well-known/jwks.json", "latency: /v1/audit", "latency: /v1/sites", "latency: /v1/sites/{site}/anomalies",
				"latency: /v1/sites/{site}/gateways", "latency: /v1/users",
			},
			result: audit.Warn, found: "above 0.0 ms",
		},
		"the bridge is behind": {
			sample: func(query string) string {
				if strings.Contains(query, "bridge_behind") {
					return `[{"metric":{},"value":[0,"31"]}]`
				}
				return ""
			},
			checks: []string{"health: bridge behind"}, result: audit.Fail, found: "31.0 s",
		},
		"a sample is missing": {
			sample: func(query string) string {
				if strings.Contains(query, "window_events") && strings.Contains(query, "timestamp") {
					return `[]`
				}
				return ""
			},
			checks: []string{"health: newest figures"}, result: audit.Warn, found: "no sample",
		},
		"a function fails": {
			sample: func(query string) string {
				if strings.Contains(query, "invocation_errors") {
					return `[{"metric":{"function":"api"},"value":[0,"0"]},{"metric":{"function":"store"},"value":[0,"0.5"]},` +
						`{"metric":{"function":"ingest"},"value":[0,"NaN"]}]`
				}
				return ""
			},
			checks: []string{"health: function errors"}, result: audit.Fail,
			found: "0.5000 of the invocations of 15 minutes (function store)",
		},
		"a critical alert": {
			sample: func(query string) string {
				if strings.HasPrefix(query, "ALERTS") {
					const alert = `{"metric":{"alertname":"GatewaySilent","severity":"critical"},"value":[0,"1"]}`
					return `[` + alert + `,` + alert + `]`
				}
				return ""
			},
			checks: []string{"health: alerts"}, result: audit.Fail, found: "GatewaySilent (critical) × 2",
		},
		"Prometheus is down": {
			sample: func(string) string { return `no JSON` },
			checks: []string{"health: prometheus"}, result: audit.Fail, found: "prometheus",
		},
	} {
		t.Run(name, func(t *testing.T) { // not parallel: one platform
			p.mu.Lock()
			p.front, p.sample = c.front, c.sample
			p.mu.Unlock()
			code, report := p.audit(t, append([]string{"-signed"}, c.args...)...)
			var wrong []string
			for _, f := range report.Findings {
				if f.Result != audit.Pass && f.Check != "archive: objects" {
					wrong = append(wrong, f.Check)
				}
			}
			slices.Sort(wrong)
			if !slices.Equal(wrong, c.checks) {
				t.Fatalf("got %v that fail or warn, want %v: %+v", wrong, c.checks, report.Findings)
			}
			for _, check := range c.checks {
				if f := find(t, report, check); f.Result != c.result || !strings.Contains(f.Found, c.found) || f.Todo == "" {
					t.Errorf("got %+v, want %s with %q, and what to do", f, c.result, c.found)
				}
			}
			if want := map[audit.Result]int{audit.Warn: exitGood, audit.Fail: exitFailed}[c.result]; code != want {
				t.Errorf("got exit code %d, want %d", code, want)
			}
		})
	}
}

// respondToViewer responds with status to the viewer's requests for paths that end with suffix.
func respondToViewer(method, suffix string, status int) func(http.Handler, http.ResponseWriter, *http.Request) {
	return func(next http.Handler, w http.ResponseWriter, r *http.Request) {
		if r.Method == method && strings.HasSuffix(r.URL.Path, suffix) && isViewer(r) {
			w.WriteHeader(status)
			return
		}
		next.ServeHTTP(w, r)
	}
}

// isViewer reports whether the request's token has the role viewer.
func isViewer(r *http.Request) bool {
	parts := strings.Split(r.Header.Get("Authorization"), ".")
	return len(parts) == 3 && strings.Contains(decoded(parts[1]), `"viewer"`)
}

// respondWith responds as next does, with other headers.
func respondWith(w http.ResponseWriter, next http.Handler, r *http.Request, change func(http.Header)) {
	recorded := httptest.NewRecorder()
	next.ServeHTTP(recorded, r)
	maps.Copy(w.Header(), recorded.Header())
	w.Header().Set("Cache-Control", "no-store")
	change(w.Header())
	w.WriteHeader(recorded.Code)
	_, _ = w.Write(recorded.Body.Bytes())
}

// With an authorizer that accepts everything, every check of a token fails.
func TestAuthorizerAcceptsAll(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	var good string
	p.front = func(next http.Handler, w http.ResponseWriter, r *http.Request) {
		if token := r.Header.Get("Authorization"); good == "" && token != "" {
			good = token // the self-check begins as administrator
		}
		if r.URL.Path == "/v1/sites" {
			r.Header.Set("Authorization", good)
		}
		next.ServeHTTP(w, r)
	}
	code, report := p.audit(t, "-signed")
	if code != exitFailed {
		t.Errorf("exit %d", code)
	}
	for _, name := range []string{
		"none", "altered signature", "altered claims", "algorithm none", "algorithm HS256", "another key",
		"a key of its own", "expired", "another issuer",
	} {
		if f := find(t, report, "tokens: "+name); f.Result != audit.Fail {
			t.Errorf("%+v", f)
		}
	}
	f := find(t, report, "rights: nobody")
	if want := "GET /v1/sites: 200, without a token, want 401"; f.Result != audit.Fail || !strings.Contains(f.Found, want) {
		t.Errorf("got %+v, want a failure with %q", f, want)
	}
}

// A change of the trail in the database is found, and the entry is named.
func TestTrail(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	superuser := func(statement string) {
		timescaletest.Exec(t, p.dsn, "ALTER TABLE trail DISABLE TRIGGER ALL; "+statement+"; ALTER TABLE trail ENABLE TRIGGER ALL")
	}
	chain := func(found string) {
		t.Helper()
		code, report := p.audit(t, "-signed")
		if f := find(t, report, "trail: older entries"); code != exitFailed || f.Result != audit.Fail || !strings.Contains(f.Found, found) {
			t.Errorf("exit %d, %+v, want %q", code, f, found)
		}
	}
	if code, report := p.audit(t); code != exitGood {
		t.Fatalf("%+v", report.Findings)
	}
	superuser(`UPDATE trail SET actor = 'mallory' WHERE seq = 2`)
	chain("entry 2: the hash does not match the content")
	superuser(`UPDATE trail SET actor = '' WHERE seq = 2;
		CREATE TABLE cut AS SELECT * FROM trail WHERE seq > 3; DELETE FROM trail WHERE seq > 3`)
	chain("entry 4: is missing: there is an anchor")
	superuser(`INSERT INTO trail SELECT * FROM cut; DELETE FROM trail WHERE seq = 4`)
	chain("entry 4: is missing: the next is entry 5")
	superuser(`INSERT INTO trail SELECT * FROM cut WHERE seq = 4`)
	if code, report := p.audit(t, "-signed"); code != exitGood {
		t.Errorf("after the repair: got %+v, want no failure", report.Findings)
	}
}

// TestObjects: a failure object, a damaged state and an anchor that is not valid are found.
func TestObjects(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	put := func(bucket, key string) {
		if err := p.bucket(t, bucket).Put(t.Context(), key, []byte("{}"), "application/json"); err != nil {
			t.Fatal(err)
		}
	}
	put("failures", "poison/2026/11/23/shard-0-1.json")
	code, report := p.audit(t, "-signed")
	if f := find(t, report, "archive: given up"); code != exitGood || f.Result != audit.Warn || !strings.Contains(f.Found, "shard-0-1") {
		t.Errorf("exit %d, %+v", code, f)
	}
	put("states", "shardstate/bridge-5s/telemetry/shardId-000000000000")
	code, report = p.audit(t, "-signed")
	f := find(t, report, "archive: consumers' states")
	if code != exitFailed || f.Result != audit.Fail || !strings.Contains(f.Found, "too short") {
		t.Errorf("got exit code %d, %+v; want a failure with %q", code, f, "too short")
	}
	put("audits", audit.AnchorsPrefix+"nonsense")
	_, report = p.audit(t, "-signed")
	if f := find(t, report, "trail: anchors"); f.Result != audit.Fail || !strings.Contains(f.Found, "nonsense") {
		t.Errorf("%+v", f)
	}
}

// TestUnavailable: an API that responds 503 fails a check; without a platform the self-check cannot run.
func TestUnavailable(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	p.front = func(_ http.Handler, w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	code, report := p.audit(t)
	if f := find(t, report, "audit: tokens"); code != exitFailed || f.Result != audit.Fail || !strings.Contains(f.Found, "503") {
		t.Errorf("exit %d, %+v", code, f)
	}
	var out, problems bytes.Buffer
	at := terminal{out: &out, errors: &problems, getenv: func(string) string { return "" }}
	for _, args := range [][]string{
		{"run", "-state", t.TempDir()},
		{"run", "-environment"},
		{"run", "-reads", "0"},
		{"run", "more"},
		{"what"},
		{"verify"},
		{"verify", "/none"},
	} {
		problems.Reset()
		if code := command(t.Context(), args, at); code != exitNotRun || problems.Len() == 0 {
			t.Errorf("%v: exit %d, %s", args, code, &problems)
		}
	}
	if !strings.Contains(problems.String(), "/none") {
		t.Errorf("got %s", &problems)
	}
}

// The function saves its report and flushes its metrics.
func TestHandler(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	info := must(stackfile.Read(p.state))(t)
	a := must(wire(lambdahost.NewHost(info.Getenv, slog.New(slog.DiscardHandler))))(t)
	registry := prometheus.NewRegistry()
	flushed, log := 0, bytes.Buffer{}
	h := &handler{
		check: a, metrics: &audit.Metrics{Registry: registry}, flush: func(context.Context) { flushed++ },
		log: slog.New(slog.NewJSONHandler(&log, nil)),
	}
	var last response
	for range 2 {
		raw := must(h.Invoke(t.Context(), []byte(`{"source":"aws.events"}`)))(t)
		if err := json.Unmarshal(raw, &last); err != nil || last.Result != audit.Warn {
			t.Fatalf("%s, %v", raw, err)
		}
	}
	var saved audit.Report
	raw := must(p.bucket(t, "audits").Get(t.Context(), last.Report))(t)
	if err := json.Unmarshal(raw, &saved); err != nil || saved.Result != audit.Warn || len(saved.Findings) < 20 {
		t.Errorf("got report %+v, %v", saved, err)
	}
	families := must(registry.Gather())(t)
	if flushed != 2 || len(families) != 2 || families[1].GetMetric()[0].GetGauge().GetValue() < float64(time.Now().Unix()-600) {
		t.Errorf("flushed %d times: %v", flushed, families)
	}
	if !strings.Contains(log.String(), `"report":{"target":"http`) {
		t.Errorf("got log %.300s", &log)
	}
}

func TestVerify(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	if code, _ := p.audit(t); code != exitGood {
		t.Fatal(code)
	}
	raw, err := exported(t, p)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	store := p.bucket(t, "audits")
	for _, key := range must(store.Keys(t.Context(), audit.AnchorsPrefix, "", 10))(t) {
		write(key, string(must(store.Get(t.Context(), key))(t)))
	}
	anchors := filepath.Join(dir, audit.AnchorsPrefix)
	lines := strings.SplitAfter(strings.TrimSpace(raw), "\n")
	for name, c := range map[string]struct {
		text string
		code int
		says string
	}{
		"intact":  {raw, exitGood, "1 anchors, the head is"},
		"changed": {strings.Replace(raw, `"account.create"`, `"account.change"`, 1), exitFailed, "broken at entry 1:"},
		"cut":     {strings.Join(lines[:len(lines)/2], ""), exitFailed, "is missing: there is an anchor"},
		"removed": {strings.Join(slices.Delete(slices.Clone(lines), 2, 3), ""), exitFailed, "broken at entry 3:"},
		"no file": {"{", exitNotRun, "line 1"},
	} {
		var out, problems bytes.Buffer
		args := []string{"verify", "-anchors", anchors, write("trail.ndjson", c.text)}
		code := command(t.Context(), args, terminal{out: &out, errors: &problems})
		if code != c.code || !strings.Contains(out.String()+problems.String(), c.says) {
			t.Errorf("%s: exit %d, %s%s", name, code, &out, &problems)
		}
	}
}
