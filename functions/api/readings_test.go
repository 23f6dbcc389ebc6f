package main

import (
	"fmt"
	"math"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/insighthub/insighthub/lib/api/apitest"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/timescale"
)

// hour returns a time long before the roll-up's watermark.
func hour() telemetry.Micros {
	return telemetry.MicrosOf(time.Now().Add(-5 * time.Hour).Truncate(time.Hour))
}

const second telemetry.Micros = 1_000_000

func event(device, metric string, at telemetry.Micros, value float64) telemetry.Event {
	return telemetry.Event{Device: telemetry.DeviceName(device), Metric: telemetry.MetricName(metric), Time: at, Value: value}
}

// send stores events as functions/store does.
func (p *platform) send(t *testing.T, site, gateway string, events ...telemetry.Event) {
	t.Helper()
	b := &telemetry.Batch{Gateway: telemetry.GatewayID(gateway), Site: telemetry.SiteID(site), Received: telemetry.MicrosOf(time.Now())}
	for _, e := range events {
		b.Append(e)
	}
	if _, err := timescale.NewWriter(p.Owner, timescale.WriterConfig{}).Write(t.Context(), []*telemetry.Batch{b}); err != nil {
		t.Fatal(err)
	}
}

type columns struct {
	Resolution string    `json:"resolution"`
	Unit       string    `json:"unit"`
	From       int64     `json:"from"`
	To         int64     `json:"to"`
	Times      []int64   `json:"times"`
	Values     []float64 `json:"values"`
	Qualities  []int     `json:"qualities"`
	Min        []float64 `json:"min"`
	Max        []float64 `json:"max"`
	Mean       []float64 `json:"mean"`
	Sum        []float64 `json:"sum"`
	Count      []float64 `json:"count"`
	First      []float64 `json:"first"`
	Last       []float64 `json:"last"`
	Next       string    `json:"next_cursor"`
}

func readingsPath(site, gateway, device, metric string, more ...any) string {
	v := url.Values{"gateway": {gateway}, "device": {device}, "metric": {metric}}
	for i := 0; i+1 < len(more); i += 2 {
		if v.Set(fmt.Sprint(more[i]), fmt.Sprint(more[i+1])); more[i] == "cursor" && more[i+1] == "" {
			v.Del("cursor") // the first page
		}
	}
	return "/v1/sites/" + site + "/readings?" + v.Encode()
}

