package timescale

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/insighthub/insighthub/lib/readings"
	"github.com/insighthub/insighthub/lib/telemetry"
)

var everyQuality = readings.Qualities{telemetry.Good, telemetry.Uncertain, telemetry.Bad}

func seriesOf(device, metric string) readings.Series {
	return readings.Series{Site: "plant-1", Gateway: "g", Device: telemetry.DeviceName(device), Metric: telemetry.MetricName(metric)}
}

// TestRollupAnswersAsEventsDo writes events in order and out of it, twice and late,
// refreshes in between, and compares each answer with one made of the events alone.
func TestRollupAnswersAsEventsDo(t *testing.T) {
	for _, flavour := range flavours {
		t.Run(string(flavour), func(t *testing.T) {
			t.Parallel()
			pool := migrated(t, flavour)
			r := rand.New(rand.NewPCG(1, 2))
			now := telemetry.MicrosOf(time.Now())
			var written []telemetry.Event
			for round := range 12 {
				// Restarted half of the time, so that the caches are cold.
				w := NewWriter(pool, WriterConfig{})
				for range 3 {
					b := &telemetry.Batch{Gateway: "g", Site: "plant-1", Received: now}
					for range 1 + r.IntN(300) {
						e := reading(fmt.Sprint("d", r.IntN(2)), fmt.Sprint("m", r.IntN(2)), now-telemetry.Micros(r.Int64N(int64(4*time.Hour/time.Microsecond))), math.Round(r.NormFloat64()*100))
						e.Quality = telemetry.Quality(r.IntN(3))
						if len(written) > 0 && r.IntN(4) == 0 { // again, or another value for it
							e = written[r.IntN(len(written))]
							e.Value += float64(r.IntN(2))
						}
						b.Append(e)
						written = append(written, e)
					}
					if _, err := w.Write(t.Context(), []*telemetry.Batch{b}); err != nil {
						t.Fatal(err)
					}
				}
				compareWithEvents(t, pool, r, now)
				if round%3 != 1 {
					continue
				}
				if done, err := pool.RefreshRollup(t.Context()); err != nil || done.Behind {
					t.Fatalf("%+v, %v", done, err)
				}
				compareWithEvents(t, pool, r, now)
				if n := query[int](t, pool, "SELECT count(*) FROM rollup_stale"); n != 0 {
					t.Errorf("%d hours are stale after a refresh", n)
				}
			}
			// And the table itself, against the definition.
			if _, err := pool.RefreshRollup(t.Context()); err != nil {
				t.Fatal(err)
			}
			const differing = `WITH want AS (SELECT device_id, metric_id, date_trunc('minute', time) AS minute, quality, count(*)::int AS count, min(value) AS min, max(value) AS max, min(time) AS first_at, max(time) AS last_at
					FROM event, rollup_watermark WHERE time < watermark GROUP BY 1, 2, 3, 4),
				have AS (SELECT device_id, metric_id, minute, quality, count, min, max, first_at, last_at FROM event_minute)
				SELECT count(*) FROM ((SELECT * FROM want EXCEPT SELECT * FROM have) UNION ALL (SELECT * FROM have EXCEPT SELECT * FROM want)) AS d`
			if n := query[int](t, pool, differing); n != 0 {
				t.Errorf("%d minutes differ from their events", n)
			}
			if n := query[int](t, pool, "SELECT count(*) FROM event_minute"); n < 500 {
				t.Errorf("only %d minutes were made", n)
			}
		})
	}
}

// compareWithEvents asks for random ranges of a random series.
func compareWithEvents(t *testing.T, pool *Pool, r *rand.Rand, now telemetry.Micros) {
	t.Helper()
	for range 6 {
		s := seriesOf(fmt.Sprint("d", r.IntN(2)), fmt.Sprint("m", r.IntN(2)))
		span := func() telemetry.Micros { return telemetry.Micros(r.Int64N(int64(5 * time.Hour / time.Microsecond))) }
		from := now - span()
		q := readings.BucketQuery{
			Range: readings.Range{From: from, To: from + span() + 1}, Width: readings.Resolutions()[1+r.IntN(5)].Width,
			Qualities: everyQuality[r.IntN(2) : 2+r.IntN(2)], Aggregates: readings.Aggregates(),
		}
		got, err := pool.Buckets(t.Context(), s, q)
		if errors.Is(err, telemetry.ErrNotFound) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(bucketsOfEvents(t, pool, s, q), got); diff != "" {
			t.Fatalf("%+v %+v: answer differs (-events +got):\n%s", s, q, diff)
		}
	}
}

