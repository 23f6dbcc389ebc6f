package refusals_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/insighthub/insighthub/lib/refusals"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/trail"
)

// reported returns the report that a collector publishes of the refusals.
func reported(tb testing.TB, list []trail.Occurrence) refusals.Report {
	tb.Helper()
	w := &world{}
	var err error
	w.Collector, err = refusals.New(refusals.Config{
		Publisher: w, Registerer: discard{}, NewID: func() string { return "r1" },
		Now: func() time.Time { return time.Unix(1_800_000_000, 123_456_789) },
	})
	if err != nil {
		tb.Fatal(err)
	}
	for _, r := range list {
		w.Count(r)
	}
	w.Shutdown(tb.Context())
	if len(w.arrived) != 1 {
		tb.Fatalf("got %d reports, want 1", len(w.arrived))
	}
	return w.arrived[0]
}

// TestReportLimits: whatever is sent, a report stays within its limits, can be parsed, and
// its numbers sum to the number of rejections.
func TestReportLimits(t *testing.T) {
	long := strings.Repeat("x", 10_000)
	for name, c := range map[string]struct {
		refusal func(i int) trail.Occurrence
		lines   int
		first   refusals.Line // without times
		last    refusals.Line
	}{
		"one client": {
			func(int) trail.Occurrence { return bad("192.0.2.1") }, 1,
			refusals.Line{Reason: "expired", Source: "192.0.2.1", Route: "ANY /v1/{path+}", KeyID: "k-1", Subject: "gw-1", Number: 10_000},
			refusals.Line{Reason: "expired", Source: "192.0.2.1", Route: "ANY /v1/{path+}", KeyID: "k-1", Subject: "gw-1", Number: 10_000},
		},
		"many addresses": {
			func(i int) trail.Occurrence {
				return trail.Occurrence{Reason: "expired", Source: fmt.Sprintf("10.%d.%d.1", i/250, i%250)}
			}, 33,
			refusals.Line{Reason: "expired", Source: "10.0.0.1", Number: 1},
			refusals.Line{Reason: refusals.Other, Number: 10_000 - 32},
		},
		"one address, many claims": {
			func(i int) trail.Occurrence {
				return trail.Occurrence{Reason: "expired", Source: "2001:db8::1", Subject: fmt.Sprint("gw-", i)}
			}, 5,
			refusals.Line{Reason: "expired", Source: "2001:db8::1", Subject: "gw-0", Number: 1},
			refusals.Line{Reason: refusals.Other, Source: "2001:db8::1", Number: 10_000 - 4},
		},
		"nothing valid": {
			func(i int) trail.Occurrence {
				return trail.Occurrence{
					Reason: "a\x00\"<\n" + long, Source: "evil" + long, Route: "é" + long, KeyID: "\"" + long, Subject: "a\nb",
				}
			}, 1,
			refusals.Line{Reason: "a????" + long[:91], Route: "??" + long[:126], Number: 10_000},
			refusals.Line{Reason: "a????" + long[:91], Route: "??" + long[:126], Number: 10_000},
		},
		"empty": {
			func(int) trail.Occurrence { return trail.Occurrence{} }, 1,
			refusals.Line{Reason: refusals.Other, Number: 10_000},
			refusals.Line{Reason: refusals.Other, Number: 10_000},
		},
		"the longest": {
			func(i int) trail.Occurrence {
				return trail.Occurrence{
					Reason: long[:96], Source: fmt.Sprintf("2001:db8:1111:2222:3333:4444:5555:%x", 0x1000+i), Route: long[:128],
					KeyID: long[:64], Subject: long[:64],
				}
			}, 33,
			refusals.Line{
				Reason: long[:96], Source: "2001:db8:1111:2222:3333:4444:5555:1000", Route: long[:128],
				KeyID: long[:64], Subject: long[:64], Number: 1,
			},
			refusals.Line{Reason: refusals.Other, Number: 10_000 - 32},
		},
	} {
		t.Run(name, func(t *testing.T) {
			list := make([]trail.Occurrence, 10_000)
			for i := range list {
				list[i] = c.refusal(i)
			}
			r := reported(t, list)
			raw, err := json.Marshal(r)
			if err != nil {
				t.Fatal(err)
			}
			read, err := trail.ParseReport(raw)
			if err != nil {
				t.Fatalf("%s: %v", raw, err)
			}
			if diff := cmp.Diff(r, read); diff != "" {
				t.Errorf("written and read (-want +got):\n%s", diff)
			}
			if r.Number != 10_000 || len(r.Lines) != c.lines || len(raw) > refusals.MaxReportBytes {
				t.Errorf("got %d rejections in %d lines and %d bytes, want 10,000 in %d lines", r.Number, len(r.Lines), len(raw), c.lines)
			}
			for i, want := range map[int]refusals.Line{0: c.first, len(r.Lines) - 1: c.last} {
				got := r.Lines[i]
				got.First, got.Last = time.Time{}, time.Time{}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("line %d (-want +got):\n%s", i, diff)
				}
			}
		})
	}
}

