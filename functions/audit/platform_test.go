package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	awslambda "github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/insighthub/insighthub/cdk/local/httpapi"
	localkms "github.com/insighthub/insighthub/cdk/local/kms"
	"github.com/insighthub/insighthub/cdk/local/lambda"
	"github.com/insighthub/insighthub/cdk/local/s3"
	"github.com/insighthub/insighthub/cdk/local/stackfile"
	"github.com/insighthub/insighthub/lib/access"
	"github.com/insighthub/insighthub/lib/api"
	"github.com/insighthub/insighthub/lib/api/apitest"
	"github.com/insighthub/insighthub/lib/audit"
	"github.com/insighthub/insighthub/lib/aws/kms"
	"github.com/insighthub/insighthub/lib/directory"
	lambdahttp "github.com/insighthub/insighthub/lib/lambda/http"
	"github.com/insighthub/insighthub/lib/timescale"
	"github.com/insighthub/insighthub/lib/timescale/timescaletest"
	"github.com/insighthub/insighthub/lib/token"
	"github.com/insighthub/insighthub/lib/trail"
)

const (
	adminName     = "ada"
	adminPassword = apitest.Password
	keyID         = "11111111-2222-4333-8444-555555555555"
)

// platform is the real functions over a real database behind the local HTTP API, with
// local buckets and keys, and a fake Prometheus.
type platform struct {
	pool    *timescale.Pool
	dsn     string
	state   string // folder of stack.json
	objects *s3.Store

	mu sync.Mutex
	// front, if set, intercepts the API's requests.
	front func(next http.Handler, w http.ResponseWriter, r *http.Request)
	// sample returns the result of a query, or "" for the default: one sample of 0, and no alerts.
	sample func(query string) string
}

// handled adapts a handler to the local HTTP API.
type handled struct{ awslambda.Handler }

func (h handled) Invoke(ctx context.Context, payload []byte) (lambda.Result, error) {
	out, err := h.Handler.Invoke(ctx, payload)
	return lambda.Result{Payload: out}, err
}

// uncounted ignores what is to be added up.
type uncounted struct{}

func (uncounted) Count(trail.Occurrence) {}

func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func newPlatform(t *testing.T) *platform {
	t.Helper()
	p := &platform{state: t.TempDir()}
	p.pool, p.dsn = timescaletest.Open(t)
	apitest.FirstAdministrator(t, p.pool, adminName)
	site := directory.Site{Name: "plant-1", TimeZone: "UTC"}
	must(p.pool.CreateSite(t.Context(), site, trail.Entry{Action: "site.create", Site: "plant-1", Detail: "{}"}))(t)

	info := stackfile.Info{Audience: "insighthub", AdminName: adminName, AdminPassword: adminPassword}
	info.Buckets = map[string]string{"AUDIT_BUCKET": "audits", "FAILURE_BUCKET": "failures", "STATE_BUCKET": "states"}
	keys := must(localkms.New(localkms.Config{
		File: filepath.Join(p.state, "kms.json"), Region: "eu-central-1", AccountID: "000000000000", Now: time.Now,
	}))(t)
	if err := keys.Ensure(keyID); err != nil {
		t.Fatal(err)
	}
	info.SigningKey = "arn:aws:kms:eu-central-1:000000000000:key/" + keyID
	info.KMS = listen(t, keys.Handler())
	p.objects = must(s3.New(s3.Config{Dir: filepath.Join(p.state, "objects"), Now: time.Now}))(t)
	for _, name := range info.Buckets {
		if err := p.objects.CreateBucket(name); err != nil {
			t.Fatal(err)
		}
	}
	info.Objects = listen(t, p.objects.Handler())
	info.Prometheus = listen(t, http.HandlerFunc(p.servePrometheus))

	var handler http.Handler
	info.HTTP = listen(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		front := p.front
		p.mu.Unlock()
		if front != nil {
			front(handler, w, r)
			return
		}
		handler.ServeHTTP(w, r)
	}))
	info.Issuer = info.HTTP
	handler = p.api(t, info)
	if err := stackfile.Write(p.state, info); err != nil {
		t.Fatal(err)
	}
	return p
}

func listen(t *testing.T, h http.Handler) string {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server.URL
}

