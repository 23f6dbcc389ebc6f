package timescale

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// marks are what a write stores besides its events: series that are new, and the hours
// that its late events make stale.
type marks struct {
	device, metric           []int32 // of new series
	staleDevice, staleMetric []int32
	staleHour                []int64
	series                   []uint64 // keys of series that are not in the cache
}

// collect finds the marks of sorted rows. Rows with a time before limit are late.
func (m *marks) collect(rows []row, limit telemetry.Micros, d *dictionary) {
	m.staleDevice, m.staleMetric, m.staleHour = m.staleDevice[:0], m.staleMetric[:0], m.staleHour[:0]
	m.series = m.series[:0]
	for start := 0; start < len(rows); {
		key := rows[start].series
		m.series = append(m.series, key)
		late := rows[start].time < limit
		hour := hourOf(rows[start].time)
		if late {
			m.addStale(rows[start], hour)
		}
		end := start + 1
		for ; end < len(rows) && rows[end].series == key; end++ {
			if late && rows[end].time < limit {
				if h := hourOf(rows[end].time); h != hour {
					hour = h
					m.addStale(rows[end], hour)
				}
			}
		}
		start = end
	}
	m.series = d.uncachedSeries(m.series)
}

func (m *marks) addStale(r row, hour telemetry.Micros) {
	m.staleDevice, m.staleMetric = append(m.staleDevice, int32(r.device())), append(m.staleMetric, int32(r.metric()))
	m.staleHour = append(m.staleHour, int64(hour))
}

// registerSeries adds the new series to the database, then to the cache.
func (m *marks) registerSeries(ctx context.Context, conn *pgx.Conn, d *dictionary, generation uint64) error {
	if len(m.series) == 0 {
		return nil
	}
	m.device, m.metric = m.device[:0], m.metric[:0]
	for _, key := range m.series {
		r := row{series: key}
		m.device, m.metric = append(m.device, int32(r.device())), append(m.metric, int32(r.metric()))
	}
	if _, err := conn.Exec(ctx, `INSERT INTO series (device_id, metric_id)
		SELECT * FROM unnest($1::int4[], $2::int4[]) ON CONFLICT DO NOTHING`, m.device, m.metric); err != nil {
		return fmt.Errorf("add %d series: %w", len(m.series), err)
	}
	d.addSeries(generation, m.series)
	return nil
}

// insert inserts the stale hours.
func (m *marks) insert(ctx context.Context, conn *pgx.Conn) error {
	if _, err := conn.Exec(ctx, `INSERT INTO rollup_stale (device_id, metric_id, hour)
		SELECT device_id, metric_id, timestamptz 'epoch' + micros * interval '1 microsecond'
		FROM unnest($1::int4[], $2::int4[], $3::int8[]) AS stale(device_id, metric_id, micros)`,
		m.staleDevice, m.staleMetric, m.staleHour); err != nil {
		return fmt.Errorf("mark %d stale hours: %w", len(m.staleHour), err)
	}
	return nil
}

// insertWith inserts the stale hours and runs f, which stores the rows, in one
// transaction: a refresh sees both or neither. Without stale hours it only runs f.
func (m *marks) insertWith(ctx context.Context, conn *pgx.Conn, f func() error) error {
	if len(m.staleHour) == 0 {
		return f()
	}
	return pgx.BeginFunc(ctx, conn, func(pgx.Tx) error {
		if err := m.insert(ctx, conn); err != nil {
			return err
		}
		return f()
	})
}

// insertAfterSlowWrite marks the hours of all rows if storing them took so long that
// the watermark may have passed them. The write is acknowledged after that.
func (m *marks) insertAfterSlowWrite(ctx context.Context, conn *pgx.Conn, rows []row, took time.Duration, d *dictionary) error {
	if took < slowWrite {
		return nil
	}
	m.collect(rows, math.MaxInt64, d)
	return m.insert(ctx, conn)
}
