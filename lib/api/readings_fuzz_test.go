package api

import (
	"math"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/insighthub/insighthub/lib/readings"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// FuzzReadingsQuery checks that every query is within all bounds, or rejected with a text
// for the caller.
func FuzzReadingsQuery(f *testing.F) {
	for _, query := range []string{
		"",
		"&from=2026-01-01T00:00:00Z&to=2026-01-02T00:00:00%2B02:00&resolution=1m&aggregates=min,last",
		"&from=0&to=7258118400000000&resolution=1d",
		"&from=9223372036854775807",
		"&cursor=" + cursor("readings\x01s\x01g\x01d\x01m", "5 9"),
		"&cursor=AAAA&quality=all&limit=50000",
	} {
		f.Add("gateway=g&device=d&metric=m" + query)
	}
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, query string) {
		values, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		q, err := parseReadings(values, "s", now)
		if err != nil {
			if _, ok := err.(*rejection); !ok { //nolint:errorlint // never wrapped here
				t.Fatalf("%q: got %v, want a rejection", query, err)
			}
			return
		}
		if q.span.From < 0 || q.span.From >= q.span.To || q.span.To > maxTime {
			t.Fatalf("%q: got range %+v, want one from 1970 to 2200", query, q.span)
		}
		if q.limit < 1 || q.limit > maxPoints || q.series.Site != "s" || len(q.qualities) == 0 || len(q.aggregates) == 0 {
			t.Fatalf("%q: %+v", query, q)
		}
		if q.resolution.Width > 0 && q.resolution.Buckets(q.span) > maxBuckets {
			t.Fatalf("%q: %d buckets", query, q.resolution.Buckets(q.span))
		}
		for _, name := range []string{string(q.series.Gateway), string(q.series.Device), string(q.series.Metric)} {
			if err := telemetry.ValidName(name); err != nil {
				t.Fatalf("%q: got name %q, want a valid one: %v", query, name, err)
			}
		}
		// A cursor of this query selects its range.
		text := cursor(q.list, strconv.FormatInt(int64(q.span.From), 10)+" "+strconv.FormatInt(int64(q.span.To), 10))
		next := readingsQuery{series: q.series, auto: true}
		if err := next.readCursor(text); err != nil || next.span != q.span {
			t.Fatalf("cursor %s: got %+v, %v, want %+v", text, next.span, err, q.span)
		}
	})
}

func FuzzCursor(f *testing.F) {
	valid := cursor("latest", "a\x02b")
	for _, text := range []string{"", "AAAA", valid, valid[1:], strings.Repeat("A", 2000), "'; DROP TABLE event"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		last, err := readCursor(text, "latest")
		if err != nil {
			return
		}
		if cursor("latest", last) != text {
			t.Fatalf("%q and %q are the same cursor", text, cursor("latest", last))
		}
		if s, err := splitSeries(last); err == nil && joinSeries(readings.Latest{Device: s.Device, Metric: s.Metric}) != last {
			t.Fatalf("%q was split into %+v", last, s)
		}
	})
}

func TestAppendNumber(t *testing.T) {
	for v, want := range map[float64]string{
		0.1: "0.1", -0.5: "-0.5", 60: "60", -999_999: "-999999", 1_000_000: "1e+06", 1e21: "1e+21",
		math.MaxFloat64: "1.7976931348623157e+308", 0: "0", math.Copysign(0, -1): "-0", math.Inf(1): "null",
	} {
		if got := string(appendNumber(nil, v)); got != want {
			t.Errorf("%v: got %s, want %s", v, got, want)
		}
	}
	if got := string(appendNumber(nil, math.NaN())); got != "null" {
		t.Errorf("NaN: got %s", got)
	}
}

func BenchmarkRespondBuckets(b *testing.B) {
	buckets := readings.Buckets{Columns: make([][]float64, 4)}
	q := readingsQuery{
		resolution: readings.Resolutions()[2],
		aggregates: []readings.Aggregate{readings.Min, readings.Max, readings.Mean, readings.Count},
	}
	for i := range 1440 {
		buckets.Times = append(buckets.Times, telemetry.Micros(i)*60_000_000)
		for c := range buckets.Columns {
			buckets.Columns[c] = append(buckets.Columns[c], math.Sin(float64(i)))
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		out := appendTimes(columnsHead(q, "Cel"), buckets.Times)
		for i, a := range q.aggregates {
			out = appendColumn(out, string(a), buckets.Columns[i])
		}
	}
}
