package main

import (
	"context"
	"crypto/rand"
	"io"
	"strings"
	"time"

	"github.com/insighthub/insighthub/lib/audit"
	"github.com/insighthub/insighthub/lib/aws/kms"
	"github.com/insighthub/insighthub/lib/aws/s3"
	"github.com/insighthub/insighthub/lib/httpclient"
	lambdahost "github.com/insighthub/insighthub/lib/lambda/host"
	"github.com/insighthub/insighthub/lib/prometheus/promquery"
	"github.com/insighthub/insighthub/lib/shardstate"
	"github.com/insighthub/insighthub/lib/token"
)

// selfCheck has what the checks need.
type selfCheck struct {
	settings   settings
	api        audit.API
	prometheus audit.Prometheus
	// audits, failures and states are buckets.
	audits, failures, states *s3.Store
	signer                   token.Signer
	random                   io.Reader
	now                      func() time.Time
}

// requestTimeout limits one request of the self-check; API Gateway responds after 30 s at most.
const requestTimeout = 35 * time.Second

func wire(h *lambdahost.Host) (*selfCheck, error) {
	sigV4 := h.SigV4("PROMETHEUS_SIGV4")
	s, err := parse(h.Env)
	if err != nil {
		return nil, err
	}
	http := httpclient.New(requestTimeout)
	a := &selfCheck{settings: s, signer: kms.New(h.AWS), random: rand.Reader, now: time.Now}
	a.api = audit.API{Base: strings.TrimRight(s.api, "/"), HTTP: http, Now: time.Now}
	client, err := promquery.New(promquery.Config{URL: s.prometheus, SigV4: sigV4, HTTP: http, Now: time.Now})
	if err != nil {
		return nil, err
	}
	a.prometheus = metrics{client}
	// One bucket may have several roles.
	for _, b := range []struct {
		name  string
		store **s3.Store
	}{{s.audits, &a.audits}, {s.failures, &a.failures}, {s.states, &a.states}} {
		if *b.store, err = s3.New(s3.Config{AWS: h.AWS, Bucket: b.name, PathStyle: s.pathStyle}); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// metrics implements audit.Prometheus with a client.
type metrics struct{ client *promquery.Client }

var _ audit.Prometheus = metrics{}

func (m metrics) Query(ctx context.Context, expression string) ([]audit.Sample, error) {
	got, err := m.client.Query(ctx, expression)
	samples := make([]audit.Sample, len(got))
	for i, s := range got {
		samples[i] = audit.Sample(s)
	}
	return samples, err
}

// minter signs tokens as the platform does.
func (a *selfCheck) minter() audit.MinterConfig {
	return audit.MinterConfig{
		Signer: a.signer, Key: a.settings.key, Issuer: a.settings.issuer, Audience: a.settings.audience, Now: a.now, Random: a.random,
	}
}

// tokens are those of accounts when an administrator's password is given, and signed otherwise.
func (a *selfCheck) tokens() audit.Tokens {
	if a.settings.password == "" {
		return audit.Minted{MinterConfig: a.minter()}
	}
	return &audit.Accounts{
		API: a.api, Name: a.settings.name, Password: a.settings.password, NewPassword: rand.Text, Gateway: a.minter().GatewayToken,
	}
}

// closeTimeout limits the removal of what the self-check has created, after its deadline too.
const closeTimeout = 30 * time.Second

// run runs all checks.
func (a *selfCheck) run(ctx context.Context) audit.Report {
	source := a.tokens()
	opened, failed := source.Open(ctx)
	report := audit.Run(ctx, a.api.Base, a.now, a.checks(opened))
	if failed != nil {
		report.Add(audit.Finding{
			Check: "audit: tokens", Result: audit.Fail, Found: failed.Error(),
			Todo: "see that the API responds, and that the self-check may sign tokens or log in",
		})
	}
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	traces := audit.Finding{Check: "audit: traces", Result: audit.Pass}
	text, err := source.Close(closing)
	if traces.Found = text; err != nil {
		traces.Result, traces.Found = audit.Fail, text+", but: "+err.Error()
		traces.Todo = "disable the accounts audit-viewer, audit-operator, audit-admin and audit-admin-of-another-site"
	}
	report.Add(traces)
	return report
}

func (a *selfCheck) checks(tokens map[audit.Identity]string) []audit.Check {
	administrator, minter := tokens[audit.AsAdministrator], a.minter()
	const day = 24 * time.Hour
	return []audit.Check{
		audit.HealthCheck(a.prometheus, audit.Indicators()),
		audit.RightsCheck(a.api, audit.Rights(), tokens),
		audit.TokensCheck(a.api, audit.Forgeries{Good: tokens[audit.AsViewer], Mint: &minter, Now: a.now}),
		audit.KeysCheck(audit.KeysConfig{API: a.api, Records: a.audits, Now: a.now, MaxAge: a.settings.keyMaxAge}),
		audit.TLSCheck(audit.TLSConfig{Base: a.api.Base, Now: a.now, Warn: 30 * day, Fail: 7 * day}),
		audit.HeadersCheck(a.api, tokens[audit.AsViewer]),
		audit.LatencyCheck(audit.LatencyConfig{
			API: a.api, Token: administrator, Reads: a.settings.reads, Budget: a.settings.budget,
			Paths: []string{
				"/.well-known/jwks.json", "/v1/sites", "/v1/sites/{site}/gateways", "/v1/sites/{site}/anomalies", "/v1/users", "/v1/audit",
			},
		}),
		audit.ConflictsCheck(a.api, administrator),
		audit.FailuresCheck(a.failures),
		audit.StatesCheck(a.states, func(key string, body []byte) error {
			_, err := shardstate.Inspect(key, body)
			return err
		}),
		audit.ArchiveCheck(),
		audit.ChainCheck(audit.ChainConfig{API: a.api, Token: administrator, Anchors: a.audits, Now: a.now}),
		audit.TrailArchiveCheck(audit.ArchiveConfig{
			API: a.api, Token: administrator, Archive: a.audits, Receipts: a.states, Now: a.now, Months: a.settings.trailMonths,
		}),
	}
}
