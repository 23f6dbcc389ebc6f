package timescale

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/insighthub/insighthub/lib/readings"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// TestLatestIsByEventTime: the latest reading is the one with the latest event time,
// not the one that was written last, wherever the two are relative to the watermark.
func TestLatestIsByEventTime(t *testing.T) {
	now := telemetry.MicrosOf(time.Now())
	hour := floorTo(now, hourMicros) - 5*hourMicros // all of it is before the watermark
	cases := []struct {
		device        telemetry.DeviceName // in the order of names
		latest, older telemetry.Micros
	}{
		{"both after the watermark", now, now - 1000},
		{"latest after, older long before", now, hour},
		{"older in an earlier day", hour, hour - 30*24*hourMicros},
		{"older in an earlier hour", hour, hour - 3*hourMicros},
		{"same hour", hour + 50*minuteMicros, hour},
		{"same minute", hour + 50_000_000, hour + 10_000_000},
	}
	for _, flavour := range flavours {
		t.Run(string(flavour), func(t *testing.T) {
			t.Parallel()
			pool := migrated(t, flavour)
			w := NewWriter(pool, WriterConfig{})
			var want []readings.Latest
			compare := func(when string) {
				t.Helper()
				got, err := pool.Latest(t.Context(), readings.LatestQuery{Site: "plant-1", Gateway: "g", Limit: 10})
				if diff := cmp.Diff(want, got); err != nil || diff != "" {
					t.Errorf("%s: %v, latest readings differ (-want +got):\n%s", when, err, diff)
				}
			}
			b := batchOf("g")
			for _, c := range cases {
				// Another quality than the older one: event_minute has a row for each.
				b.Append(telemetry.Event{Device: c.device, Metric: "m", Time: c.latest, Value: 1, Quality: telemetry.Bad})
				want = append(want, readings.Latest{Device: c.device, Metric: "m", Time: c.latest, Value: 1, Quality: telemetry.Bad})
			}
			write(t, w, Outcome{Stored: len(cases)}, b)
			compare("after the first write")
			for round := range telemetry.Micros(2) {
				b := batchOf("g")
				for _, c := range cases {
					b.Append(reading(string(c.device), "m", c.older+round, 2))
				}
				write(t, w, Outcome{Stored: len(cases)}, b)
				compare("after an older event")
				refresh(t, pool)
				compare("after a refresh")
			}
			b = batchOf("g")
			for i, c := range cases {
				b.Append(reading(string(c.device), "m", c.latest+1, 3))
				want[i].Time, want[i].Value, want[i].Quality = c.latest+1, 3, telemetry.Good
			}
			write(t, w, Outcome{Stored: len(cases)}, b)
			compare("after a later event")
		})
	}
}

// TestLatestIsNotInTheFuture has readings whose time has not come: each is shown when it
// has, and a page is full although some of its series have no other readings.
func TestLatestIsNotInTheFuture(t *testing.T) {
	t.Parallel()
	pool := migrated(t, FlavourPlain)
	now := time.Now()
	at := func(seconds int) telemetry.Micros {
		return telemetry.MicrosOf(now.Add(time.Duration(seconds) * time.Second))
	}
	b := batchOf("g")
	for _, e := range []struct {
		device  string
		seconds int
	}{
		{"a", -2}, {"a", 240}, {"b", 240}, {"c", 240}, {"c", 120}, {"d", -7200}, {"d", 240}, {"e", -1}, {"f", 0}, {"f", 1},
	} {
		b.Append(reading(e.device, "m", at(e.seconds), float64(e.seconds)))
	}
	write(t, NewWriter(pool, WriterConfig{}), Outcome{Stored: b.Len()}, b)
	refresh(t, pool)
	for _, c := range []struct {
		until time.Time
		want  string
	}{
		{time.Time{}, "a-2 d-7200 e-1 f0"}, // the database's clock: not a second later
		{now, "a-2 d-7200 e-1 f0"},
		{now.Add(time.Second - time.Microsecond), "a-2 d-7200 e-1 f0"},
		{now.Add(time.Second), "a-2 d-7200 e-1 f1"},
		{now.Add(239 * time.Second), "a-2 c120 d-7200 e-1 f1"},
		{now.Add(240 * time.Second), "a240 b240 c240 d240 e-1 f1"},
		{now.Add(-time.Hour), "d-7200"},
		{now.Add(-3 * time.Hour), ""},
	} {
		if c.until.IsZero() && time.Since(now) > 900*time.Millisecond {
			continue // the machine is slow, and the next reading is due
		}
		for limit := 1; limit <= 7; limit++ {
			var got []string
			q := readings.LatestQuery{Site: "plant-1", Gateway: "g", Limit: limit, Until: c.until}
			for {
				page, err := pool.Latest(t.Context(), q)
				if err != nil {
					t.Fatal(err)
				}
				for _, l := range page {
					got = append(got, fmt.Sprint(l.Device, l.Value))
				}
				if len(page) < limit {
					break
				}
				q.After = readings.Series{Device: page[limit-1].Device, Metric: page[limit-1].Metric}
			}
			if c.until.IsZero() && time.Since(now) > 900*time.Millisecond {
				continue
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("until %v, pages of %d: got %v, want %s", c.until.Sub(now), limit, got, c.want)
			}
		}
	}
}
