package main

import (
	"log/slog"
	"testing"

	lambdahost "github.com/insighthub/insighthub/lib/lambda/host"
)

// TestOneBucketForAll: a stage may save failures, states and the audit's records in one bucket.
func TestOneBucketForAll(t *testing.T) {
	t.Parallel()
	env := map[string]string{
		"API_URL": "https://a.example", "PROMETHEUS_URL": "http://127.0.0.1:1",
		"AUDIT_BUCKET": "one", "FAILURE_BUCKET": "one", "STATE_BUCKET": "one",
		"TOKEN_ISSUER": "https://a.example", "TOKEN_AUDIENCE": "insighthub", "SIGNING_KEYS": `[{"key":"arn:aws:kms:eu-west-1:1:key/k"}]`,
		"AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none",
	}
	check, err := wire(lambdahost.NewHost(func(name string) string { return env[name] }, slog.New(slog.DiscardHandler)))
	if err != nil {
		t.Fatal(err)
	}
	if check.audits == nil || check.failures == nil || check.states == nil {
		t.Errorf("got stores %v, %v, %v; want three", check.audits, check.failures, check.states)
	}
}
