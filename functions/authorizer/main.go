// Command authorizer is the Lambda authorizer of the HTTP API: it verifies the
// bearer token and tells the function behind the route who calls.
//
// Environment: TOKEN_SECRET_ARN; LOG_LEVEL; that of lambdahost.NewInstruments.
package main

import (
	"context"
	"log/slog"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/lambda"

	"github.com/insighthub/insighthub/lib/awsconfig"
	"github.com/insighthub/insighthub/lib/lambdahost"
	"github.com/insighthub/insighthub/lib/secrets"
	"github.com/insighthub/insighthub/lib/token"
)

var _ token.SecretSource = (*secrets.Store)(nil)

func main() {
	log := lambdahost.Logger(os.Getenv)
	handler, err := build(os.Getenv, log)
	if err != nil {
		log.Error("can not start", "error", err)
		os.Exit(1)
	}
	lambdahost.Start(context.Background(), handler)
}

// build makes the function from its environment.
func build(getenv func(string) string, log *slog.Logger) (lambda.Handler, error) {
	env := lambdahost.NewEnv(getenv)
	arn := env.Required("TOKEN_SECRET_ARN")
	if err := env.Err(); err != nil {
		return nil, err
	}
	aws, err := awsconfig.Load(getenv)
	if err != nil {
		return nil, err
	}
	instruments, err := lambdahost.NewInstruments(getenv, aws)
	if err != nil {
		return nil, err
	}
	handler, err := token.NewAuthorizer(token.AuthorizerConfig{
		Secrets: secrets.New(aws), SecretARN: arn, Now: time.Now, Log: log,
	})
	if err != nil {
		return nil, err
	}
	return instruments.Observe(handler)
}
