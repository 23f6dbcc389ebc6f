package timescale

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// marks is what a write has to say beside its rows: series that are new, and hours
// that its rows make stale.
type marks struct {
	device, metric         []int32
	lateDevice, lateMetric []int32
	lateHour               []int64
	series                 []uint64 // those not known yet
}

// find looks at sorted rows. Hours that begin before limit are late; known reports
// which series are in the database.
func (m *marks) find(rows []row, limit telemetry.Micros, d *dictionary) {
	m.lateDevice, m.lateMetric, m.lateHour = m.lateDevice[:0], m.lateMetric[:0], m.lateHour[:0]
	m.series = m.series[:0]
	for start := 0; start < len(rows); {
		key := rows[start].series
		m.series = append(m.series, key)
		late := rows[start].time < limit
		hour := hourOf(rows[start].time)
		if late {
			m.late(rows[start], hour)
		}
		end := start + 1
		for ; end < len(rows) && rows[end].series == key; end++ {
			if late && rows[end].time < limit {
				if h := hourOf(rows[end].time); h != hour {
					hour = h
					m.late(rows[end], hour)
				}
			}
		}
		start = end
	}
	m.series = d.unknownSeries(m.series)
}

func (m *marks) late(r row, hour telemetry.Micros) {
	m.lateDevice, m.lateMetric = append(m.lateDevice, int32(r.device())), append(m.lateMetric, int32(r.metric()))
	m.lateHour = append(m.lateHour, int64(hour))
}

// register makes the new series known to the database, then to the cache.
func (m *marks) register(ctx context.Context, conn *pgx.Conn, d *dictionary, generation uint64) error {
	if len(m.series) == 0 {
		return nil
	}
	m.device, m.metric = m.device[:0], m.metric[:0]
	for _, key := range m.series {
		r := row{series: key}
		m.device, m.metric = append(m.device, int32(r.device())), append(m.metric, int32(r.metric()))
	}
	if _, err := conn.Exec(ctx, `INSERT INTO series (device_id, metric_id) SELECT * FROM unnest($1::int4[], $2::int4[]) ON CONFLICT DO NOTHING`,
		m.device, m.metric); err != nil {
		return fmt.Errorf("add %d series: %w", len(m.series), err)
	}
	d.learnSeries(generation, m.series)
	return nil
}

// write writes the late hours.
func (m *marks) write(ctx context.Context, conn *pgx.Conn) error {
	if _, err := conn.Exec(ctx, `INSERT INTO rollup_stale (device_id, metric_id, hour)
		SELECT device_id, metric_id, timestamptz 'epoch' + micros * interval '1 microsecond'
		FROM unnest($1::int4[], $2::int4[], $3::int8[]) AS late(device_id, metric_id, micros)`, m.lateDevice, m.lateMetric, m.lateHour); err != nil {
		return fmt.Errorf("mark %d stale hours: %w", len(m.lateHour), err)
	}
	return nil
}

// marked runs f, which stores rows, with the stale hours in one transaction; without
// any it runs f alone.
func (m *marks) marked(ctx context.Context, conn *pgx.Conn, f func() error) error {
	if len(m.lateHour) == 0 {
		return f()
	}
	return pgx.BeginFunc(ctx, conn, func(pgx.Tx) error {
		if err := m.write(ctx, conn); err != nil {
			return err
		}
		return f()
	})
}

// afterwards marks the hours of all rows when storing them took so long that the
// watermark may have passed them. Only then is the write acknowledged.
func (m *marks) afterwards(ctx context.Context, conn *pgx.Conn, rows []row, took time.Duration, d *dictionary) error {
	if took < slowWrite {
		return nil
	}
	const everything = telemetry.Micros(1<<63 - 1)
	m.find(rows, everything, d)
	return m.write(ctx, conn)
}
