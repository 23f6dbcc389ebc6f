// Command audit is the platform's self-check: it checks a running platform from outside and
// reports the result of each check (see lib/audit and docs/AUDIT.md).
//
// Without arguments it is the function that runs on a schedule. Environment: API_URL;
// PROMETHEUS_URL, PROMETHEUS_SIGV4; AUDIT_BUCKET, FAILURE_BUCKET, STATE_BUCKET,
// AWS_S3_PATH_STYLE; TOKEN_ISSUER, TOKEN_AUDIENCE, SIGNING_KEYS; LATENCY_BUDGET_MS,
// LATENCY_READS, KEY_MAX_AGE_DAYS, TRAIL_MONTHS (0, never: see docs/adr/0036); LOG_LEVEL; and what lambdahost.NewHost reads.
//
// With arguments it is a command:
//
//	audit run [-state .local] [-json] [-signed] [-reads 50] [-budget 25ms] [-trail-months 0]
//	audit run -environment [-json]
//	audit verify [-anchors PATH] FILE…
//
// Exit codes: 0 every check passed or warned; 1 a check failed, or the chain of the audit
// trail is broken; 2 the self-check could not run.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	lambdahost "github.com/insighthub/insighthub/lib/lambda/host"
)

func main() {
	if len(os.Args) > 1 {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		code := command(ctx, os.Args[1:], terminal{out: os.Stdout, errors: os.Stderr, getenv: os.Getenv})
		stop()
		os.Exit(code)
	}
	lambdahost.Main(build)
}
