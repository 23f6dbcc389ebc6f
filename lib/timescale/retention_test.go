package timescale

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/insighthub/insighthub/lib/readings"
	"github.com/insighthub/insighthub/lib/telemetry"
)

const dayMicros = 24 * hourMicros

func TestRetentionValidate(t *testing.T) {
	for r, ok := range map[Retention]bool{
		{}:                               true,
		{EventDays: 90}:                  true,
		{EventDays: 90, MinuteDays: 90}:  true,
		{EventDays: 90, MinuteDays: 730}: true,
		{90, 730, 3653}:                  true,
		{EventDays: 90, MinuteDays: 30}:  false,
		{MinuteDays: 30}:                 false,
		{EventDays: 90, HourDays: 3653}:  false,
		{EventDays: -1}:                  false,
		{90, 730, 700}:                   false,
		{EventDays: 1, MinuteDays: 1, HourDays: -1}: false,
	} {
		if err := r.Validate(); (err == nil) != ok || (err != nil && !errors.Is(err, telemetry.ErrInvalid)) {
			t.Errorf("%+v: %v", r, err)
		}
	}
}

// old is how the retention's tests begin: a reading each 20 days for 400 days, at noon.
func old(t *testing.T, w *Writer) (today telemetry.Micros) {
	t.Helper()
	today = floorTo(telemetry.MicrosOf(time.Now()), dayMicros)
	b := batchOf("g")
	for i := range telemetry.Micros(21) {
		b.Append(reading("d", "m", today-20*i*dayMicros+dayMicros/2-dayMicros, float64(i)))
	}
	write(t, w, Outcome{Stored: 21}, b)
	return today
}

func refresh(t *testing.T, pool *Pool) Rollup {
	t.Helper()
	done, err := pool.RefreshRollup(t.Context())
	if err != nil || done.Behind {
		t.Fatalf("%+v, %v", done, err)
	}
	return done
}

func applied(t *testing.T, pool *Pool, r Retention) Retained {
	t.Helper()
	done, err := pool.ApplyRetention(t.Context(), r)
	if err != nil || done.Behind {
		t.Fatalf("%+v, %v", done, err)
	}
	return done
}

// counts is how many rows the three tables have.
func counts(t *testing.T, pool *Pool) [3]int {
	t.Helper()
	return [3]int{
		query[int](t, pool, "SELECT count(*) FROM event"), query[int](t, pool, "SELECT count(*) FROM event_minute"), query[int](t, pool, "SELECT count(*) FROM event_hour"),
	}
}

// TestRetention: events, minutes and hours go when they are due, and no event before its
// minutes and hours are made.
func TestRetention(t *testing.T) {
	for _, flavour := range flavours {
		t.Run(string(flavour), func(t *testing.T) {
			t.Parallel()
			pool := migrated(t, flavour)
			w := NewWriter(pool, WriterConfig{})
			today := old(t, w)
			// Stale, all of it: nothing may go but what precedes the oldest.
			if done := applied(t, pool, Retention{EventDays: 90, MinuteDays: 200}); !done.EventsSince.Equal((today - 401*dayMicros).Time()) || !done.MinutesSince.Equal(done.EventsSince) || done.Dropped != 0 {
				t.Errorf("before the roll-up: %+v", done)
			}
			refresh(t, pool)
			if got := counts(t, pool); got != [3]int{21, 21, 21} {
				t.Fatalf("%v rows", got)
			}
			done := applied(t, pool, Retention{EventDays: 90, MinuteDays: 200})
			if !done.EventsSince.Equal((today - 90*dayMicros).Time()) || !done.MinutesSince.Equal((today - 200*dayMicros).Time()) || done.Dropped == 0 {
				t.Errorf("retained %+v", done)
			}
			// Chunks of minutes are of 30 days: some of what is due stays.
			got, most := counts(t, pool), 10
			if flavour == FlavourTimescale {
				most = 12
			}
			if got[0] != 5 || got[1] < 10 || got[1] > most || got[2] != 21 {
				t.Errorf("%v rows, want 5, 10 to %d, 21", got, most)
			}
			if again := applied(t, pool, Retention{EventDays: 90, MinuteDays: 200}); again.Dropped != 0 {
				t.Errorf("dropped %d the second time", again.Dropped)
			}
			if done := applied(t, pool, Retention{EventDays: 90, MinuteDays: 200, HourDays: 300}); !done.HoursSince.Equal((today - 300*dayMicros).Time()) {
				t.Errorf("retained %+v", done)
			}
			// A longer retention does not bring back what went.
			if again := applied(t, pool, Retention{EventDays: 390, MinuteDays: 395}); !again.EventsSince.Equal(done.EventsSince) || !again.MinutesSince.Equal(done.MinutesSince) {
				t.Errorf("retained %+v", again)
			}
		})
	}
}

