package timescale

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/insighthub/insighthub/lib/readings"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// serverNanos is the processor time of all the server's processes, finer than serverTicks.
func serverNanos(b *testing.B, backend int) float64 {
	b.Helper()
	parent := statField(filepath.Join("/proc", strconv.Itoa(backend), "stat"), 3)
	files, _ := filepath.Glob("/proc/[0-9]*/stat")
	nanos := 0.0
	for _, file := range files {
		if parent == 0 || statField(file, 3) != parent {
			continue
		}
		content, _ := os.ReadFile(filepath.Join(filepath.Dir(file), "schedstat")) // a process may have ended
		spent, _, _ := strings.Cut(string(content), " ")
		n, _ := strconv.ParseFloat(spent, 64)
		nanos += n
	}
	return nanos
}

// unmarked stores as Writer.Write does, without the marks of the roll-up.
func (w *Writer) unmarked(ctx context.Context, batches []*telemetry.Batch) error {
	s := w.scratch.Get().(*scratch)
	defer w.scratch.Put(s)
	return w.pool.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		if err := w.resolve(ctx, conn, s, batches); err != nil {
			return err
		}
		s.table.fill(batches, s.resolved)
		s.reader = copyReader{rows: s.table.rows}
		_, err := conn.PgConn().CopyFrom(ctx, &s.reader, copyStatement)
		return err
	})
}

// BenchmarkWriteRealMinutes writes in turns without the marks of the roll-up, with them,
// and late rows, each into gateways of its own. It reports the medians of the turns.
func BenchmarkWriteRealMinutes(b *testing.B) {
	for _, n := range []int{1, 10} {
		b.Run(fmt.Sprintf("batches=%d", n), func(b *testing.B) {
			pool := migrated(b, FlavourDetect)
			w := NewWriter(pool, WriterConfig{})
			backend := query[int](b, pool, "SELECT pg_backend_pid()")
			kinds := []string{"without", "with", "late"}
			batches, server, own := make([][]*telemetry.Batch, len(kinds)), make([][]float64, len(kinds)), make([][]float64, len(kinds))
			for k, kind := range kinds {
				for i := range n {
					batches[k] = append(batches[k], grid(telemetry.GatewayID(fmt.Sprint(kind, i)), 10, 10, 10, noon))
				}
				start := telemetry.MicrosOf(time.Now())
				if kind == "late" {
					start -= 100 * hourMicros
				}
				forward(batches[k], start-noon)
			}
			const steps = 10
			turn := func(k int) {
				for range steps {
					var err error
					if kinds[k] == "without" {
						err = w.unmarked(b.Context(), batches[k])
					} else {
						_, err = w.Write(b.Context(), batches[k])
					}
					if err != nil {
						b.Fatal(err)
					}
					forward(batches[k], 10_000_000)
				}
			}
			for k := range kinds {
				turn(k)
				turn(k)
			}
			rows := float64(steps * n * 1000)
			for round := 0; b.Loop(); round++ {
				for i := range kinds {
					k := (i + round) % len(kinds)
					before, beforeOwn := serverNanos(b, backend), ownTime(b)
					turn(k)
					own[k] = append(own[k], float64((ownTime(b)-beforeOwn).Nanoseconds())/rows)
					server[k] = append(server[k], (serverNanos(b, backend)-before)/rows)
				}
			}
			for k, kind := range kinds {
				b.ReportMetric(median(server[k]), kind+"-server-ns/row")
				b.ReportMetric(median(own[k]), kind+"-client-ns/row")
			}
			// The median difference of a turn from that without minutes in the same round.
			for k := 1; k < len(kinds); k++ {
				pairs := make([]float64, len(server[k]))
				for i := range pairs {
					pairs[i] = server[k][i] - server[0][i]
				}
				b.ReportMetric(median(pairs), kinds[k]+"-more-server-ns/row")
			}
		})
	}
}

func median(of []float64) float64 {
	sorted := slices.Sorted(slices.Values(of))
	return sorted[len(sorted)/2]
}

func forward(batches []*telemetry.Batch, by telemetry.Micros) {
	for _, batch := range batches {
		for i := range batch.Time {
			batch.Time[i] += by
		}
	}
}

// BenchmarkYearReal queries a year by day, from hours and from minutes. It needs no
// events: there are hours of 100 series and minutes of 4.
func BenchmarkYearReal(b *testing.B) {
	pool := migrated(b, FlavourDetect)
	from := time.Now().UTC().AddDate(-1, 0, 0).Truncate(24 * time.Hour)
	to := time.Now().UTC().Add(-RollupLag).Truncate(time.Hour)
	execute := func(statement string, arguments ...any) {
		if _, err := pool.pgx.Exec(b.Context(), statement, append([]any{customPlan}, arguments...)...); err != nil {
			b.Fatal(err)
		}
	}
	execute("INSERT INTO gateway (name, site, site_since) VALUES ('g', 'plant-1', now())")
	execute("INSERT INTO device (gateway_id, name) SELECT g.id, 'd' || n FROM gateway g, generate_series(0, 9) AS n")
	execute("INSERT INTO metric (gateway_id, name) SELECT g.id, 'm' || n FROM gateway g, generate_series(0, 9) AS n")
	const rolledUp = `SELECT d.id, m.id, t, 0, 60, 60 * sin(extract(epoch FROM t)), -1, 1, t, 0, t + interval '59 seconds', 1
		FROM generate_series($1::timestamptz, $2::timestamptz - interval '1 second', $3::interval) AS t, device d, metric m
			WHERE d.id <= $4 AND m.id <= $5 ORDER BY t`
	execute("INSERT INTO event_hour "+rolledUp, from, to, "1 hour", 10, 10)
	for at := from; at.Before(to); at = at.AddDate(0, 0, 30) { // the statement timeout is 30 s
		until := at.AddDate(0, 0, 30)
		if until.After(to) {
			until = to
		}
		execute("INSERT INTO event_minute "+rolledUp, at, until, "1 minute", 2, 2)
	}
	execute("UPDATE rollup_watermark SET watermark = $1, hour_watermark = $1", to)
	execute("VACUUM ANALYZE event_hour, event_minute")
	q := readings.BucketQuery{
		Range: readings.Range{From: telemetry.MicrosOf(from), To: telemetry.MicrosOf(to)}, Width: 24 * time.Hour,
		Qualities: everyQuality[:2], Aggregates: []readings.Aggregate{readings.Min, readings.Max, readings.Mean, readings.Count},
	}
	var want []float64
	for _, of := range []string{"hours", "minutes"} {
		b.Run("of="+of, func(b *testing.B) {
			if of == "minutes" {
				execute("UPDATE rollup_watermark SET hour_watermark = $1", from.Add(-time.Hour))
			}
			b.ReportAllocs()
			for b.Loop() {
				got, err := pool.Buckets(b.Context(), seriesOf("d0", "m0"), q)
				if err != nil || len(got.Times) < 365 {
					b.Fatalf("%d days, %v", len(got.Times), err)
				}
				if want == nil {
					want = got.Columns[0]
				}
				if !slices.Equal(want, got.Columns[0]) {
					b.Fatal("minutes and hours give different buckets")
				}
			}
		})
	}
}
