package main

import (
	"context"
	"crypto/rand"
	"time"

	"github.com/insighthub/insighthub/lib/aws/kms"
	"github.com/insighthub/insighthub/lib/aws/s3"
	"github.com/insighthub/insighthub/lib/denylist"
	lambdahost "github.com/insighthub/insighthub/lib/lambda/host"
	"github.com/insighthub/insighthub/lib/refusals"
	"github.com/insighthub/insighthub/lib/token"
)

var (
	_ token.KeySource = (*kms.Keys)(nil)
	_ denylist.Tagged = (*s3.Store)(nil)
)

// build makes the function from its environment.
func build(_ context.Context, h *lambdahost.Host) (lambdahost.Function, error) {
	config := token.VerifierConfig{
		Issuer: h.Env.Required("TOKEN_ISSUER"), Audience: h.Env.Required("TOKEN_AUDIENCE"), HTTP: token.NewHTTPClient(), Now: time.Now,
	}
	own, trusted := h.Env.Required("SIGNING_KEYS"), h.Env.Optional("TRUSTED_ISSUERS", "[]")
	bucket, pathStyle := h.Env.Required("STATE_BUCKET"), h.Env.Bool("AWS_S3_PATH_STYLE", false)
	name, interval := h.Env.Required("EVENT_BUS"), h.Env.Int("REFUSALS_INTERVAL_SECONDS", 10, 1, 300)
	if err := h.Env.Err(); err != nil {
		return lambdahost.Function{}, err
	}
	keys, err := token.ParseSigningKeys(own)
	if err != nil {
		return lambdahost.Function{}, err
	}
	if config.Trusted, err = token.ParseTrustedIssuers(trusted); err != nil {
		return lambdahost.Function{}, err
	}
	if config.Keys, err = token.NewKeySet(token.KeySetConfig{Source: kms.New(h.AWS), Keys: keys, Now: time.Now}); err != nil {
		return lambdahost.Function{}, err
	}
	verifier, err := token.NewVerifier(config)
	if err != nil {
		return lambdahost.Function{}, err
	}
	bus, err := newBus(h.AWS, name)
	if err != nil {
		return lambdahost.Function{}, err
	}
	collector, err := refusals.New(refusals.Config{
		Publisher: bus, Registerer: h.Registry, Now: time.Now, NewID: rand.Text, Interval: time.Duration(interval) * time.Second,
	})
	if err != nil {
		return lambdahost.Function{}, err
	}
	objects, err := s3.New(s3.Config{AWS: h.AWS, Bucket: bucket, PathStyle: pathStyle})
	if err != nil {
		return lambdahost.Function{}, err
	}
	denials, err := denylist.NewReader(denylist.ReaderConfig{Objects: objects, Log: h.Log, Registerer: h.Registry, Now: time.Now})
	if err != nil {
		return lambdahost.Function{}, err
	}
	handler := token.NewAuthorizer(token.AuthorizerConfig{
		Verifier: verifier, Log: h.Log, Refusals: tokenRefusals{collector}, Denials: denials,
	})
	return lambdahost.Function{Handler: collector.Observe(handler), Shutdown: collector.Shutdown}, nil
}
