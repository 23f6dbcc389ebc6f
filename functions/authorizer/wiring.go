package main

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/lambda"

	"github.com/insighthub/insighthub/lib/aws/kms"
	lambdahost "github.com/insighthub/insighthub/lib/lambda/host"
	"github.com/insighthub/insighthub/lib/refusals"
	"github.com/insighthub/insighthub/lib/token"
)

var _ token.KeySource = (*kms.Keys)(nil)

// build makes the function from its environment.
func build(getenv func(string) string, log *slog.Logger) (*function, error) {
	env := lambdahost.NewEnv(getenv)
	config := token.VerifierConfig{
		Issuer: env.Required("TOKEN_ISSUER"), Audience: env.Required("TOKEN_AUDIENCE"), HTTP: token.NewHTTPClient(), Now: time.Now,
	}
	own, trusted := env.Required("SIGNING_KEYS"), env.Optional("TRUSTED_ISSUERS", "[]")
	name, interval := env.Required("EVENT_BUS"), env.Int("REFUSALS_INTERVAL_SECONDS", 10, 1, 300)
	host, err := lambdahost.NewHost(getenv)
	if err := errors.Join(env.Err(), err); err != nil {
		return nil, err
	}
	keys, err := token.ParseSigningKeys(own)
	if err != nil {
		return nil, err
	}
	if config.Trusted, err = token.ParseTrustedIssuers(trusted); err != nil {
		return nil, err
	}
	if config.Keys, err = token.NewKeySet(token.KeySetConfig{Source: kms.New(host.AWS), Keys: keys, Now: time.Now}); err != nil {
		return nil, err
	}
	verifier, err := token.NewVerifier(config)
	if err != nil {
		return nil, err
	}
	bus, err := newBus(host.AWS, name)
	if err != nil {
		return nil, err
	}
	collector, err := refusals.New(refusals.Config{
		Publisher: bus, Registerer: host.Registry, Now: time.Now, NewID: rand.Text, Interval: time.Duration(interval) * time.Second,
	})
	if err != nil {
		return nil, err
	}
	handler, err := token.NewAuthorizer(token.AuthorizerConfig{Verifier: verifier, Log: log, Refusals: refused{collector}})
	if err != nil {
		return nil, err
	}
	observed, err := host.Observe(collector.Observe(handler))
	return &function{observed, collector}, err
}

// function is the authorizer with its metrics and its refusals.
type function struct {
	lambda.Handler
	collector *refusals.Collector
}

// Shutdown publishes what was refused and writes the metrics for the last time, at
// once: each takes up to 250 ms of the 300 that Lambda gives.
func (f *function) Shutdown(ctx context.Context) {
	var both sync.WaitGroup
	both.Go(func() { f.collector.Shutdown(ctx) })
	if h, ok := f.Handler.(interface{ Shutdown(ctx context.Context) }); ok {
		both.Go(func() { h.Shutdown(ctx) })
	}
	both.Wait()
}