const goodReport = `{"id":"r1","number":3,"first":"2026-01-02T03:04:05Z","last":"2026-01-02T03:04:06.5Z","refusals":[
	{"reason":"expired","source":"192.0.2.1","number":2,"first":"2026-01-02T03:04:05Z","last":"2026-01-02T03:04:05Z"},
	{"reason":"other","number":1,"first":"2026-01-02T03:04:06.5Z","last":"2026-01-02T03:04:06.5Z"}]}`

// badReports returns changes that make goodReport invalid.
func badReports() map[string][2]string {
	return map[string][2]string{
		"no id":             {`"id":"r1"`, `"id":""`},
		"an id with a line": {`"id":"r1"`, `"id":"r\n1"`},
		"another sum":       {`"number":3`, `"number":4`},
		"a smaller sum":     {`"number":3`, `"number":2`},
		"a sum by overflow": {`"number":2`, `"number":9223372036854775807`},
		"a count of 0":      {`"number":1,"first"`, `"number":0,"first"`},
		"a negative count":  {`"number":2`, `"number":-2`},
		"no reason":         {`"reason":"expired"`, `"reason":""`},
		"markup":            {`"reason":"expired"`, `"reason":"<b>"`},
		"a long reason":     {`"reason":"expired"`, `"reason":"` + strings.Repeat("x", 97) + `"`},
		"no address":        {`192.0.2.1`, `localhost`},
		"another spelling":  {`192.0.2.1`, `::FFFF:192.0.2.1`},
		"a zone":            {`192.0.2.1`, `fe80::1%eth0`},
		"a long route":      {`"source"`, `"route":"` + strings.Repeat("x", 129) + `","source"`},
		"a quoting kid":     {`"source"`, `"kid":"\"","source"`},
		"a long subject":    {`"source"`, `"claimed_subject":"` + strings.Repeat("x", 65) + `","source"`},
		"last before first": {`"last":"2026-01-02T03:04:06.5Z","refusals"`, `"last":"2026-01-02T03:04:04Z","refusals"`},
		"a line before":     {`05Z","last":"2026-01-02T03:04:05Z"`, `04Z","last":"2026-01-02T03:04:05Z"`},
		"year 26":           {`"number":3,"first":"2026`, `"number":3,"first":"0026`},
		"too large":         {`"id":"r1"`, `"id":"r1","x":"` + strings.Repeat("x", refusals.MaxReportBytes) + `"`},
		"no list":           {`"refusals":[`, `"refusals":{"a":[`},
		"too many lines":    {`"refusals":[`, `"refusals":[` + strings.Repeat(`{},`, 33)},
		"no lines":          {`"refusals":[`, `"lines":[`},
	}
}

func TestParseReport(t *testing.T) {
	r, err := trail.ParseReport([]byte(goodReport))
	if err != nil || r.Number != 3 || len(r.Lines) != 2 {
		t.Fatalf("%+v, %v", r, err)
	}
	for name, c := range badReports() {
		text := strings.Replace(goodReport, c[0], c[1], 1)
		if text == goodReport {
			t.Fatalf("%s: changes nothing", name)
		}
		if _, err := trail.ParseReport([]byte(text)); !errors.Is(err, telemetry.ErrInvalid) {
			t.Errorf("%s: got %v, want ErrInvalid", name, err)
		}
	}
}

// chain is an audit trail in memory.
type chain struct {
	reports    []trail.Report
	deliveries map[string]bool
	err        error
}