// api returns the local HTTP API with the functions.
func (p *platform) api(t *testing.T, info stackfile.Info) http.Handler {
	t.Helper()
	signer := kms.New(aws.Config{
		Region: "eu-central-1", BaseEndpoint: aws.String(info.KMS),
		Credentials: credentials.NewStaticCredentialsProvider("local", "local", ""),
	})
	set := must(token.NewKeySet(token.KeySetConfig{Source: signer, Keys: []token.SigningKey{{Key: info.SigningKey}}, Now: time.Now}))(t)
	verifier := must(token.NewVerifier(token.VerifierConfig{
		Issuer: info.Issuer, Audience: info.Audience, Keys: set, HTTP: token.NewHTTPClient(), Now: time.Now,
	}))(t)
	log := slog.New(slog.DiscardHandler)
	authorizer := token.NewAuthorizer(token.AuthorizerConfig{Verifier: verifier, Log: log})
	minter := must(token.NewMinter(token.MinterConfig{
		Signer: signer, Key: info.SigningKey, Issuer: info.Issuer, Audience: info.Audience, Now: time.Now, Random: rand.Reader,
	}))(t)
	logins := must(access.New(access.Config{
		Accounts: p.pool, Attempts: p.pool, Sessions: p.pool, Gateways: p.pool, Trail: p.pool,
		Failures: uncounted{},
		Minter:   minter, Keys: set, Log: log, Now: time.Now, Random: rand.Reader, Issuer: info.Issuer,
	}))(t)
	resources := api.New(api.Config{
		Log: log, Now: time.Now, Random: rand.Reader, Idempotency: p.pool, Sites: p.pool, Gateways: p.pool, GatewayKeys: p.pool,
		Devices: p.pool, Metrics: p.pool, Accounts: p.pool, KPIConfigs: p.pool, Audit: p.pool, Readings: p.pool, Exports: p.pool,
		Accesses: p.pool, Anomalies: p.pool, AlarmRules: p.pool, ClientReports: p.pool,
	})
	behind := func(h http.Handler) httpapi.Invoker {
		return handled{lambdahttp.New(lambdahttp.Config{Handler: h, Now: time.Now})}
	}
	guard := &httpapi.Authorizer{
		Function: handled{authorizer}, IdentitySources: []string{"$request.header.Authorization"},
		ResultTTL: 5 * time.Minute, SimpleResponses: true,
	}
	config := httpapi.Config{Now: time.Now, Log: log, Routes: []httpapi.Route{
		{Method: "POST", Path: "/v1/telemetry", Function: behind(http.HandlerFunc(serveIngest)), Authorizer: guard},
		{Method: "ANY", Path: "/v1/{path+}", Function: behind(resources), Authorizer: guard},
		{Method: "GET", Path: "/openapi.yaml", Function: behind(resources)},
		{Method: "GET", Path: "/docs", Function: behind(resources)},
	}}
	for _, open := range []string{
		"POST /v1/login", "POST /v1/refresh", "POST /v1/logout", "POST /v1/token",
		"GET /.well-known/jwks.json", "GET /.well-known/oauth-authorization-server",
	} {
		method, path, _ := strings.Cut(open, " ")
		config.Routes = append(config.Routes, httpapi.Route{Method: method, Path: path, Function: behind(logins.Handler())})
	}
	return must(httpapi.New(config))(t)
}

// serveIngest replaces functions/ingest, which needs a stream: it checks the role and
// rejects the body.
func serveIngest(w http.ResponseWriter, r *http.Request) {
	if caller, ok := lambdahttp.CallerOf(r.Context()); !ok || caller.Role != directory.GatewayRole {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	w.WriteHeader(http.StatusBadRequest)
}

func (p *platform) servePrometheus(w http.ResponseWriter, r *http.Request) {
	raw, _ := io.ReadAll(r.Body)
	form, _ := url.ParseQuery(string(raw))
	query, result := form.Get("query"), `[{"metric":{},"value":[0,"0"]}]`
	if strings.HasPrefix(query, "ALERTS") {
		result = `[]`
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.sample != nil {
		if other := p.sample(query); other != "" {
			result = other
		}
	}
	_, _ = fmt.Fprintf(w, `{"status":"success","data":{"resultType":"vector","result":%s}}`, result)
}

// audit runs the command and returns its exit code and report.
func (p *platform) audit(t *testing.T, more ...string) (int, audit.Report) {
	t.Helper()
	var out, problems bytes.Buffer
	args := append([]string{"run", "-state", p.state, "-json", "-reads", "2", "-budget", "1m"}, more...)
	code := command(t.Context(), args, terminal{out: &out, errors: &problems, getenv: func(string) string { return "" }})
	var report audit.Report
	if err := json.Unmarshal(out.Bytes(), &report); err != nil {
		t.Fatalf("exit %d, %v\n%s%s", code, err, &out, &problems)
	}
	return code, report
}

// find returns a finding by its check's name.
func find(t *testing.T, r audit.Report, check string) audit.Finding {
	t.Helper()
	for _, f := range r.Findings {
		if f.Check == check {
			return f
		}
	}
	t.Fatalf("no check %q in %+v", check, r.Findings)
	return audit.Finding{}
}