// bucketsOfEvents makes buckets of what Points returns. Values are whole numbers, so
// that sums do not depend on their order.
func bucketsOfEvents(t *testing.T, pool *Pool, s readings.Series, q readings.BucketQuery) readings.Buckets {
	t.Helper()
	points, err := pool.Points(t.Context(), s, readings.PointQuery{Range: q.Range, Qualities: q.Qualities, Limit: 1_000_000})
	if err != nil {
		t.Fatal(err)
	}
	out := readings.Buckets{Columns: make([][]float64, 7)}
	for start := 0; start < len(points.Times); {
		bucket := floorTo(points.Times[start], telemetry.Micros(q.Width.Microseconds()))
		end := start
		for end < len(points.Times) && floorTo(points.Times[end], telemetry.Micros(q.Width.Microseconds())) == bucket {
			end++
		}
		v := points.Values[start:end]
		sum := 0.0
		for _, x := range v {
			sum += x
		}
		out.Times = append(out.Times, bucket)
		for i, x := range []float64{slices.Min(v), slices.Max(v), sum / float64(len(v)), sum, float64(len(v)), v[0], v[len(v)-1]} {
			out.Columns[i] = append(out.Columns[i], x)
		}
		start = end
	}
	return out
}

// TestRollupIsRead takes the events away: what is before the watermark is answered
// from minutes, and what is stale is not.
func TestRollupIsRead(t *testing.T) {
	pool := migrated(t, FlavourDetect)
	w := NewWriter(pool, WriterConfig{})
	at := floorTo(telemetry.MicrosOf(time.Now()), hourMicros) - 3*hourMicros
	write(t, w, Outcome{Stored: 2}, batchOf("g", reading("d", "m", at, 1), reading("d", "m", at+hourMicros, 2)))
	if _, err := pool.RefreshRollup(t.Context()); err != nil {
		t.Fatal(err)
	}
	write(t, w, Outcome{Stored: 1}, batchOf("g", reading("d", "m", at+hourMicros+1, 3)))
	if _, err := pool.pgx.Exec(t.Context(), "DELETE FROM event"); err != nil {
		t.Fatal(err)
	}
	q := readings.BucketQuery{Range: readings.Range{From: at, To: at + 3*hourMicros}, Width: time.Hour, Qualities: everyQuality, Aggregates: []readings.Aggregate{readings.Count}}
	got, err := pool.Buckets(t.Context(), seriesOf("d", "m"), q)
	if diff := cmp.Diff(readings.Buckets{Times: []telemetry.Micros{at}, Columns: [][]float64{{1}}}, got); err != nil || diff != "" {
		t.Errorf("%v, answer differs (-want +got):\n%s", err, diff)
	}
}

// TestRollupTakesHugeValues: what one gateway sends does not stop the others' minutes.
func TestRollupTakesHugeValues(t *testing.T) {
	pool := migrated(t, FlavourDetect)
	w := NewWriter(pool, WriterConfig{})
	at := floorTo(telemetry.MicrosOf(time.Now()), hourMicros) - 3*hourMicros
	write(t, w, Outcome{Stored: 3}, batchOf("g", reading("d", "m", at, math.MaxFloat64), reading("d", "m", at+1, math.MaxFloat64), reading("d", "n", at, -math.MaxFloat64)))
	if _, err := pool.RefreshRollup(t.Context()); err != nil {
		t.Fatal(err)
	}
	q := readings.BucketQuery{Range: readings.Range{From: at, To: at + hourMicros}, Width: time.Hour, Qualities: everyQuality, Aggregates: []readings.Aggregate{readings.Max, readings.Sum}}
	got, err := pool.Buckets(t.Context(), seriesOf("d", "m"), q)
	if err != nil || got.Columns[0][0] != math.MaxFloat64 || got.Columns[1][0] != 2e290 {
		t.Errorf("got %+v, %v", got, err)
	}
}

// TestSlowWriteMarksAfterwards: a write during which the watermark may have passed its
// events marks their hours before it is acknowledged.
func TestSlowWriteMarksAfterwards(t *testing.T) {
	pool := migrated(t, FlavourDetect)
	start, calls := time.Now(), 0
	pool.config.Now = func() time.Time {
		calls++
		return start.Add(time.Duration(calls) * slowWrite)
	}
	write(t, NewWriter(pool, WriterConfig{}), Outcome{Stored: 1}, batchOf("g", reading("d", "m", telemetry.MicrosOf(start.Add(time.Minute*10)), 1)))
	if n := query[int](t, pool, "SELECT count(*) FROM rollup_stale"); n != 1 {
		t.Errorf("%d stale hours, want 1", n)
	}
}

