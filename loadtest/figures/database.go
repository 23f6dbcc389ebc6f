package figures

import (
	"context"
	_ "embed"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

//go:embed recompute.sql
var recompute string

// FromDatabase computes the figures of the gateways' windows that end by until (s).
// Windows are of whole seconds. It is right for machines that are configured as the
// database begins with, and as far as the readings are stored: those of the last
// windows have to be.
func FromDatabase(ctx context.Context, conn *pgx.Conn, gateways []string, window time.Duration, until int64) (Set, error) {
	rows, err := conn.Query(ctx, recompute, gateways, until, int64(window/time.Second))
	if err != nil {
		return nil, fmt.Errorf("recompute the figures: %w", err)
	}
	out := make(Set)
	var f Figure
	var value float64
	_, err = pgx.ForEachRow(rows, []any{&f.Name, &f.Gateway, &f.Device, &f.Metric, &f.Reason, &f.End, &value}, func() error {
		out[f] = value
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("recompute the figures: %w", err)
	}
	return out, nil
}
