// Command rollup is the function that refreshes the roll-ups by minute and hour and drops
// data after its retention. A schedule invokes it every minute; it ignores the event.
//
// Environment: DATABASE_SECRET_ARN; RETENTION_EVENT_DAYS, RETENTION_MINUTE_DAYS (3,653
// each), RETENTION_HOUR_DAYS (0), where 0 keeps data for ever; LOG_LEVEL; and what
// lambdahost.NewHost reads.
package main

import (
	"context"
	"time"

	"github.com/insighthub/insighthub/lib/aws/secrets"
	lambdahost "github.com/insighthub/insighthub/lib/lambda/host"
	"github.com/insighthub/insighthub/lib/timescale"
)

func main() { lambdahost.Main(build) }

// build makes the function from its environment.
func build(ctx context.Context, h *lambdahost.Host) (lambdahost.Function, error) {
	database := h.Env.Required("DATABASE_SECRET_ARN")
	retention := retentionOf(h.Env)
	h.Env.Add(retention.Validate())
	if err := h.Env.Err(); err != nil {
		return lambdahost.Function{}, err
	}
	pool, err := timescale.OpenSecret(ctx, secrets.New(h.AWS), database, timescale.PoolConfig{
		Application: "insighthub-rollup", MaxConnections: 1, StatementTimeout: 20 * time.Second,
	})
	if err != nil {
		return lambdahost.Function{}, err
	}
	return lambdahost.Function{Handler: &handler{pool, retention, h.Log}, Close: pool.Close}, nil
}