// TestRollupAlone: two refreshes at once leave the work to one of them.
func TestRollupAlone(t *testing.T) {
	pool := migrated(t, FlavourDetect)
	tx, err := pool.pgx.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(t.Context()) }()
	if _, err := tx.Exec(t.Context(), "SELECT pg_advisory_xact_lock($1)", int64(rollupLock)); err != nil {
		t.Fatal(err)
	}
	if done, err := pool.RefreshRollup(t.Context()); err != nil || !done.Behind {
		t.Errorf("got %+v, %v", done, err)
	}
}

func TestPieces(t *testing.T) {
	const m, h = minuteMicros, hourMicros
	text := func(all []piece) (out []string) {
		for _, p := range all {
			kind := []string{"events", "minutes", "hours"}[p.of]
			out = append(out, fmt.Sprintf("%s %v-%v", kind, time.Duration(p.From)*time.Microsecond, time.Duration(p.To)*time.Microsecond))
		}
		return out
	}
	many := make([]telemetry.Micros, 20)
	for i := range many {
		many[i] = h * telemetry.Micros(2*i)
	}
	for name, c := range map[string]struct {
		r         readings.Range
		width     time.Duration
		watermark telemetry.Micros
		stale     []telemetry.Micros
		want      []string
	}{
		"seconds":        {readings.Range{From: 0, To: 2 * h}, time.Second, 2 * h, nil, []string{"events 0s-2h0m0s"}},
		"below":          {readings.Range{From: 0, To: 2 * h}, time.Minute, 3 * h, nil, []string{"minutes 0s-2h0m0s"}},
		"above":          {readings.Range{From: 2 * h, To: 3 * h}, time.Minute, h, nil, []string{"events 2h0m0s-3h0m0s"}},
		"across":         {readings.Range{From: 1, To: 2*h + 1}, time.Minute, h, nil, []string{"events 1µs-1m0s", "minutes 1m0s-1h0m0s", "events 1h0m0s-2h0m0.000001s"}},
		"within minutes": {readings.Range{From: 1, To: m - 1}, time.Minute, h, nil, []string{"events 1µs-59.999999s"}},
		"stale": {
			readings.Range{From: m, To: 5 * h},
			time.Minute, 9 * h,
			[]telemetry.Micros{0, 2 * h, 3 * h},
			[]string{"events 1m0s-1h0m0s", "minutes 1h0m0s-2h0m0s", "events 2h0m0s-4h0m0s", "minutes 4h0m0s-5h0m0s"},
		},
		"stale at the watermark": {readings.Range{From: 0, To: 2 * h}, time.Minute, h + 5*m, []telemetry.Micros{h}, []string{"minutes 0s-1h0m0s", "events 1h0m0s-2h0m0s"}},
		"hours":                  {readings.Range{From: 1, To: 4*h + 1}, 24 * time.Hour, 3*h + m, nil, []string{"events 1µs-1m0s", "minutes 1m0s-1h0m0s", "hours 1h0m0s-3h0m0s", "minutes 3h0m0s-3h1m0s", "events 3h1m0s-4h0m0.000001s"}},
		"stale among hours":      {readings.Range{From: 0, To: 4*h + 5*m}, time.Hour, 9 * h, []telemetry.Micros{0, 2 * h, 4 * h}, []string{"events 0s-1h0m0s", "hours 1h0m0s-2h0m0s", "events 2h0m0s-3h0m0s", "hours 3h0m0s-4h0m0s", "events 4h0m0s-4h5m0s"}},
		"within hours":           {readings.Range{From: m, To: h - m}, time.Hour, 9 * h, nil, []string{"minutes 1m0s-59m0s"}},
		"much stale":             {readings.Range{From: h, To: 99 * h}, time.Minute, 98 * h, many, []string{"events 1h0m0s-39h0m0s", "minutes 39h0m0s-98h0m0s", "events 98h0m0s-99h0m0s"}},
	} {
		if diff := cmp.Diff(c.want, text(pieces(c.r, c.width, c.watermark, floorTo(c.watermark, h), c.stale))); diff != "" {
			t.Errorf("%s: pieces differ (-want +got):\n%s", name, diff)
		}
	}
}