func TestReadings(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	at := hour()
	p.site(t, "plant-1")
	var events []telemetry.Event
	for i := range telemetry.Micros(130) {
		e := event("press/1", "temp °C", at+i*second, float64(i))
		e.Quality = telemetry.Quality(i % 3)
		events = append(events, e)
	}
	p.send(t, "plant-1", "gw-1", events...)
	viewer := apitest.Person("eve", "plant-1=viewer")
	read := func(more ...any) (c columns) {
		t.Helper()
		p.get(t, viewer, readingsPath("plant-1", "gw-1", "press/1", "temp °C", more...), &c)
		return c
	}
	span := []any{"from", at.Time().Format(time.RFC3339), "to", int64(at + 130*second)}
	for range 2 { // before and after the roll-up
		if got := read(append(span, "quality", "all")...); got.Resolution != "raw" || len(got.Times) != 130 ||
			got.Times[7] != int64(at+7*second) || got.Values[7] != 7 || got.Qualities[7] != 1 {
			t.Errorf("got %+v, want 130 single readings", got)
		}
		if got := read(span...); len(got.Times) != 87 { // without bad readings
			t.Errorf("got %d readings, want 87", len(got.Times))
		}
		if got := read(append(span, "quality", "good")...); len(got.Times) != 44 || got.Qualities != nil {
			t.Errorf("got %d good readings with qualities %v, want 44 without qualities", len(got.Times), got.Qualities)
		}
		want := columns{
			Resolution: "1m", From: int64(at), To: int64(at + 130*second),
			Times: []int64{int64(at), int64(at + 60*second), int64(at + 120*second)},
			Count: []float64{60, 60, 10}, Sum: []float64{1770, 5370, 1245}, Mean: []float64{29.5, 89.5, 124.5},
			Min: []float64{0, 60, 120}, Max: []float64{59, 119, 129}, First: []float64{0, 60, 120}, Last: []float64{59, 119, 129},
		}
		got := read(append(span, "quality", "all", "resolution", "1m", "aggregates", "min,max,mean,sum,count,first,last")...)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("minutes differ (-want +got):\n%s", diff)
		}
		if _, err := p.Owner.RefreshRollup(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	// Pages.
	var values []float64
	for next := ""; ; {
		got := read(append(span, "quality", "all", "resolution", "raw", "limit", 33, "cursor", next)...)
		values = append(values, got.Values...)
		if next = got.Next; next == "" {
			break
		}
	}
	if len(values) != 130 || values[129] != 129 {
		t.Errorf("got %d readings on all pages, want 130", len(values))
	}
	// The limit is one of single readings: more of them than that are buckets, also of auto.
	for limit, want := range map[int]string{130: "raw", 129: "1s", 1: "1s"} {
		if got := read(append(span, "quality", "all", "limit", limit)...); got.Resolution != want {
			t.Errorf("limit %d: got the resolution %s, want %s", limit, got.Resolution, want)
		}
	}
	// The default range, the last hour, is empty.
	if got := read(); got.To-got.From != int64(time.Hour/time.Microsecond) || got.Times == nil || len(got.Times) != 0 {
		t.Errorf("got %+v", got)
	}
}

func TestReadingsResolution(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	at := hour()
	p.site(t, "plant-1")
	var events []telemetry.Event
	for i := range telemetry.Micros(6000) {
		events = append(events, event("d", "m", at+i*second/2, 1))
	}
	p.send(t, "plant-1", "gw-1", events...)
	for _, c := range []struct {
		length telemetry.Micros
		want   string
		times  int
	}{
		{2000, "raw", 4000},
		{2500, "raw", 5000},
		{2501, "10s", 251},
		{2600, "10s", 260},
		{100_000, "1m", 50},
		{3_000_000, "1h", 1},
		{90_000_000, "1d", 1},
	} {
		for range 2 {
			var got columns
			span := []any{"from", int64(at), "to", int64(at + c.length*second)}
			p.get(t, apitest.Administrator(), readingsPath("plant-1", "gw-1", "d", "m", span...), &got)
			if got.Resolution != c.want || len(got.Times) != c.times {
				t.Errorf("%d s: got resolution %s and %d times, want %s and %d", c.length, got.Resolution, len(got.Times), c.want, c.times)
			}
			if _, err := p.Owner.RefreshRollup(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestReadingsPastTheirRetention checks that auto is as coarse as what is stored, and that
// a finer resolution lacks what is not stored any more.
func TestReadingsPastTheirRetention(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	const day = 86_400 * second
	today := telemetry.MicrosOf(time.Now().UTC().Truncate(24 * time.Hour))
	p.site(t, "plant-1")
	p.send(t, "plant-1", "gw-1", event("d", "m", today-300*day, 1), event("d", "m", today-120*day, 2), event("d", "m", today-day, 3))
	if _, err := p.Owner.RefreshRollup(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Owner.ApplyRetention(t.Context(), timescale.Retention{EventDays: 90, MinuteDays: 200}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		from, length  telemetry.Micros
		request, want string
		times         int
	}{
		{301, 2, "auto", "1h", 1},
		{301, 300, "auto", "1d", 2},
		{301, 301, "1h", "1h", 3},
		{121, 2, "auto", "10m", 1},
		{120, 1, "auto", "1m", 1},
		{120, 1, "raw", "raw", 0},
		{2, 2, "auto", "raw", 1},
		{80, 80, "auto", "raw", 1},
	} {
		var got columns
		span := []any{"from", int64(today - c.from*day), "to", int64(today - (c.from-c.length)*day)}
		p.get(t, apitest.Administrator(), readingsPath("plant-1", "gw-1", "d", "m", append(span, "resolution", c.request)...), &got)
		if got.Resolution != c.want || len(got.Times) != c.times {
			t.Errorf("%+v: got resolution %s and %d times", c, got.Resolution, len(got.Times))
		}
	}
}

type latest struct {
	Device, Metric, Unit, Quality string
	Time                          int64
	Value                         float64
	Age                           float64 `json:"age_seconds"`
}

func TestLatest(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	p.site(t, "plant-1")
	now, at := telemetry.MicrosOf(time.Now()), hour()
	bad := event("b", "n", at+10*second, 5)
	bad.Quality = telemetry.Bad
	p.send(t, "plant-1", "gw-1",
		event("a", "m", now-second, 2), event("a", "m", at, 9), event("b", "m", at, 3), event("b", "n", at, 4), bad)
	check := func(want ...string) {
		t.Helper()
		var got []string
		for next := ""; ; {
			var page list[latest]
			p.get(t, apitest.Person("eve", "plant-1=viewer"), "/v1/sites/plant-1/latest?gateway=gw-1&limit=2"+next, &page)
			for _, l := range page.Items {
				got = append(got, fmt.Sprint(l.Device, " ", l.Metric, " ", l.Value, " ", l.Quality))
				if want := float64(telemetry.MicrosOf(time.Now())-telemetry.Micros(l.Time)) / 1e6; l.Age > want || l.Age < want-60 {
					t.Errorf("got age %v, want about %v", l.Age, want)
				}
			}
			if page.Next == "" {
				break
			}
			next = "&cursor=" + page.Next
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("latest differ (-want +got):\n%s", diff)
		}
	}
	check("a m 2 good", "b m 3 good", "b n 5 bad")
	if _, err := p.Owner.RefreshRollup(t.Context()); err != nil {
		t.Fatal(err)
	}
	check("a m 2 good", "b m 3 good", "b n 5 bad")
	// Late events: one is newer than the latest of its series, the other is not.
	p.send(t, "plant-1", "gw-1", event("b", "m", at+3600*second, 30), event("b", "n", at+second, 6))
	check("a m 2 good", "b m 30 good", "b n 5 bad")
	if _, err := p.Owner.RefreshRollup(t.Context()); err != nil {
		t.Fatal(err)
	}
	check("a m 2 good", "b m 30 good", "b n 5 bad")
	var page list[latest]
	p.get(t, apitest.Administrator(), "/v1/sites/plant-1/latest?gateway=gw-1&device=b&metric=n", &page)
	if len(page.Items) != 1 || page.Items[0].Value != 5 {
		t.Errorf("got %+v", page)
	}
	p.get(t, apitest.Administrator(), "/v1/sites/plant-1/latest?gateway=gw-1&device=none", &page)
	if page.Items == nil || len(page.Items) != 0 {
		t.Errorf("got %+v", page)
	}
	p.Do(t, apitest.Administrator(), "GET", "/v1/sites/plant-1/latest?gateway=none", "").Want(t, 404)
}

// TestLatestIsNotInTheFuture has an accepted time four minutes ahead, in a series with an
// older reading and in one without, and a reading without a value.
func TestLatestIsNotInTheFuture(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	p.site(t, "plant-1")
	now := telemetry.MicrosOf(time.Now())
	bad := event("c", "m", now-2*second, math.NaN())
	bad.Quality = telemetry.Bad
	p.send(t, "plant-1", "gw-1", event("a", "m", now+240*second, 50), event("a", "m", now-second, 200),
		event("b", "m", now+240*second, 50), bad)
	var page list[struct {
		Device string   `json:"device"`
		Value  *float64 `json:"value"`
		Age    float64  `json:"age_seconds"`
	}]
	p.get(t, apitest.Person("eve", "plant-1=viewer"), "/v1/sites/plant-1/latest?gateway=gw-1", &page)
	if i := page.Items; len(i) != 2 || i[0].Device != "a" || i[0].Value == nil || *i[0].Value != 200 || i[0].Age < 1 ||
		i[1].Device != "c" || i[1].Value != nil {
		t.Errorf("got %+v, want 200 of a, and c without a value", i)
	}
}

// TestLatestAfterOlderEvents checks that an event that arrives in a later write, and is
// older than the latest one, does not become the latest.
func TestLatestAfterOlderEvents(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	p.site(t, "plant-1")
	now, at := telemetry.MicrosOf(time.Now()), hour()
	cases := []struct {
		device        string // in the order of the response
		latest, older telemetry.Micros
	}{
		{"after the watermark", now, now - second},
		{"earlier day", at, at - 86_400*second},
		{"same hour", at + 1800*second, at},
		{"same minute", at + 50*second, at + 10*second},
	}
	check := func(when string) {
		t.Helper()
		var page list[latest]
		p.get(t, apitest.Administrator(), "/v1/sites/plant-1/latest?gateway=gw-1", &page)
		if len(page.Items) != len(cases) {
			t.Fatalf("%s: got %d series, want %d", when, len(page.Items), len(cases))
		}
		for i, c := range cases {
			if got := page.Items[i]; got.Device != c.device || got.Time != int64(c.latest) || got.Value != 1 {
				t.Errorf("%s: got %+v, want %s with time %d and value 1", when, got, c.device, c.latest)
			}
		}
	}
	var newest, older []telemetry.Event
	for _, c := range cases {
		newest = append(newest, event(c.device, "m", c.latest, 1))
		older = append(older, event(c.device, "m", c.older, 2))
	}
	p.send(t, "plant-1", "gw-1", newest...)
	check("after the first write")
	for range 2 { // the second time, the older events are duplicates
		p.send(t, "plant-1", "gw-1", older...)
		check("after an older event")
		if _, err := p.Owner.RefreshRollup(t.Context()); err != nil {
			t.Fatal(err)
		}
		check("after the roll-up")
	}
}

// TestReadingsOfOthers checks that a role at one site gives no access to the readings of
// another, by any parameter or cursor.
func TestReadingsOfOthers(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	at := hour()
	for i, site := range []string{"plant-1", "plant-2"} {
		p.site(t, site)
		p.send(t, site, fmt.Sprint("gw-", i+1), event("d", "m", at, 1), event("d", "m", at+1, 2), event("e", "m", at, 3))
	}
	eve := apitest.Person("eve", "plant-1=admin")
	span := []any{"from", int64(at), "to", int64(at + second)}
	p.Do(t, eve, "GET", readingsPath("plant-1", "gw-1", "d", "m", span...), "").Want(t, 200)
	for _, site := range []string{"plant-2", "*", "%2A", "plant-1%2F..%2Fplant-2", "PLANT-2"} {
		p.Do(t, eve, "GET", readingsPath(site, "gw-2", "d", "m", span...), "").Want(t, 404)
		p.Do(t, eve, "GET", "/v1/sites/"+site+"/latest?gateway=gw-2", "").Want(t, 404)
	}
	for _, gateway := range []string{"gw-2", "plant-2/gw-2", "../gw-2", "gw-2' OR ''='", "%", "gw-_", "gw-1,gw-2", "{gw-2}"} {
		p.Do(t, eve, "GET", readingsPath("plant-1", gateway, "d", "m", span...), "").Want(t, 404)
		p.Do(t, eve, "GET", "/v1/sites/plant-1/latest?gateway="+url.QueryEscape(gateway), "").Want(t, 404)
	}
	p.Do(t, eve, "GET", readingsPath("plant-1", "gw-1", "d", "m", "site", "plant-2"), "").Want(t, 400)
	// Cursors of the other site.
	var points columns
	pages := append(span, "limit", 1, "resolution", "raw")
	p.get(t, apitest.Administrator(), readingsPath("plant-2", "gw-2", "d", "m", pages...), &points)
	if points.Next == "" {
		t.Fatal("no cursor")
	}
	p.Do(t, eve, "GET", readingsPath("plant-1", "gw-1", "d", "m", "cursor", points.Next), "").Want(t, 400)
	p.Do(t, eve, "GET", readingsPath("plant-1", "gw-2", "d", "m", "cursor", points.Next), "").Want(t, 400)
	var page list[latest]
	p.get(t, apitest.Administrator(), "/v1/sites/plant-2/latest?gateway=gw-2&limit=1", &page)
	p.Do(t, eve, "GET", "/v1/sites/plant-1/latest?gateway=gw-1&cursor="+page.Next, "").Want(t, 400)
	// A gateway cannot read, not even its own readings.
	p.Do(t, apitest.Gateway("gw-1", "plant-1"), "GET", readingsPath("plant-1", "gw-1", "d", "m", span...), "").Want(t, 404)
}

// TestReadingsSQL checks that SQL in names and values is not executed.
func TestReadingsSQL(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	at := hour()
	p.site(t, "plant-1")
	const name = `x'; DROP TABLE event; --"\$1`
	p.send(t, "plant-1", name, event(name, name, at, 42))
	var got columns
	p.get(t, apitest.Administrator(), readingsPath("plant-1", name, name, name, "from", int64(at), "to", int64(at+1)), &got)
	if len(got.Values) != 1 || got.Values[0] != 42 {
		t.Errorf("got %+v", got)
	}
	for _, sql := range []string{"'; DROP TABLE event; --", "1 OR 1=1", "$1", "1; SELECT pg_sleep(10)", "') OR ('1'='1", `"`} {
		for _, parameter := range []string{"from", "to", "resolution", "aggregates", "quality", "limit", "cursor"} {
			p.Do(t, apitest.Administrator(), "GET", readingsPath("plant-1", name, name, name, parameter, sql), "").Want(t, 400)
		}
		for i := range 3 {
			names := []string{name, name, name}
			names[i] = sql
			p.Do(t, apitest.Administrator(), "GET", readingsPath("plant-1", names[0], names[1], names[2]), "").Want(t, 404)
		}
		p.Do(t, apitest.Administrator(), "GET", "/v1/sites/plant-1/latest?gateway=gw-1&limit="+url.QueryEscape(sql), "").Want(t, 400)
	}
	p.get(t, apitest.Administrator(), readingsPath("plant-1", name, name, name, "from", int64(at), "to", int64(at+1)), &got)
}

func TestReadingsBadRequests(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	p.site(t, "plant-1")
	p.send(t, "plant-1", "g", event("d", "m", hour(), 1))
	for name, c := range map[string]struct {
		more   []any
		status int
	}{
		"from after to":        {[]any{"from", 2, "to", 1}, 400},
		"from is to":           {[]any{"from", 2, "to", 2}, 400},
		"before 1970":          {[]any{"from", -1}, 400},
		"overflow":             {[]any{"from", "9223372036854775808"}, 400},
		"most negative":        {[]any{"from", "-9223372036854775808"}, 400},
		"far future":           {[]any{"to", "9223372036854775807"}, 400},
		"far year":             {[]any{"to", "9999-12-31T23:59:59Z"}, 400},
		"year 0":               {[]any{"from", "0000-01-01T00:00:00Z"}, 400},
		"no time":              {[]any{"from", "yesterday"}, 400},
		"float":                {[]any{"from", "1e15"}, 400},
		"infinite":             {[]any{"from", "Infinity"}, 400},
		"everything by second": {[]any{"from", 0, "resolution", "1s"}, 422},
		"everything":           {[]any{"from", 0, "to", 7_258_118_400_000_000}, 200},
		"everything by day":    {[]any{"from", 0, "to", 7_258_118_400_000_000, "resolution", "1d"}, 422},
		"resolution":           {[]any{"resolution", "7m"}, 400},
		"aggregate":            {[]any{"aggregates", "min,median"}, 400},
		"aggregate twice":      {[]any{"aggregates", "min,min"}, 400},
		"quality":              {[]any{"quality", "bad,good"}, 400},
		"limit 0":              {[]any{"limit", 0}, 400},
		"limit":                {[]any{"limit", 50_001}, 400},
		"unknown":              {[]any{"admin", "true"}, 400},
		"no gateway":           {[]any{"gateway", ""}, 400},
		"long name":            {[]any{"device", strings.Repeat("x", 129)}, 400},
		"control":              {[]any{"device", "a\nb"}, 400},
		"NUL":                  {[]any{"device", "a\x00b"}, 400},
		"no UTF-8":             {[]any{"device", "\xff"}, 400},
		"no cursor":            {[]any{"cursor", "AAAA"}, 400},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p.Do(t, apitest.Administrator(), "GET", readingsPath("plant-1", "g", "d", "m", c.more...), "").Want(t, c.status)
		})
	}
	p.Do(t, apitest.Administrator(), "GET", readingsPath("plant-1", "g", "d", "m")+"&metric=n", "").Want(t, 400)
}
