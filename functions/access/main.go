// Command access is the function behind the token endpoints: people log in,
// gateways exchange their assertions, and everybody may read the public keys.
//
// Environment: DATABASE_SECRET_ARN; TOKEN_ISSUER, TOKEN_AUDIENCE, SIGNING_KEYS (see
// lib/token); LOG_LEVEL.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/lambda"

	"github.com/insighthub/insighthub/lib/access"
	"github.com/insighthub/insighthub/lib/awsconfig"
	"github.com/insighthub/insighthub/lib/kms"
	"github.com/insighthub/insighthub/lib/lambdahost"
	"github.com/insighthub/insighthub/lib/lambdahttp"
	"github.com/insighthub/insighthub/lib/secrets"
	"github.com/insighthub/insighthub/lib/timescale"
	"github.com/insighthub/insighthub/lib/token"
)

func main() {
	ctx := context.Background()
	log := lambdahost.Logger(os.Getenv)
	handler, err := build(ctx, os.Getenv, log)
	if err != nil {
		log.Error("can not start", "error", err)
		os.Exit(1)
	}
	lambdahost.Start(ctx, handler)
}

// build makes the function from its environment.
func build(ctx context.Context, getenv func(string) string, log *slog.Logger) (lambda.Handler, error) {
	env := lambdahost.NewEnv(getenv)
	database := env.Required("DATABASE_SECRET_ARN")
	issuer, audience, keys := env.Required("TOKEN_ISSUER"), env.Required("TOKEN_AUDIENCE"), env.Required("SIGNING_KEYS")
	aws, err := awsconfig.Load(getenv)
	if err := errors.Join(env.Err(), err); err != nil {
		return nil, err
	}
	pool, err := timescale.OpenSecret(ctx, secrets.New(aws), database, timescale.PoolConfig{
		Application: "insighthub-access", MaxConnections: 1, ConnectTimeout: 2 * time.Second, StatementTimeout: 5 * time.Second,
		LockTimeout: 2 * time.Second, MaxAttempts: 3,
	})
	if err != nil {
		return nil, err
	}
	return wire(wiring{pool: pool, keys: kms.New(aws), issuer: issuer, audience: audience, signing: keys, log: log})
}

type wiring struct {
	pool *timescale.Pool
	keys interface {
		token.KeySource
		token.Signer
	}
	issuer, audience, signing string
	log                       *slog.Logger
}

func wire(w wiring) (lambda.Handler, error) {
	signing, err := token.ParseSigningKeys(w.signing)
	if err != nil {
		return nil, err
	}
	set, err := token.NewKeySet(token.KeySetConfig{Source: w.keys, Keys: signing, Now: time.Now})
	if err != nil {
		return nil, err
	}
	minter, err := token.NewMinter(token.MinterConfig{
		Signer: w.keys, Key: signing[0].Key, Issuer: w.issuer, Audience: w.audience, Now: time.Now, Random: rand.Reader,
	})
	if err != nil {
		return nil, err
	}
	service, err := access.New(access.Config{
		Accounts: w.pool, Attempts: w.pool, Sessions: w.pool, Gateways: w.pool, Trail: w.pool,
		Minter: minter, Keys: set, Log: w.log, Now: time.Now, Random: rand.Reader, Issuer: w.issuer,
	})
	if err != nil {
		return nil, err
	}
	return lambdahttp.New(lambdahttp.Config{Handler: service.Handler(), Now: time.Now})
}
