package timescale

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/insighthub/insighthub/lib/readings"
)

// exportRows is how many rows an export reads at a time and holds in memory.
const exportRows = 10_000

// Export passes the selected readings of all qualities to write, series by series in the
// order of their names, from one snapshot. It returns telemetry.ErrNotFound if the site
// has no such gateway, and the errors of write. A failure of the database is retried
// before the first block only.
func (p *Pool) Export(ctx context.Context, s readings.Selection, write func(*readings.Block) error) error {
	var begun bool
	var failed error
	// Without a budget, which is for one statement each here: an export may take minutes.
	err := p.within(ctx, 0, func(ctx context.Context, conn *pgx.Conn) error {
		failed = nil
		snapshot := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
		err := pgx.BeginTxFunc(ctx, conn, snapshot, func(tx pgx.Tx) error {
			limited, cancel := p.blockTimeout(ctx)
			series, err := selectSeries(limited, tx, s)
			cancel()
			if err != nil {
				return err
			}
			for i := range series {
				if err := p.exportSeries(ctx, tx, &series[i], s.Range, func(b *readings.Block) error {
					begun = true
					return write(b)
				}); err != nil {
					return err
				}
			}
			return nil
		})
		if begun && err != nil {
			failed = classify(err) // do must not retry it
			return nil
		}
		return err
	})
	if err = errors.Join(err, failed); err != nil {
		return fmt.Errorf("export of gateway %s: %w", s.Gateway, err)
	}
	return nil
}

// selectSeries returns the series of a selection.
func selectSeries(ctx context.Context, tx pgx.Tx, s readings.Selection) ([]seriesRow, error) {
	rows, err := tx.Query(ctx, `SELECT d.id, m.id, d.name, m.name, m.unit, w.watermark, false, now()
		FROM gateway g JOIN device d ON d.gateway_id = g.id JOIN series s ON s.device_id = d.id JOIN metric m ON m.id = s.metric_id
			CROSS JOIN rollup_watermark w
		WHERE g.site = $1 AND g.name = $2 AND ($3 = '' OR d.name = $3) AND ($4 = '' OR m.name = $4) ORDER BY d.name, m.name`,
		customPlan, string(s.Site), string(s.Gateway), string(s.Device), string(s.Metric))
	if err != nil {
		return nil, err
	}
	series, err := pgx.CollectRows(rows, scanSeries)
	if err == nil && len(series) == 0 {
		_, err = queryOne(ctx, tx, pgx.RowTo[int32], "SELECT id FROM gateway WHERE site = $1 AND name = $2",
			string(s.Site), string(s.Gateway))
	}
	return series, err
}

// exportSeries passes a series to write in blocks. Each block is a query of its own, so
// that the statement timeout applies to a block and not to the reader of the export.
func (p *Pool) exportSeries(ctx context.Context, tx pgx.Tx, s *seriesRow, r readings.Range, write func(*readings.Block) error) error {
	block := readings.Block{Device: s.Device, Metric: s.Metric, Unit: s.Unit}
	for {
		block.Times, block.Values, block.Quality = block.Times[:0], block.Values[:0], block.Quality[:0]
		if err := p.exportBlock(ctx, tx, s, r, &block); err != nil {
			return err
		}
		n := len(block.Times)
		if n > 0 {
			if err := write(&block); err != nil {
				return err
			}
			r.From = block.Times[n-1] + 1
		}
		if n < exportRows {
			return nil
		}
	}
}

func (p *Pool) exportBlock(ctx context.Context, tx pgx.Tx, s *seriesRow, r readings.Range, block *readings.Block) error {
	ctx, cancel := p.blockTimeout(ctx)
	defer cancel()
	rows, err := tx.Query(ctx, `SELECT time, value, quality FROM event
		WHERE device_id = $1 AND metric_id = $2 AND time >= $3 AND time < $4 ORDER BY time LIMIT $5`,
		customPlan, s.device, s.metric, r.From.Time(), r.To.Time(), exportRows)
	if err != nil {
		return err
	}
	return appendPoints(&block.Points, rows)
}

// blockTimeout limits a statement of an export on a server that does not respond, and so does
// not end it by its own timeout.
func (p *Pool) blockTimeout(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, p.config.StatementTimeout+p.config.ProbeTimeout)
}

// ExportRows estimates how many readings a selection has, by the minutes: it counts none
// after the roll-up's watermark, and stale hours as they were before they became stale.
func (p *Pool) ExportRows(ctx context.Context, s readings.Selection) (int64, error) {
	return findOne(ctx, p, "size of an export", pgx.RowTo[int64], `SELECT coalesce(sum(e.count), 0)::int8
		FROM gateway g JOIN device d ON d.gateway_id = g.id JOIN metric m ON m.gateway_id = g.id
			JOIN event_minute e ON e.device_id = d.id AND e.metric_id = m.id
		WHERE g.site = $1 AND g.name = $2 AND ($3 = '' OR d.name = $3) AND ($4 = '' OR m.name = $4)
			AND e.minute >= $5 AND e.minute < $6::timestamptz - interval '1 minute'`,
		customPlan, string(s.Site), string(s.Gateway), string(s.Device), string(s.Metric), s.Range.From.Time(), s.Range.To.Time())
}
