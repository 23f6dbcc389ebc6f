package ingest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/insighthub/insighthub/lib/problem"
	"github.com/insighthub/insighthub/lib/telemetry"
)

func micros(tb testing.TB, text string) telemetry.Micros {
	tb.Helper()
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		tb.Fatal(err)
	}
	return telemetry.MicrosOf(t)
}

func TestAccepts(t *testing.T) {
	t.Parallel()
	at := micros(t, "2026-11-23T09:08:33.123456Z")
	good := telemetry.Event{Device: "press-1", Metric: "temperature", Time: at, Value: 71.25}
	with := func(change func(*telemetry.Event)) []telemetry.Event {
		e := good
		change(&e)
		return []telemetry.Event{e}
	}
	const whole = `{"events":[{"device":"press-1","metric":"temperature","time":"2026-11-23T09:08:33.123456Z",` +
		`"value":71.25,"quality":"good"}]}`
	for name, c := range map[string]struct {
		request httpEvent
		want    []telemetry.Event
	}{
		"as documented":           {jsonRequest(whole), []telemetry.Event{good}},
		"gzip":                    {jsonRequest("").encoded("gzip", gzipped(t, []byte(whole))), []telemetry.Event{good}},
		"zstd":                    {jsonRequest("").encoded("ZSTD", zstdCompressed(t, []byte(whole))), []telemetry.Event{good}},
		"base64 without encoding": {jsonRequest("").encoded("identity", []byte(whole)), []telemetry.Event{good}},
		"record":                  {recordRequest(fleetRecord(t, []telemetry.Event{good})), []telemetry.Event{good}},
		"record in gzip": {
			recordRequest(nil).encoded("gzip", gzipped(t, fleetRecord(t, []telemetry.Event{good}))),
			[]telemetry.Event{good},
		},
		"content type with parameters": {
			httpEvent{headers: map[string]string{"Content-Type": "Application/JSON; charset=utf-8"}, body: []byte(whole)},
			[]telemetry.Event{good},
		},
		"any order, white space, no quality": {
			jsonRequest("\r\n{ \"events\" : [ {\t\"value\" : 7.125e1 , \"time\":\"2026-11-23T10:08:33.1234569+01:00\"," +
				"\n\"metric\":\"temperature\",\"device\":\"press-1\" } ] } \n"),
			[]telemetry.Event{good},
		},
		"escaped names and member names": {
			jsonRequest(`{"ev\u0065nts":[{"dev\u0069ce":"pre\u0073s\u002D1","metric":"\ud83d\ude00\/ß",` +
				`"time":1795424913123456,"v\u0061lue":-0.5e-1,"quality":"b\u0061d"}]}`),
			[]telemetry.Event{{Device: "press-1", Metric: "😀/ß", Time: 1795424913123456, Value: -0.05, Quality: telemetry.Bad}},
		},
		"time as an integer": {
			jsonRequest(`{"events":[{"device":"press-1","metric":"temperature","time":` + fmt.Sprint(int64(at)) + `,"value":71.25}]}`),
			[]telemetry.Event{good},
		},
		"longest name": {
			jsonRequest(strings.Replace(whole, "press-1", strings.Repeat("x", telemetry.MaxNameBytes), 1)),
			with(func(e *telemetry.Event) { e.Device = telemetry.DeviceName(strings.Repeat("x", telemetry.MaxNameBytes)) }),
		},
		"body as large as the limit": {jsonRequest(whole + strings.Repeat(" ", DefaultMaxBodyBytes-len(whole))), []telemetry.Event{good}},
		"uncertain": {
			jsonRequest(strings.Replace(whole, "good", "uncertain", 1)),
			with(func(e *telemetry.Event) { e.Quality = telemetry.Uncertain }),
		},
		"many digits": {
			jsonRequest(strings.Replace(whole, "71.25", "0.1000000000000000055511151231257827021181583404541015625", 1)),
			with(func(e *telemetry.Event) { e.Value = 0.1 }),
		},
		"newest acceptable time": {
			jsonRequest(strings.Replace(whole, "2026-11-23T09:08:33.123456Z", "2026-11-23T09:15:00Z", 1)),
			with(func(e *telemetry.Event) { e.Time = telemetry.MicrosOf(testNow().Add(DefaultMaxFuture)) }),
		},
		"oldest acceptable time": {
			jsonRequest(strings.Replace(whole, "2026-11-23T09:08:33.123456Z", "2016-11-22T09:10:00Z", 1)),
			with(func(e *telemetry.Event) { e.Time = telemetry.MicrosOf(testNow().AddDate(0, 0, -DefaultRetentionDays)) }),
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := &memory{}
			h := newTestHandler(t, m)
			for _, reversed := range []bool{false, true} {
				c.request.reversed = reversed
				a := invoke(t, h, c.request.payload(t))
				if a.StatusCode != 202 || a.Body != fmt.Sprintf(`{"accepted":%d,"rejected":0,"errors":[]}`, len(c.want)) {
					t.Fatalf("got %d %s", a.StatusCode, a.Body)
				}
				if diff := cmp.Diff(c.want, m.events); diff != "" {
					t.Errorf("published (-want +got):\n%s", diff)
				}
			}
		})
	}
}

