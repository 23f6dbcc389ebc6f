package kpicheck

import (
	"context"
	_ "embed"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

//go:embed recompute.sql
var recompute string

// FromDatabase computes the samples of the gateways' windows that end by until (s).
// Windows last whole seconds. It supports only machines with the configuration that a
// new database has, and it needs all readings of the windows to be stored.
func FromDatabase(ctx context.Context, conn *pgx.Conn, gateways []string, window time.Duration, until int64) (Samples, error) {
	rows, err := conn.Query(ctx, recompute, gateways, until, int64(window/time.Second))
	if err != nil {
		return nil, fmt.Errorf("recompute the KPIs: %w", err)
	}
	out := make(Samples)
	var k Key
	var value float64
	_, err = pgx.ForEachRow(rows, []any{&k.Name, &k.Gateway, &k.Device, &k.Metric, &k.Reason, &k.End, &value}, func() error {
		out[k] = value
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("recompute the KPIs: %w", err)
	}
	return out, nil
}
