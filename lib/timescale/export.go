package timescale

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/insighthub/insighthub/lib/readings"
)

// exportRows is how many rows are read at a time, which is what an export keeps in memory.
const exportRows = 10_000

// Export hands over the selected readings of all qualities, series by series in the order
// of their names, as they were at one moment. It returns telemetry.ErrNotFound when the
// site has no such gateway, and whatever take returns. Before the first block it may try
// again; after it a failure of the database is the end.
func (p *Pool) Export(ctx context.Context, s readings.Selection, take func(*readings.Block) error) error {
	var begun bool
	var failed error
	err := p.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		failed = nil
		err := pgx.BeginTxFunc(ctx, conn, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
			series, err := selected(ctx, tx, s)
			if err != nil {
				return err
			}
			for i := range series {
				if err := exportSeries(ctx, tx, &series[i], s.Range, func(b *readings.Block) error {
					begun = true
					return take(b)
				}); err != nil {
					return err
				}
			}
			return nil
		})
		if begun && err != nil {
			failed = classify(err) // not for do to repeat
			return nil
		}
		return err
	})
	if err = errors.Join(err, failed); err != nil {
		return fmt.Errorf("export of gateway %s: %w", s.Gateway, err)
	}
	return nil
}

// selected returns the series of a selection.
func selected(ctx context.Context, tx pgx.Tx, s readings.Selection) ([]seriesRow, error) {
	rows, err := tx.Query(ctx, `SELECT d.id, m.id, d.name, m.name, m.unit, w.watermark, false
		FROM gateway g JOIN device d ON d.gateway_id = g.id JOIN series s ON s.device_id = d.id JOIN metric m ON m.id = s.metric_id CROSS JOIN rollup_watermark w
		WHERE g.site = $1 AND g.name = $2 AND ($3 = '' OR d.name = $3) AND ($4 = '' OR m.name = $4) ORDER BY d.name, m.name`,
		planned, string(s.Site), string(s.Gateway), string(s.Device), string(s.Metric))
	if err != nil {
		return nil, err
	}
	series, err := pgx.CollectRows(rows, scanSeries)
	if err == nil && len(series) == 0 {
		_, err = queryOne(ctx, tx, pgx.RowTo[int32], "SELECT id FROM gateway WHERE site = $1 AND name = $2", string(s.Site), string(s.Gateway))
	}
	return series, err
}

// exportSeries hands a series over in blocks. Each is a query of its own, so that the
// timeout of statements is for one block and not for the reader of all.
func exportSeries(ctx context.Context, tx pgx.Tx, s *seriesRow, r readings.Range, take func(*readings.Block) error) error {
	block := readings.Block{Device: s.Device, Metric: s.Metric, Unit: s.Unit}
	for {
		block.Times, block.Values, block.Quality = block.Times[:0], block.Values[:0], block.Quality[:0]
		rows, err := tx.Query(ctx, `SELECT time, value, quality FROM event WHERE device_id = $1 AND metric_id = $2 AND time >= $3 AND time < $4 ORDER BY time LIMIT $5`,
			planned, s.device, s.metric, r.From.Time(), r.To.Time(), exportRows)
		if err != nil {
			return err
		}
		if err := appendPoints(&block.Points, rows); err != nil {
			return err
		}
		n := len(block.Times)
		if n > 0 {
			if err := take(&block); err != nil {
				return err
			}
			r.From = block.Times[n-1] + 1
		}
		if n < exportRows {
			return nil
		}
	}
}

// ExportRows returns about how many readings a selection has: exactly those before the
// rollup's watermark but for hours that are stale, and none after it.
func (p *Pool) ExportRows(ctx context.Context, s readings.Selection) (int64, error) {
	return findOne(ctx, p, "size of an export", pgx.RowTo[int64], `SELECT coalesce(sum(e.count), 0)::int8
		FROM gateway g JOIN device d ON d.gateway_id = g.id JOIN metric m ON m.gateway_id = g.id JOIN event_minute e ON e.device_id = d.id AND e.metric_id = m.id
		WHERE g.site = $1 AND g.name = $2 AND ($3 = '' OR d.name = $3) AND ($4 = '' OR m.name = $4) AND e.minute >= $5 AND e.minute < $6::timestamptz - interval '1 minute'`,
		planned, string(s.Site), string(s.Gateway), string(s.Device), string(s.Metric), s.Range.From.Time(), s.Range.To.Time())
}
