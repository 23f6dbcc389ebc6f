package main

import (
	"time"

	lambdahost "github.com/insighthub/insighthub/lib/lambda/host"
	"github.com/insighthub/insighthub/lib/token"
)

// settings configure the self-check.
type settings struct {
	api               string // URL
	prometheus        string // URL
	audits            string // bucket of anchors and reports
	failures, states  string // buckets
	pathStyle         bool
	issuer, audience  string
	key               string // ARN of the signing key
	budget, keyMaxAge time.Duration
	trailMonths       int // that stay in the audit trail; 0: all
	reads             int

	// name and password of an administrator: with them accounts are created; without, tokens are signed.
	name, password string
}

func parse(env *lambdahost.Env) (settings, error) {
	s := settings{
		api:        env.Required("API_URL"),
		prometheus: env.Required("PROMETHEUS_URL"),
		audits:     env.Required("AUDIT_BUCKET"),
		failures:   env.Required("FAILURE_BUCKET"),
		states:     env.Required("STATE_BUCKET"),
		pathStyle:  env.Bool("AWS_S3_PATH_STYLE", false),
		issuer:     env.Required("TOKEN_ISSUER"),
		audience:   env.Required("TOKEN_AUDIENCE"),
		budget:     time.Duration(env.Int("LATENCY_BUDGET_MS", 500, 1, 60_000)) * time.Millisecond,
		keyMaxAge:  time.Duration(env.Int("KEY_MAX_AGE_DAYS", 365, 1, 3650)) * 24 * time.Hour,
		// The archive is written once a month is that old.
		trailMonths: env.Int("TRAIL_MONTHS", 0, 0, 1200),
		reads:       env.Int("LATENCY_READS", 20, 1, 1000),
	}
	text := env.Required("SIGNING_KEYS")
	if err := env.Err(); err != nil {
		return settings{}, err
	}
	keys, err := token.ParseSigningKeys(text)
	if err != nil {
		return settings{}, err
	}
	s.key = keys[0].Key
	return s, nil
}
