package timescale

import (
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

// eventSource makes random events. Values are whole numbers, so that sums do not depend
// on their order.
type eventSource struct {
	r       *rand.Rand
	now     telemetry.Micros
	written []telemetry.Event
}

// batch returns n events of four series, up to age old. A quarter of them repeat an
// earlier one, half of those with another value.
func (s *eventSource) batch(n int, age time.Duration) *telemetry.Batch {
	b := batchOf("g")
	for range n {
		at := s.now - telemetry.Micros(s.r.Int64N(age.Microseconds()))
		e := reading(fmt.Sprint("d", s.r.IntN(2)), fmt.Sprint("m", s.r.IntN(2)), at, math.Round(s.r.NormFloat64()*100))
		e.Quality = telemetry.Quality(s.r.IntN(3))
		if len(s.written) > 0 && s.r.IntN(4) == 0 {
			e = s.written[s.r.IntN(len(s.written))]
			e.Value += float64(s.r.IntN(2))
		}
		b.Append(e)
		s.written = append(s.written, e)
	}
	return b
}

// compareWithEvents queries n random ranges, up to age old, of random series in buckets,
// and compares them with buckets made of single readings.
func (s *eventSource) compareWithEvents(t *testing.T, pool *Pool, n int, age time.Duration, widths ...time.Duration) {
	t.Helper()
	for range n {
		series := seriesOf(fmt.Sprint("d", s.r.IntN(2)), fmt.Sprint("m", s.r.IntN(2)))
		if !slices.ContainsFunc(s.written, func(e telemetry.Event) bool { return e.Device == series.Device && e.Metric == series.Metric }) {
			continue
		}
		span := func() telemetry.Micros { return telemetry.Micros(s.r.Int64N(age.Microseconds())) }
		from := s.now - span()
		compareBuckets(t, pool, series, readings.BucketQuery{
			Range: readings.Range{From: from, To: from + span() + 1}, Width: widths[s.r.IntN(len(widths))],
			Qualities: everyQuality[s.r.IntN(2) : 2+s.r.IntN(2)], Aggregates: readings.Aggregates(),
		})
	}
}

// compareBuckets compares Buckets with buckets made of what Points returns.
func compareBuckets(t *testing.T, pool *Pool, s readings.Series, q readings.BucketQuery) {
	t.Helper()
	got, err := pool.Buckets(t.Context(), s, q)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(bucketsOfEvents(t, pool, s, q), got); diff != "" {
		t.Fatalf("%+v %+v: buckets differ (-events +got):\n%s", s, q, diff)
	}
}

// bucketsOfEvents makes buckets of what Points returns.
func bucketsOfEvents(t *testing.T, pool *Pool, s readings.Series, q readings.BucketQuery) readings.Buckets {
	t.Helper()
	points, err := pool.Points(t.Context(), s, readings.PointQuery{Range: q.Range, Qualities: q.Qualities, Limit: 1_000_000})
	if err != nil {
		t.Fatal(err)
	}
	out := readings.Buckets{Columns: make([][]float64, 7)}
	width := telemetry.Micros(q.Width.Microseconds())
	for start := 0; start < len(points.Times); {
		bucket := floorTo(points.Times[start], width)
		end := start
		for end < len(points.Times) && floorTo(points.Times[end], width) == bucket {
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

// rollupOfEvents is the definition of the tables of minutes and hours, by events alone.
func rollupOfEvents(width, watermark string) string {
	return `SELECT device_id, metric_id, date_bin('1 ` + width + `', time, 'epoch') AS at, quality, count(*)::int AS count,
			sum(value) AS sum, min(value) AS min, max(value) AS max,
			min(time) AS first_at, (array_agg(value ORDER BY time))[1] AS first,
			max(time) AS last_at, (array_agg(value ORDER BY time DESC))[1] AS last
		FROM event, rollup_watermark WHERE time < ` + watermark + ` GROUP BY 1, 2, 3, 4`
}

// wantRolledUp compares both tables with their definition, and returns the number of rows
// of event_hour.
func wantRolledUp(t *testing.T, pool *Pool) int {
	t.Helper()
	for width, watermark := range map[string]string{"minute": "watermark", "hour": "hour_watermark"} {
		table := "event_" + width
		got := "SELECT device_id, metric_id, " + width + " AS at, quality, count, sum, min, max, first_at, first, last_at, last " +
			"FROM " + table
		if n := query[int](t, pool, `WITH want AS (`+rollupOfEvents(width, watermark)+`), got AS (`+got+`)
			SELECT count(*) FROM ((SELECT * FROM want EXCEPT SELECT * FROM got)
				UNION ALL (SELECT * FROM got EXCEPT SELECT * FROM want)) AS d`); n != 0 {
			t.Errorf("%d rows of %s differ from their events", n, table)
		}
	}
	const backlog = "SELECT (date_bin('1 hour', watermark, 'epoch') - hour_watermark)::text FROM rollup_watermark"
	if got := query[string](t, pool, backlog); got != "00:00:00" {
		t.Errorf("the hours are %s behind the minutes, want 00:00:00", got)
	}
	return query[int](t, pool, "SELECT count(*) FROM event_hour")
}

// TestBucketsOfMinutesAreThoseOfEvents writes events out of order, twice and late, with
// refreshes in between, and compares buckets of random ranges with buckets of events.
func TestBucketsOfMinutesAreThoseOfEvents(t *testing.T) {
	for _, flavour := range flavours {
		t.Run(string(flavour), func(t *testing.T) {
			t.Parallel()
			pool := migrated(t, flavour)
			s := &eventSource{r: rand.New(rand.NewPCG(1, 2)), now: telemetry.MicrosOf(time.Now())}
			var widths []time.Duration
			for _, r := range readings.Resolutions()[1:6] {
				widths = append(widths, r.Width)
			}
			compare := func() {
				t.Helper()
				s.compareWithEvents(t, pool, 6, 5*time.Hour, widths...)
			}
			for round := range 12 {
				w := NewWriter(pool, WriterConfig{}) // with an empty cache
				for range 3 {
					if _, err := w.Write(t.Context(), []*telemetry.Batch{s.batch(1+s.r.IntN(300), 4*time.Hour)}); err != nil {
						t.Fatal(err)
					}
				}
				compare()
				if round%3 != 1 {
					continue
				}
				refresh(t, pool)
				compare()
				if n := query[int](t, pool, "SELECT count(*) FROM rollup_stale"); n != 0 {
					t.Errorf("%d hours are stale after a refresh, want 0", n)
				}
			}
			refresh(t, pool)
			wantRolledUp(t, pool)
			if n := query[int](t, pool, "SELECT count(*) FROM event_minute"); n < 500 {
				t.Errorf("got %d minutes, want at least 500", n)
			}
		})
	}
}

// TestRollupIsRead deletes the events: buckets before the watermark come from minutes,
// but those of stale hours do not.
func TestRollupIsRead(t *testing.T) {
	pool := migrated(t, FlavourDetect)
	w := NewWriter(pool, WriterConfig{})
	at := floorTo(telemetry.MicrosOf(time.Now()), hourMicros) - 3*hourMicros
	write(t, w, Outcome{Stored: 2}, batchOf("g", reading("d", "m", at, 1), reading("d", "m", at+hourMicros, 2)))
	refresh(t, pool)
	write(t, w, Outcome{Stored: 1}, batchOf("g", reading("d", "m", at+hourMicros+1, 3)))
	execute(t, pool, "DELETE FROM event")
	q := readings.BucketQuery{
		Range: readings.Range{From: at, To: at + 3*hourMicros}, Width: time.Hour, Qualities: everyQuality,
		Aggregates: []readings.Aggregate{readings.Count},
	}
	got, err := pool.Buckets(t.Context(), seriesOf("d", "m"), q)
	if diff := cmp.Diff(readings.Buckets{Times: []telemetry.Micros{at}, Columns: [][]float64{{1}}}, got); err != nil || diff != "" {
		t.Errorf("%v, buckets differ (-want +got):\n%s", err, diff)
	}
}

// TestRollupOfHugeValues: values whose sum overflows do not make the roll-up fail.
func TestRollupOfHugeValues(t *testing.T) {
	pool := migrated(t, FlavourDetect)
	w := NewWriter(pool, WriterConfig{})
	at := floorTo(telemetry.MicrosOf(time.Now()), hourMicros) - 3*hourMicros
	write(t, w, Outcome{Stored: 3}, batchOf("g", reading("d", "m", at, math.MaxFloat64), reading("d", "m", at+1, math.MaxFloat64),
		reading("d", "n", at, -math.MaxFloat64)))
	refresh(t, pool)
	q := readings.BucketQuery{
		Range: readings.Range{From: at, To: at + hourMicros}, Width: time.Hour, Qualities: everyQuality,
		Aggregates: []readings.Aggregate{readings.Max, readings.Sum},
	}
	got, err := pool.Buckets(t.Context(), seriesOf("d", "m"), q)
	if err != nil || got.Columns[0][0] != math.MaxFloat64 || got.Columns[1][0] != 2e290 {
		t.Errorf("got %+v, %v; want the greatest value, and a sum of 2e290", got, err)
	}
}

// TestSlowWriteMarksItsHours: a write during which the watermark may have passed its
// events marks their hours as stale before it is acknowledged.
func TestSlowWriteMarksItsHours(t *testing.T) {
	pool := migrated(t, FlavourDetect)
	start, calls := time.Now(), 0
	pool.config.Now = func() time.Time {
		calls++
		return start.Add(time.Duration(calls) * slowWrite)
	}
	write(t, NewWriter(pool, WriterConfig{}), Outcome{Stored: 1},
		batchOf("g", reading("d", "m", telemetry.MicrosOf(start.Add(time.Minute*10)), 1)))
	if n := query[int](t, pool, "SELECT count(*) FROM rollup_stale"); n != 1 {
		t.Errorf("got %d stale hours, want 1", n)
	}
}

// TestConcurrentRefresh: of two concurrent refreshes one does the work.
func TestConcurrentRefresh(t *testing.T) {
	pool := migrated(t, FlavourDetect)
	tx, err := pool.pgx.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(t.Context()) }()
	if _, err := tx.Exec(t.Context(), "SELECT pg_advisory_xact_lock($1)", int64(rollupLock)); err != nil {
		t.Fatal(err)
	}
	if done, err := pool.RefreshRollup(t.Context()); err != nil || !done.Incomplete {
		t.Errorf("got %+v, %v; want it to be incomplete", done, err)
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
		"seconds": {readings.Range{From: 0, To: 2 * h}, time.Second, 2 * h, nil, []string{"events 0s-2h0m0s"}},
		"below":   {readings.Range{From: 0, To: 2 * h}, time.Minute, 3 * h, nil, []string{"minutes 0s-2h0m0s"}},
		"above":   {readings.Range{From: 2 * h, To: 3 * h}, time.Minute, h, nil, []string{"events 2h0m0s-3h0m0s"}},
		"across": {
			readings.Range{From: 1, To: 2*h + 1},
			time.Minute, h, nil,
			[]string{"events 1µs-1m0s", "minutes 1m0s-1h0m0s", "events 1h0m0s-2h0m0.000001s"},
		},
		"within minutes": {readings.Range{From: 1, To: m - 1}, time.Minute, h, nil, []string{"events 1µs-59.999999s"}},
		"stale": {
			readings.Range{From: m, To: 5 * h},
			time.Minute, 9 * h,
			[]telemetry.Micros{0, 2 * h, 3 * h},
			[]string{"events 1m0s-1h0m0s", "minutes 1h0m0s-2h0m0s", "events 2h0m0s-4h0m0s", "minutes 4h0m0s-5h0m0s"},
		},
		"stale at the watermark": {
			readings.Range{From: 0, To: 2 * h},
			time.Minute, h + 5*m,
			[]telemetry.Micros{h},
			[]string{"minutes 0s-1h0m0s", "events 1h0m0s-2h0m0s"},
		},
		"hours": {readings.Range{From: 1, To: 4*h + 1}, 24 * time.Hour, 3*h + m, nil, []string{
			"events 1µs-1m0s",
			"minutes 1m0s-1h0m0s", "hours 1h0m0s-3h0m0s", "minutes 3h0m0s-3h1m0s", "events 3h1m0s-4h0m0.000001s",
		}},
		"stale among hours": {
			readings.Range{From: 0, To: 4*h + 5*m},
			time.Hour, 9 * h,
			[]telemetry.Micros{0, 2 * h, 4 * h},
			[]string{"events 0s-1h0m0s", "hours 1h0m0s-2h0m0s", "events 2h0m0s-3h0m0s", "hours 3h0m0s-4h0m0s", "events 4h0m0s-4h5m0s"},
		},
		"within hours": {readings.Range{From: m, To: h - m}, time.Hour, 9 * h, nil, []string{"minutes 1m0s-59m0s"}},
		"much stale": {
			readings.Range{From: h, To: 99 * h},
			time.Minute, 98 * h, many,
			[]string{"events 1h0m0s-39h0m0s", "minutes 39h0m0s-98h0m0s", "events 98h0m0s-99h0m0s"},
		},
	} {
		if diff := cmp.Diff(c.want, text(pieces(c.r, c.width, c.watermark, floorTo(c.watermark, h), c.stale))); diff != "" {
			t.Errorf("%s: pieces differ (-want +got):\n%s", name, diff)
		}
	}
}