func (c *chain) AddReports(_ context.Context, reports []trail.Report) (added int, err error) {
	for _, r := range reports {
		if c.err == nil && !c.deliveries[r.ID] {
			c.deliveries[r.ID] = true
			c.reports = append(c.reports, r)
			added++
		}
	}
	return added, c.err
}

func recorder(tb testing.TB, c *chain) *refusals.Recorder {
	tb.Helper()
	c.deliveries = make(map[string]bool)
	return refusals.NewRecorder(refusals.RecorderConfig{Trail: c, Log: slog.New(slog.DiscardHandler)})
}

func eventOf(detail string) []byte {
	return []byte(`{"version":"0","id":"e-1","detail-type":"refusals","source":"insighthub.authorizer","account":"1",` +
		`"time":"2026-01-02T03:04:06Z","region":"eu-west-1","resources":[],"detail":` + detail + `}`)
}

func TestRecorder(t *testing.T) {
	c := &chain{}
	r := recorder(t, c)
	for _, want := range []string{`{"added":true}`, `{"added":false}`} {
		if got, err := r.Invoke(t.Context(), eventOf(goodReport)); string(got) != want || err != nil {
			t.Errorf("got %s, %v, want %s", got, err, want)
		}
	}
	if len(c.reports) != 1 || c.reports[0].Action != trail.RefusedAccessToken || c.reports[0].Number != 3 {
		t.Fatalf("got %+v, want one report of rejected access tokens", c.reports)
	}
	for name, payload := range map[string]string{
		"empty": "", "not an event": `{}`,
		"another source": strings.Replace(string(eventOf(goodReport)), "insighthub.authorizer", "insighthub.detect", 1),
		"another type":   strings.Replace(string(eventOf(goodReport)), "refusals", "anomaly", 1),
		"not a report":   string(eventOf(`{"id":"x"}`)),
	} {
		if got, err := r.Invoke(t.Context(), []byte(payload)); !errors.Is(err, telemetry.ErrInvalid) {
			t.Errorf("%s: got %s, %v; want ErrInvalid", name, got, err)
		}
	}
	c.err = telemetry.ErrUnavailable
	if _, err := r.Invoke(t.Context(), eventOf(goodReport)); !errors.Is(err, telemetry.ErrUnavailable) {
		t.Errorf("without a database: got %v, want ErrUnavailable", err)
	}
}

// FuzzRecorder: whatever the event, the report is a valid one of printable ASCII.
func FuzzRecorder(f *testing.F) {
	f.Add(eventOf(goodReport))
	for _, c := range badReports() {
		f.Add(eventOf(strings.Replace(goodReport, c[0], c[1], 1)))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		c := &chain{}
		if _, err := recorder(t, c).Invoke(t.Context(), payload); err != nil {
			if len(c.reports) > 0 {
				t.Error("got a report and an error")
			}
			return
		}
		r := c.reports[0]
		sum := int64(0)
		for _, l := range r.Lines {
			sum += l.Number
		}
		if sum != r.Number || len(r.Lines) > refusals.MaxLines {
			t.Errorf("got %d lines that sum to %d, want %d", len(r.Lines), sum, r.Number)
		}
		detail, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range detail {
			if b < ' ' || b > '~' {
				t.Fatalf("got %q, want printable ASCII", detail)
			}
		}
	})
}

func BenchmarkRefused(b *testing.B) {
	for name, addresses := range map[string]int{"one address": 1, "a full table": 1000} {
		b.Run(name, func(b *testing.B) {
			c, err := refusals.New(refusals.Config{
				Publisher: &world{}, Registerer: discard{}, Now: time.Now, NewID: func() string { return "r" },
			})
			if err != nil {
				b.Fatal(err)
			}
			list := make([]trail.Occurrence, addresses)
			for i := range list {
				list[i] = bad(fmt.Sprintf("10.0.%d.%d", i/250, i%250))
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				c.Count(list[i%len(list)])
			}
		})
	}
}

// BenchmarkNothingRejected is the cost of an invocation with a valid token.
func BenchmarkNothingRejected(b *testing.B) {
	w := &world{}
	c, err := refusals.New(refusals.Config{Publisher: w, Registerer: discard{}, Now: time.Now, NewID: func() string { return "r" }})
	if err != nil {
		b.Fatal(err)
	}
	h := c.Observe(w)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := h.Invoke(b.Context(), nil); err != nil {
			b.Fatal(err)
		}
	}
}