// TestStragglerLeavesOldMinutes: an event for a day whose events are gone does not
// replace the minutes and hours that were made of them, and goes with the next run.
func TestStragglerLeavesOldMinutes(t *testing.T) {
	for _, flavour := range flavours {
		t.Run(string(flavour), func(t *testing.T) {
			t.Parallel()
			pool := migrated(t, flavour)
			w := NewWriter(pool, WriterConfig{})
			today := old(t, w)
			refresh(t, pool)
			r := Retention{EventDays: 90, MinuteDays: 3653}
			applied(t, pool, r)
			before := query[string](t, pool, "SELECT string_agg(m::text, ';' ORDER BY minute) FROM event_minute AS m")
			at := today - 101*dayMicros + dayMicros/2 // of the same minute as one that is gone
			write(t, w, Outcome{Stored: 1}, batchOf("g", reading("d", "m", at+1, 1000)))
			q := readings.BucketQuery{Range: readings.Range{From: today - 110*dayMicros, To: today - 95*dayMicros}, Width: time.Hour, Qualities: everyQuality, Aggregates: []readings.Aggregate{readings.Max, readings.Count}}
			want := readings.Buckets{Times: []telemetry.Micros{at}, Columns: [][]float64{{5}, {1}}}
			for range 2 { // marked as stale, and not any more
				got, err := pool.Buckets(t.Context(), seriesOf("d", "m"), q)
				if diff := cmp.Diff(want, got); err != nil || diff != "" {
					t.Errorf("%v, hours differ (-want +got):\n%s", err, diff)
				}
				if done := refresh(t, pool); done.Hours != 0 || done.Lapsed > 1 {
					t.Errorf("%+v", done)
				}
			}
			if after := query[string](t, pool, "SELECT string_agg(m::text, ';' ORDER BY minute) FROM event_minute AS m"); after != before {
				t.Errorf("minutes changed:\n%s\n%s", before, after)
			}
			applied(t, pool, r)
			if n := query[int](t, pool, "SELECT count(*) FROM event"); n != 5 {
				t.Errorf("%d events, want 5", n)
			}
		})
	}
}

// TestPointsThatAreKept: whoever asks for all single readings of a range learns what is
// left of its beginning.
func TestPointsThatAreKept(t *testing.T) {
	pool := migrated(t, FlavourDetect)
	today := old(t, NewWriter(pool, WriterConfig{}))
	refresh(t, pool)
	applied(t, pool, Retention{EventDays: 90, MinuteDays: 200})
	for days, want := range map[telemetry.Micros]struct {
		kept   time.Duration
		points int
	}{1: {0, 1}, 85: {0, 5}, 110: {time.Minute, 0}, 150: {time.Minute, 0}, 195: {time.Minute, 0}, 201: {time.Hour, 0}, 222: {time.Hour, 0}, 5000: {time.Hour, 0}} {
		points, err := pool.Points(t.Context(), seriesOf("d", "m"), readings.PointQuery{
			Range: readings.Range{From: today - days*dayMicros, To: today}, Qualities: everyQuality, Limit: 100, Whole: true,
		})
		if err != nil || points.StoredWidth != want.kept || len(points.Times) != want.points || points.More != (want.kept > 0) {
			t.Errorf("%d days: %+v, %v; want %+v", days, points, err, want)
		}
	}
	// A range that begins before the series does is whole.
	w := NewWriter(pool, WriterConfig{})
	write(t, w, Outcome{Stored: 1}, batchOf("g", reading("young", "m", today-dayMicros, 1)))
	refresh(t, pool)
	points, err := pool.Points(t.Context(), seriesOf("young", "m"), readings.PointQuery{Range: readings.Range{To: today}, Qualities: everyQuality, Limit: 10, Whole: true})
	if err != nil || points.StoredWidth != 0 || len(points.Times) != 1 {
		t.Errorf("%+v, %v", points, err)
	}
}
