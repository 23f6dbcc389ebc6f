package timescale

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// Introduce makes the gateway, devices and metrics of a batch known as their first
// event does, within the same bounds; the batch needs no events. It is for who may
// be ahead of the store. A batch that was received at 0 moves no gateway to its site.
//
// telemetry.ErrInvalid: the names can not be stored, ever, or the gateway is at its
// bound. telemetry.ErrUnavailable: try later.
func (w *Writer) Introduce(ctx context.Context, names *telemetry.Batch) error {
	err := w.pool.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		_, err := w.learnNames(ctx, conn, []*telemetry.Batch{names})
		return err
	})
	if err != nil {
		return fmt.Errorf("introduce %d devices and %d metrics of gateway %q: %w", len(names.Devices), len(names.Metrics), names.Gateway, err)
	}
	return nil
}
