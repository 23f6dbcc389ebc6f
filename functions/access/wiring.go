package main

import (
	"context"
	"crypto/rand"
	"log/slog"
	"time"

	"github.com/aws/aws-lambda-go/lambda"

	"github.com/insighthub/insighthub/lib/access"
	"github.com/insighthub/insighthub/lib/aws/kms"
	"github.com/insighthub/insighthub/lib/aws/s3"
	"github.com/insighthub/insighthub/lib/aws/secrets"
	"github.com/insighthub/insighthub/lib/denylist"
	lambdahost "github.com/insighthub/insighthub/lib/lambda/host"
	lambdahttp "github.com/insighthub/insighthub/lib/lambda/http"
	"github.com/insighthub/insighthub/lib/refusals"
	"github.com/insighthub/insighthub/lib/timescale"
	"github.com/insighthub/insighthub/lib/token"
)

// build creates the function from its environment.
func build(ctx context.Context, h *lambdahost.Host) (lambdahost.Function, error) {
	database := h.Env.Required("DATABASE_SECRET_ARN")
	issuer, audience, keys := h.Env.Required("TOKEN_ISSUER"), h.Env.Required("TOKEN_AUDIENCE"), h.Env.Required("SIGNING_KEYS")
	bucket, pathStyle := h.Env.Required("STATE_BUCKET"), h.Env.Bool("AWS_S3_PATH_STYLE", false)
	connections := h.Env.Int("DATABASE_CONNECTIONS", 1, 1, 8)
	if err := h.Env.Err(); err != nil {
		return lambdahost.Function{}, err
	}
	pool, err := timescale.OpenSecret(ctx, secrets.New(h.AWS), database,
		timescale.ForRequests("insighthub-access", connections, 5*time.Second))
	if err != nil {
		return lambdahost.Function{}, err
	}
	objects, err := s3.New(s3.Config{AWS: h.AWS, Bucket: bucket, PathStyle: pathStyle})
	if err != nil {
		return lambdahost.Function{}, err
	}
	failures, err := refusals.New(refusals.Config{
		Publisher: refusals.PublisherFunc(pool.PublishReports), Registerer: h.Registry, Now: time.Now, NewID: rand.Text,
	})
	if err != nil {
		return lambdahost.Function{}, err
	}
	handler, err := wire(wiring{
		pool: pool, failures: failures, keys: kms.New(h.AWS), denials: denylist.Publisher{Source: pool, Objects: objects},
		issuer: issuer, audience: audience, signing: keys, log: h.Log,
	})
	return lambdahost.Function{Handler: handler, Shutdown: failures.Shutdown, Close: pool.Close}, err
}

// wiring holds the function's dependencies and settings.
type wiring struct {
	pool     *timescale.Pool
	failures *refusals.Collector
	keys     interface {
		token.KeySource
		token.Signer
	}
	denials                   access.Denials
	issuer, audience, signing string
	log                       *slog.Logger
}

// wire creates the Lambda handler.
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
		Accounts: w.pool, Attempts: w.pool, Sessions: w.pool, Gateways: w.pool, Trail: w.pool, Failures: w.failures, Denials: w.denials,
		Minter: minter, Keys: set, Log: w.log, Now: time.Now, Random: rand.Reader, Issuer: w.issuer,
	})
	if err != nil {
		return nil, err
	}
	return w.failures.Observe(lambdahttp.New(lambdahttp.Config{Handler: service.Handler(), Now: time.Now})), nil
}
