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
			t.Errorf("%+v: got error %v, want valid %v", r, err, ok)
		}
	}
}

// writeOldEvents writes a reading each 20 days for 400 days, at noon, and returns today.
func writeOldEvents(t *testing.T, w *Writer) (today telemetry.Micros) {
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
	if err != nil || done.Incomplete {
		t.Fatalf("got %+v, %v; want it complete", done, err)
	}
	return done
}

func applied(t *testing.T, pool *Pool, r Retention) Retained {
	t.Helper()
	done, err := pool.ApplyRetention(t.Context(), r)
	if err != nil || done.Incomplete {
		t.Fatalf("got %+v, %v; want it complete", done, err)
	}
	return done
}

// counts returns the numbers of rows of event, event_minute and event_hour.
func counts(t *testing.T, pool *Pool) [3]int {
	t.Helper()
	var n [3]int
	for i, table := range []string{"event", "event_minute", "event_hour"} {
		n[i] = query[int](t, pool, "SELECT count(*) FROM "+table)
	}
	return n
}

// TestRetention: events, minutes and hours past their retention are dropped, and no event
// before it is rolled up.
func TestRetention(t *testing.T) {
	for _, flavour := range flavours {
		t.Run(string(flavour), func(t *testing.T) {
			t.Parallel()
			pool := migrated(t, flavour)
			w := NewWriter(pool, WriterConfig{})
			today := writeOldEvents(t, w)
			// All hours are stale: the start may only move to the day of the oldest.
			oldest := (today - 401*dayMicros).Time()
			if done := applied(t, pool, Retention{EventDays: 90, MinuteDays: 200}); !done.EventsSince.Equal(oldest) ||
				!done.MinutesSince.Equal(done.EventsSince) || done.Dropped != 0 {
				t.Errorf("before the roll-up: got %+v, want both since %v and nothing dropped", done, oldest)
			}
			refresh(t, pool)
			if got := counts(t, pool); got != [3]int{21, 21, 21} {
				t.Fatalf("got %v rows, want 21 in each table", got)
			}
			done := applied(t, pool, Retention{EventDays: 90, MinuteDays: 200})
			if !done.EventsSince.Equal((today - 90*dayMicros).Time()) || !done.MinutesSince.Equal((today - 200*dayMicros).Time()) ||
				done.Dropped == 0 {
				t.Errorf("got %+v, want the retention applied", done)
			}
			// A chunk of minutes spans 30 days: it stays until all of it is due.
			got, most := counts(t, pool), 10
			if flavour == FlavourTimescale {
				most = 12
			}
			if got[0] != 5 || got[1] < 10 || got[1] > most || got[2] != 21 {
				t.Errorf("got %v rows, want 5, 10 to %d, 21", got, most)
			}
			if again := applied(t, pool, Retention{EventDays: 90, MinuteDays: 200}); again.Dropped != 0 {
				t.Errorf("got %d dropped the second time, want 0", again.Dropped)
			}
			if done := applied(t, pool, Retention{
				EventDays: 90, MinuteDays: 200,
				HourDays: 300,
			}); !done.HoursSince.Equal((today - 300*dayMicros).Time()) {
				t.Errorf("got %+v, want the retention applied", done)
			}
			// A longer retention does not move the start back.
			if again := applied(t, pool, Retention{EventDays: 390, MinuteDays: 395}); !again.EventsSince.Equal(done.EventsSince) ||
				!again.MinutesSince.Equal(done.MinutesSince) {
				t.Errorf("got %+v, want the start unchanged since %+v", again, done)
			}
		})
	}
}

// TestLateEventAfterRetention: a late event of a day whose events are dropped does not
// replace the minutes and hours of that day, and the next run drops it.
func TestLateEventAfterRetention(t *testing.T) {
	for _, flavour := range flavours {
		t.Run(string(flavour), func(t *testing.T) {
			t.Parallel()
			pool := migrated(t, flavour)
			w := NewWriter(pool, WriterConfig{})
			today := writeOldEvents(t, w)
			refresh(t, pool)
			r := Retention{EventDays: 90, MinuteDays: 3653}
			applied(t, pool, r)
			before := query[string](t, pool, "SELECT string_agg(m::text, ';' ORDER BY minute) FROM event_minute AS m")
			at := today - 101*dayMicros + dayMicros/2 // in the minute of a dropped event
			write(t, w, Outcome{Stored: 1}, batchOf("g", reading("d", "m", at+1, 1000)))
			q := readings.BucketQuery{
				Range: readings.Range{From: today - 110*dayMicros, To: today - 95*dayMicros}, Width: time.Hour,
				Qualities: everyQuality, Aggregates: []readings.Aggregate{readings.Max, readings.Count},
			}
			want := readings.Buckets{Times: []telemetry.Micros{at}, Columns: [][]float64{{5}, {1}}}
			for range 2 { // marked as stale, and no longer
				got, err := pool.Buckets(t.Context(), seriesOf("d", "m"), q)
				if diff := cmp.Diff(want, got); err != nil || diff != "" {
					t.Errorf("%v, hours differ (-want +got):\n%s", err, diff)
				}
				if done := refresh(t, pool); done.Hours != 0 || done.Expired > 1 {
					t.Errorf("got %+v, want the late hour to be expired and nothing rebuilt", done)
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

// TestPointsOfDroppedEvents: a query of all single readings of a range reports the width
// of the buckets that remain of its start.
func TestPointsOfDroppedEvents(t *testing.T) {
	pool := migrated(t, FlavourDetect)
	today := writeOldEvents(t, NewWriter(pool, WriterConfig{}))
	refresh(t, pool)
	applied(t, pool, Retention{EventDays: 90, MinuteDays: 200})
	for days, want := range map[telemetry.Micros]struct {
		width  time.Duration
		points int
	}{1: {0, 1}, 85: {0, 5}, 110: {time.Minute, 0}, 150: {time.Minute, 0}, 195: {time.Minute, 0}, 201: {time.Hour, 0}, 222: {
		time.Hour,
		0,
	}, 5000: {time.Hour, 0}} {
		points, err := pool.Points(t.Context(), seriesOf("d", "m"), readings.PointQuery{
			Range: readings.Range{From: today - days*dayMicros, To: today}, Qualities: everyQuality, Limit: 100, Whole: true,
		})
		if err != nil || points.StoredWidth != want.width || len(points.Times) != want.points || points.More != (want.width > 0) {
			t.Errorf("%d days: %+v, %v; want %+v", days, points, err, want)
		}
	}
	// A range that begins before the series does is complete.
	w := NewWriter(pool, WriterConfig{})
	write(t, w, Outcome{Stored: 1}, batchOf("g", reading("young", "m", today-dayMicros, 1)))
	refresh(t, pool)
	points, err := pool.Points(t.Context(), seriesOf("young", "m"),
		readings.PointQuery{Range: readings.Range{To: today}, Qualities: everyQuality, Limit: 10, Whole: true})
	if err != nil || points.StoredWidth != 0 || len(points.Times) != 1 {
		t.Errorf("got %+v, %v; want one point and no stored width", points, err)
	}
}
