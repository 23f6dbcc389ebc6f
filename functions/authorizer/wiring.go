package main

import (
	"errors"
	"log/slog"
	"time"

	"github.com/aws/aws-lambda-go/lambda"

	"github.com/insighthub/insighthub/lib/awsconfig"
	"github.com/insighthub/insighthub/lib/kms"
	"github.com/insighthub/insighthub/lib/lambdahost"
	"github.com/insighthub/insighthub/lib/token"
)

var _ token.KeySource = (*kms.Keys)(nil)

// build makes the function from its environment.
func build(getenv func(string) string, log *slog.Logger) (lambda.Handler, error) {
	env := lambdahost.NewEnv(getenv)
	config := token.VerifierConfig{
		Issuer: env.Required("TOKEN_ISSUER"), Audience: env.Required("TOKEN_AUDIENCE"), HTTP: token.NewHTTPClient(), Now: time.Now,
	}
	own, trusted := env.Required("SIGNING_KEYS"), env.Optional("TRUSTED_ISSUERS", "[]")
	aws, err := awsconfig.Load(getenv)
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
	if config.Keys, err = token.NewKeySet(token.KeySetConfig{Source: kms.New(aws), Keys: keys, Now: time.Now}); err != nil {
		return nil, err
	}
	verifier, err := token.NewVerifier(config)
	if err != nil {
		return nil, err
	}
	handler, err := token.NewAuthorizer(token.AuthorizerConfig{Verifier: verifier, Log: log})
	if err != nil {
		return nil, err
	}
	instruments, err := lambdahost.NewInstruments(getenv, aws)
	if err != nil {
		return nil, err
	}
	return instruments.Observe(handler)
}