func TestPublishesTheHeader(t *testing.T) {
	t.Parallel()
	m := &memory{}
	h := newTestHandler(t, m)
	r := recordRequest(fleetRecord(t, fleetEvents(3)))
	r.headers["X-Amzn-Trace-Id"] = "Root=1-67891233-abcdef012345678912345678"
	invoke(t, h, r.payload(t))
	want := [4]any{telemetry.GatewayID("gw-1"), telemetry.SiteID("plant-1"), r.headers["X-Amzn-Trace-Id"], telemetry.MicrosOf(testNow())}
	if got := [4]any{m.batch.Gateway, m.batch.Site, m.batch.Trace, m.batch.Received}; got != want {
		t.Errorf("got %v, want %v", got, want)
	}
	r.headers["X-Amzn-Trace-Id"] = strings.Repeat("x", telemetry.MaxTraceBytes+1)
	invoke(t, h, r.payload(t))
	if m.batch.Trace != "" {
		t.Errorf("got trace %q, want none: the header is too long", m.batch.Trace)
	}
}

func TestManyRequestsThroughOneHandler(t *testing.T) {
	t.Parallel()
	m := &memory{}
	h := newTestHandler(t, m)
	for _, n := range []int{1, 1000, 10, telemetry.MaxBatchEvents, 3} {
		want := fleetEvents(n)
		for name, payload := range map[string][]byte{
			"json":   jsonRequest(string(fleetJSON(want))).payload(t),
			"record": recordRequest(fleetRecord(t, want)).payload(t),
		} {
			h.config.MaxInflatedBytes = DefaultMaxInflatedBytes
			if a := invoke(t, h, payload); a.StatusCode != 202 {
				t.Fatalf("%s, %d events: got %d %s", name, n, a.StatusCode, a.Body)
			}
			if diff := cmp.Diff(want, m.events); diff != "" {
				t.Fatalf("%s, %d events (-want +got):\n%s", name, n, diff)
			}
		}
	}
}

func TestPublishFails(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err    error
		status int
	}{
		"unavailable": {fmt.Errorf("shard 7 secret: %w", telemetry.ErrUnavailable), 503},
		"invalid":     {fmt.Errorf("shard 7 secret: %w", telemetry.ErrInvalid), 400},
		"internal":    {errors.New("shard 7 secret"), 500},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := invoke(t, newTestHandler(t, &memory{err: c.err}), jsonRequest(string(fleetJSON(fleetEvents(2)))).payload(t))
			if a.StatusCode != c.status || a.Headers["content-type"] != problem.ContentType || a.body["status"] != float64(c.status) {
				t.Errorf("got %d %v %s, want a problem document with %d", a.StatusCode, a.Headers, a.Body, c.status)
			}
			if strings.Contains(a.Body, "secret") {
				t.Errorf("got %s, want no internal text", a.Body)
			}
			if _, ok := a.Headers["retry-after"]; ok != (c.status == 503) {
				t.Errorf("got headers %v, want Retry-After only with 503", a.Headers)
			}
			if a.body["instance"] != "urn:insighthub:request:req-1" {
				t.Errorf("got instance %v, want that of req-1", a.body["instance"])
			}
		})
	}
}

func TestLeavesTimeToRespond(t *testing.T) {
	t.Parallel()
	m := &memory{}
	deadline := testNow().Add(10 * time.Second)
	ctx, cancel := context.WithDeadline(t.Context(), deadline)
	defer cancel()
	if _, err := newTestHandler(t, m).Invoke(ctx, jsonRequest(string(fleetJSON(fleetEvents(1)))).payload(t)); err != nil {
		t.Fatal(err)
	}
	if got, ok := m.ctx.Deadline(); !ok || deadline.Sub(got) != time.Second {
		t.Errorf("got a deadline %v before the invocation's, want 1s", deadline.Sub(got))
	}
}

func TestNotAnHTTPEvent(t *testing.T) {
	t.Parallel()
	h := newTestHandler(t, &memory{})
	for _, payload := range []string{
		``, `{`, `[]`, `null`, `{"Records":[]}`, `{"version":"1.0"}`, `{"version":"2.0"`, `{"version":"2.0","body":"x`,
		`{"version":"2.0","body":"\u12"}`, `{"version":"2.0","body":"\`, `{"a" 1}`, `{"a":1 "b":2}`, `{"a":{"b":[1,2}`,
	} {
		if out, err := h.Invoke(t.Context(), []byte(payload)); err == nil {
			t.Errorf("%s: got %s, want an error", payload, out)
		}
	}
}

// TestPayloadCutOff truncates payloads at each byte: no read may be out of bounds.
func TestPayloadCutOff(t *testing.T) {
	t.Parallel()
	h := newTestHandler(t, &memory{})
	for _, body := range []string{
		document(goodEvent),
		document(`{"device":"größe","metric":"\\\"\u00e9","time":-1,"quality":"uncertain","value":-1.5e-3,"x":[true,false,null,{}]}`),
	} {
		payload := jsonRequest(body).payload(t)
		for n := range payload {
			if out, err := h.Invoke(t.Context(), bytes.Clone(payload[:n:n])); err == nil {
				t.Errorf("cut off at %d: got %s, want an error", n, out)
			}
			// Events that are complete, and a payload that ends within a word.
			short := append(slices.Clip(payload[:n]), `"}`...)
			if _, err := h.Invoke(t.Context(), slices.Clip(short)); err != nil && !errors.Is(err, errNotEvent) {
				t.Errorf("cut off and closed at %d: got %v, want errNotEvent", n, err)
			}
		}
	}
}

// TestConcurrentRequests: each caller gets the response to its own request.
func TestConcurrentRequests(t *testing.T) {
	t.Parallel()
	h := newTestHandler(t, &memory{})
	var group sync.WaitGroup
	for n := 1; n <= 8; n++ {
		payload := jsonRequest(string(fleetJSON(fleetEvents(n)))).payload(t)
		group.Go(func() {
			for range 50 {
				if a := invoke(t, h, payload); a.body["accepted"] != float64(n) {
					t.Errorf("%d events: got %s", n, a.Body)
				}
			}
		})
	}
	group.Wait()
}
