package timescale

import (
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
