package main

import (
	"context"
	"crypto/rand"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/insighthub/insighthub/lib/awsconfig"
	"github.com/insighthub/insighthub/lib/checkup"
	"github.com/insighthub/insighthub/lib/kms"
	"github.com/insighthub/insighthub/lib/objectstore"
	"github.com/insighthub/insighthub/lib/promquery"
	"github.com/insighthub/insighthub/lib/shardstate"
	"github.com/insighthub/insighthub/lib/token"
)

// audit is one that is set up.
type audit struct {
	settings   settings
	api        checkup.API
	prometheus checkup.Prometheus
	// audits, failures and states are buckets.
	audits, failures, states *objectstore.Store
	signer                   token.Signer
	random                   io.Reader
	now                      func() time.Time
}

// requestTimeout bounds one request of the audit; API Gateway gives up after 30 s.
const requestTimeout = 35 * time.Second

func wire(s settings, cfg aws.Config) (*audit, error) {
	client := &http.Client{
		Timeout:       requestTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	a := &audit{settings: s, signer: kms.New(cfg), random: rand.Reader, now: time.Now}
	a.api = checkup.API{Base: strings.TrimRight(s.api, "/"), HTTP: client, Now: time.Now}
	query := promquery.Config{URL: s.prometheus, HTTP: client, Now: time.Now}
	if s.signsPrometheus {
		query.SigV4 = &awsconfig.SigV4{Region: cfg.Region, Credentials: cfg.Credentials}
	}
	asked, err := promquery.New(query)
	if err != nil {
		return nil, err
	}
	a.prometheus = figures{asked}
	for bucket, store := range map[string]**objectstore.Store{s.audits: &a.audits, s.failures: &a.failures, s.states: &a.states} {
		if *store, err = objectstore.New(objectstore.Config{AWS: cfg, Bucket: bucket, PathStyle: s.pathStyle}); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// figures is Prometheus as the checks want it.
type figures struct{ client *promquery.Client }

var _ checkup.Prometheus = figures{}

func (f figures) Query(ctx context.Context, expression string) ([]checkup.Sample, error) {
	got, err := f.client.Query(ctx, expression)
	samples := make([]checkup.Sample, len(got))
	for i, s := range got {
		samples[i] = checkup.Sample(s)
	}
	return samples, err
}

// minter signs as the platform does.
func (a *audit) minter() checkup.MinterConfig {
	return checkup.MinterConfig{
		Signer: a.signer, Key: a.settings.key, Issuer: a.settings.issuer, Audience: a.settings.audience, Now: a.now, Random: a.random,
	}
}

// tokens are accounts' where an administrator's password is given, and signed otherwise.
func (a *audit) tokens() checkup.Tokens {
	if a.settings.password == "" {
		return checkup.Minted{MinterConfig: a.minter()}
	}
	return &checkup.Accounts{
		API: a.api, Name: a.settings.name, Password: a.settings.password, NewPassword: rand.Text, Gateway: a.minter().GatewayToken,
	}
}

// closeTimeout is for taking back what was made, also when the audit's time is over.
const closeTimeout = 30 * time.Second

// run makes all checks.
func (a *audit) run(ctx context.Context) checkup.Report {
	source := a.tokens()
	opened, failed := source.Open(ctx)
	report := checkup.Run(ctx, a.api.Base, a.now, a.checks(opened))
	if failed != nil {
		report.Add(checkup.Finding{Check: "audit: tokens", Result: checkup.Fail, Found: failed.Error(), Todo: "see that the API answers, and that the audit may sign or log in"})
	}
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	traces := checkup.Finding{Check: "audit: traces", Result: checkup.Pass}
	text, err := source.Close(closing)
	if traces.Found = text; err != nil {
		traces.Result, traces.Found = checkup.Fail, text+", but: "+err.Error()
		traces.Todo = "disable the accounts audit-viewer, audit-operator, audit-admin and audit-admin-of-another-site"
	}
	report.Add(traces)
	return report
}

func (a *audit) checks(tokens map[checkup.Identity]string) []checkup.Check {
	administrator, minter := tokens[checkup.AsAdministrator], a.minter()
	const day = 24 * time.Hour
	return []checkup.Check{
		checkup.HealthCheck(a.prometheus, checkup.Figures()),
		checkup.RightsCheck(a.api, checkup.Rights(), tokens),
		checkup.TokensCheck(a.api, checkup.Forgeries{Good: tokens[checkup.AsViewer], Mint: &minter, Now: a.now}),
		checkup.KeysCheck(checkup.KeysConfig{API: a.api, Records: a.audits, Now: a.now, MaxAge: a.settings.keyMaxAge}),
		checkup.TLSCheck(checkup.TLSConfig{Base: a.api.Base, Now: a.now, Warn: 30 * day, Fail: 7 * day}),
		checkup.HeadersCheck(a.api, tokens[checkup.AsViewer]),
		checkup.LatencyCheck(checkup.LatencyConfig{
			API: a.api, Token: administrator, Reads: a.settings.reads, Budget: a.settings.budget,
			Paths: []string{"/.well-known/jwks.json", "/v1/sites", "/v1/sites/{site}/gateways", "/v1/sites/{site}/anomalies", "/v1/users", "/v1/audit"},
		}),
		checkup.FailuresCheck(a.failures),
		checkup.StatesCheck(a.states, func(key string, body []byte) error {
			_, err := shardstate.Inspect(key, body)
			return err
		}),
		checkup.ArchiveCheck(),
		checkup.ChainCheck(checkup.ChainConfig{API: a.api, Token: administrator, Anchors: a.audits, Now: a.now}),
	}
}
