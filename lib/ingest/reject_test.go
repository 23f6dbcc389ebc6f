package ingest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/insighthub/insighthub/lib/problem"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// goodEvent is accepted; the cases below change it.
const goodEvent = `{"device":"press-1","metric":"temperature","time":"2026-11-23T09:08:33Z","value":1}`

// withoutCodes removes the codes of a response's list.
func withoutCodes(body string) string {
	return regexp.MustCompile(`"code":"[a-z_]+",`).ReplaceAllString(body, "")
}

func document(events ...string) string { return `{"events":[` + strings.Join(events, ",") + `]}` }

// TestRejectsEvents sends an event that is not valid between two that are. These are
// published, and the response names the other one and its fault.
func TestRejectsEvents(t *testing.T) {
	t.Parallel()
	change := func(from, to string) string {
		if !strings.Contains(goodEvent, from) {
			t.Fatalf("%s is not in the event", from)
		}
		return strings.Replace(goodEvent, from, to, 1)
	}
	add := func(member string) string { return change(`"value":1}`, `"value":1,`+member+`}`) }
	const (
		atTime     = `"2026-11-23T09:08:33Z"`
		wantValue  = `value: want a number, true, false, or null with quality "bad"`
		wantFinite = `value: want a finite number, or null with quality "bad" when there is no value`
	)
	notExactly := func(text string) string {
		return "value: " + text + " cannot be held exactly by a float64: whole numbers are exact up to 9007199254740992 (2^53)"
	}
	const future = "time: more than 5m0s ahead of the platform's clock"
	const old = "time: older than the retention of 3653 days"
	for name, c := range map[string]struct{ event, reason string }{
		"number":                {`1`, "want an object"},
		"array":                 {`[{}]`, "want an object"},
		"null":                  {`null`, "want an object"},
		"device a number":       {change(`"press-1"`, `7`), "device: want a string"},
		"device null":           {change(`"press-1"`, `null`), "device: want a string"},
		"metric an object":      {change(`"temperature"`, `{"a":[1,{"b":null}]}`), "metric: want a string"},
		"time true":             {change(atTime, `true`), "time: want an RFC 3339 string or an integer of microseconds since 1970"},
		"value a string":        {change(`"value":1`, `"value":"12.5"`), "value: want a number: send 12.5 without quotes"},
		"value NaN in a string": {change(`"value":1`, `"value":"NaN"`), wantValue},
		"value an array":        {change(`"value":1`, `"value":[1]`), wantValue},
		"value an object":       {change(`"value":1`, `"value":{"v":[NaN,1]}`), wantValue},
		"value null":            {change(`"value":1`, `"value":null`), `value: null is accepted with quality "bad" only`},
		"value null, uncertain": {
			change(`"value":1`, `"quality":"uncertain","value":null`), `value: null is accepted with quality "bad" only`,
		},
		"value past float64":      {change(`"value":1`, `"value":1e999`), wantFinite},
		"value below float64":     {change(`"value":1`, `"value":-1e999`), wantFinite},
		"value NaN":               {change(`"value":1`, `"value":NaN`), "value: NaN is not valid JSON: " + wantFinite[7:]},
		"value NaN, bad":          {change(`"value":1`, `"value":NaN,"quality":"bad"`), "value: NaN is not valid JSON: " + wantFinite[7:]},
		"value Infinity":          {change(`"value":1`, `"value":Infinity`), "value: Infinity is not valid JSON: " + wantFinite[7:]},
		"value -Infinity":         {change(`"value":1`, `"value": -Infinity `), "value: -Infinity is not valid JSON: " + wantFinite[7:]},
		"value -inf of C":         {change(`"value":1`, `"value":-inf`), "value: -inf is not valid JSON: " + wantFinite[7:]},
		"value None of Python":    {change(`"value":1`, `"value":None`), "value: None is not valid JSON: " + wantFinite[7:]},
		"value hexadecimal":       {change(`"value":1`, `"value":0x1F`), "value: 0x1F is not a number of JSON"},
		"value leading plus":      {change(`"value":1`, `"value":+1`), "value: +1 is not a number of JSON"},
		"value leading zero":      {change(`"value":1`, `"value":01`), "value: 01 is not a number of JSON"},
		"value leading point":     {change(`"value":1`, `"value":.5`), "value: .5 is not a number of JSON"},
		"value trailing point":    {change(`"value":1`, `"value":1.`), "value: 1. is not a number of JSON"},
		"value without exponent":  {change(`"value":1`, `"value":1e`), "value: 1e is not a number of JSON"},
		"value 1.#QNAN":           {change(`"value":1`, `"value":1.#QNAN`), "value: 1.#QNAN is not a number of JSON"},
		"value True of Python":    {change(`"value":1`, `"value":True`), "value: True is not a number of JSON"},
		"time NaN":                {change(atTime, `NaN`), "time: NaN is not valid JSON"},
		"quality a bare word":     {add(`"quality":good`), "quality: good is not valid JSON"},
		"misspelt literal":        {add(`"x":nul`), `unknown member "x"`},
		"an event that is NaN":    {`NaN`, "NaN is not valid JSON"},
		"2^53+1":                  {change(`"value":1`, `"value":9007199254740993`), notExactly("9007199254740993")},
		"-(2^53+1)":               {change(`"value":1`, `"value":-9007199254740993`), notExactly("-9007199254740993")},
		"2^53+1 with a fraction":  {change(`"value":1`, `"value":9007199254740993.0`), notExactly("9007199254740993.0")},
		"2^53+1 with an exponent": {change(`"value":1`, `"value":9.007199254740993e15`), notExactly("9.007199254740993e15")},
		"2^63-1":                  {change(`"value":1`, `"value":9223372036854775807`), notExactly("9223372036854775807")},
		"2^64-1":                  {change(`"value":1`, `"value":18446744073709551615`), notExactly("18446744073709551615")},
		"20 digits":               {change(`"value":1`, `"value":12345678901234567890`), notExactly("12345678901234567890")},
		"quality of OPC DA":       {add(`"quality":192`), "quality: want a string"},
		"quality of OPC UA":       {add(`"quality":"Bad_SensorFailure"`), `quality: want "good", "uncertain" or "bad"`},
		"quality a number":        {add(`"quality":0`), "quality: want a string"},
		"quality null":            {add(`"quality":null`), "quality: want a string"},
		"unknown quality":         {add(`"quality":"Good"`), `quality: want "good", "uncertain" or "bad"`},
		"no member":               {`{}`, "device: missing"},
		"no device":               {change(`"device":"press-1",`, ``), "device: missing"},
		"no metric":               {change(`"metric":"temperature",`, ``), "metric: missing"},
		"no time":                 {change(`"time":`+atTime+`,`, ``), "time: missing"},
		"no value":                {change(`,"value":1`, ``), "value: missing"},
		"empty device":            {change(`"press-1"`, `""`), "device: empty"},
		"empty metric":            {change(`"temperature"`, `""`), "metric: empty"},
		"name too long":           {change(`press-1`, strings.Repeat("x", telemetry.MaxNameBytes+1)), "device: longer than 128 bytes"},
		"name too long in UTF-8":  {change(`press-1`, strings.Repeat("ß", telemetry.MaxNameBytes/2+1)), "device: longer than 128 bytes"},
		"escaped control in name": {change(`press-1`, `press\u000a1`), "device: contains a control character"},
		"DEL in name":             {change(`press-1`, "press\x7f1"), "device: contains a control character"},
		"C1 control in name":      {change(`temperature`, "temp\u0085"), "metric: contains a control character"},
		"unpaired surrogate":      {change(`press-1`, `\ud800x`), "device: not valid UTF-8"},
		"replaced bytes":          {change(`press-1`, "press\ufffd"), "device: not valid UTF-8"},
		"surrogates reversed":     {change(`press-1`, `\udc00\ud800`), "device: not valid UTF-8"},
		"time not a date":         {change(atTime, `"yesterday"`), "time: not an RFC 3339 time"},
		"time in milliseconds": {
			change(atTime, `1795425013123`),
			old + ": 1795425013123 looks like milliseconds; times are microseconds since 1970: 1795425013123000?",
		},
		"time in seconds": {
			change(atTime, `1795425013`),
			old + ": 1795425013 looks like seconds; times are microseconds since 1970: 1795425013000000?",
		},
		"time in nanoseconds": {
			change(atTime, `1795425013123456789`),
			future + ": 1795425013123456789 looks like nanoseconds; times are microseconds since 1970: 1795425013123456?",
		},
		"time of Windows": {
			change(atTime, `134398986131234560`),
			future + ": 134398986131234560 looks like a Windows file time (100 ns since 1601); " +
				"times are microseconds since 1970: 1795425013123456?",
		},
		"time in milliseconds, as text": {
			change(atTime, `"1795425013123"`),
			"time: not an RFC 3339 time: 1795425013123 looks like milliseconds; times are microseconds since 1970: 1795425013123000?",
		},
		"time in microseconds, as text": {
			change(atTime, `"1795425013123456"`),
			"time: not an RFC 3339 time: 1795425013123456 looks like microseconds: send an integer without quotes, point or exponent",
		},
		"milliseconds read as microseconds": {
			change(atTime, `"1970-01-21T18:43:45.013123Z"`),
			old + ": 1795425013123 looks like milliseconds; times are microseconds since 1970: 1795425013123000?",
		},
		"time empty":          {change(atTime, `""`), "time: not an RFC 3339 time"},
		"time without offset": {change(atTime, `"2026-11-23T09:08:33"`), "time: not an RFC 3339 time"},
		"30 February":         {change(atTime, `"2026-02-30T09:08:33Z"`), "time: not an RFC 3339 time"},
		"leap second": {
			change(atTime, `"2016-12-31T23:59:60Z"`), "time: leap seconds are not supported: send :59 or the next :00",
		},
		"time with a fraction": {change(atTime, `1795425013.5`), "time: want an integer of microseconds since 1970, in 64 bits" +
			": 1795425013 looks like seconds; times are microseconds since 1970: 1795425013000000?"},
		"time with an exponent":   {change(atTime, `1e15`), "time: want an integer of microseconds since 1970, in 64 bits"},
		"time past 64 bits":       {change(atTime, `9223372036854775808`), "time: want an integer of microseconds since 1970, in 64 bits"},
		"far future":              {change(atTime, `"2026-11-23T09:15:00.000001Z"`), "time: more than 5m0s ahead of the platform's clock"},
		"last representable time": {change(atTime, `9223372036854775807`), "time: more than 5m0s ahead of the platform's clock"},
		"before retention":        {change(atTime, `"2016-11-22T09:09:59.999999Z"`), "time: older than the retention of 3653 days"},
		"first representable":     {change(atTime, `-9223372036854775808`), "time: older than the retention of 3653 days"},
		"duplicate value":         {add(`"value":1`), `duplicate member "value"`},
		"duplicate by an escape":  {add(`"devi\u0063e":"x"`), `duplicate member "device"`},
		"unknown member":          {add(`"unit":{"a":[1,"x",true,false,null,-1.5e3]}`), `unknown member "unit"`},
		"other case":              {add(`"Value":1`), `unknown member "Value"`},
		"first of two faults":     {change(`"value":1`, `"value":"x","unit":1`), wantValue},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			reason, err := json.Marshal(c.reason)
			if err != nil {
				t.Fatal(err)
			}
			want := fmt.Sprintf(`{"accepted":2,"rejected":1,"errors":[{"index":1,"reason":%s}]}`, reason)
			m := &memory{}
			h := newTestHandler(t, m)
			r := jsonRequest(document(goodEvent, c.event, goodEvent))
			for _, r.reversed = range []bool{false, true} {
				a := invoke(t, h, r.payload(t))
				if got := withoutCodes(a.Body); a.StatusCode != 202 || got != want {
					t.Errorf("got  %d %s\nwant 202 %s", a.StatusCode, got, want)
				}
				if len(m.events) != 2 {
					t.Errorf("published %v, want nothing", m.events)
				}
			}
		})
	}
}

// TestInvalidUTF8 sends base64: the JSON of the payload cannot contain such bytes.
func TestInvalidUTF8(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"\xff", "\xc0\xaf", "\xed\xa0\x80", "press\xf8", "\xe2\x82"} {
		body := document(strings.Replace(goodEvent, "press-1", bad, 1), goodEvent)
		a := invoke(t, newTestHandler(t, &memory{}), jsonRequest("").encoded("", []byte(body)).payload(t))
		want := `{"accepted":1,"rejected":1,"errors":[{"index":0,"reason":"device: not valid UTF-8"}]}`
		if a.StatusCode != 202 || withoutCodes(a.Body) != want {
			t.Errorf("%q: got %d %s, want 202 %s", bad, a.StatusCode, a.Body, want)
		}
	}
}

// TestRejectsRequests sends requests that are rejected as a whole: nothing is published.
func TestRejectsRequests(t *testing.T) {
	t.Parallel()
	caller := func(gateway, site, role string) httpEvent {
		r := jsonRequest(document(goodEvent))
		r.context = map[string]any{"requestId": "req-1", "authorizer": map[string]any{"lambda": map[string]any{
			"gateway": gateway, "site": site, "role": role, "expires": testNow().Unix() + 1,
		}}}
		return r
	}
	expired := func(expires any) httpEvent {
		r := caller("gw-1", "plant-1", "gateway")
		r.context.(map[string]any)["authorizer"] = map[string]any{"lambda": map[string]any{
			"gateway": "gw-1", "site": "plant-1", "role": "gateway", "expires": expires,
		}}
		return r
	}
	typed := func(contentType string) httpEvent {
		r := jsonRequest(document(goodEvent))
		r.headers = map[string]string{"content-type": contentType}
		return r
	}
	body := []byte(document(goodEvent))
	record := fleetRecord(t, fleetEvents(2))
	changed := func(i int, b byte) httpEvent {
		r := bytes.Clone(record)
		r[i] = b
		return recordRequest(r)
	}
	zipped, packed := gzipped(t, body), zstdCompressed(t, body)
	tooMany := document(strings.Repeat(goodEvent+",", telemetry.MaxBatchEvents) + goodEvent)
	longest := document(goodEvent) + strings.Repeat(" ", DefaultMaxBodyBytes-len(document(goodEvent)))
	deep := document(`{"x":` + strings.Repeat("[", 70) + strings.Repeat("]", 70) + `}`)
	bomb := bytes.Repeat([]byte{' '}, 2<<20)
	type rejected struct {
		request httpEvent
		status  int
		kind    string
		detail  string // a part of it
	}
	notJSON := func(body, detail string) rejected { return rejected{jsonRequest(body), 400, "not-json", detail} }
	badEnvelope := func(body, detail string) rejected { return rejected{jsonRequest(body), 400, "bad-envelope", detail} }
	raw := func(body string) httpEvent {
		r := jsonRequest(body)
		r.raw = true
		return r
	}
	encoded := func(encoding string, body []byte) httpEvent { return jsonRequest("").encoded(encoding, body) }

	for name, c := range map[string]rejected{
		"NaN for the events": notJSON(`{"events":NaN}`, `unexpected NaN at byte 10; want a value.`),
		"cut off in a word":  notJSON(`{"events":[{"value":Na`, `unexpected end at byte 22 (event 0, member "value"); want a value.`),
		"NaN for a name":     notJSON(document(`{NaN:1}`), `unexpected "N" at byte 12 (event 0); want a string.`),
		"NaN and a string": notJSON(document(`{"value":NaN"x"}`),
			`unexpected "\"" at byte 23 (event 0, member "value"); want "," or "}".`),
		"empty body": notJSON(``, `The body is not valid JSON: unexpected end at byte 0; want a value.`),
		"text":       notJSON(`hello`, `The body is not valid JSON: unexpected hello at byte 0; want a value.`),
		"cut off": notJSON(`{"events":[{"device":"pre`,
			`unexpected end at byte 25 (event 0, member "device"); want a character of a string.`),
		"cut off in an escape": notJSON(`{"events":[{"device":"\u00`, "unexpected end at byte 26"),
		"garbage at the end":   notJSON(document(goodEvent)+` x`, `unexpected "x" at byte 97; want the end of the body.`),
		"second document":      notJSON(document(goodEvent)+`{}`, `unexpected "{" at byte 96; want the end of the body.`),
		"zero byte at the end": notJSON(document(goodEvent)+"\x00", `unexpected "\x00" at byte 96; want the end of the body.`),
		"control in a string": notJSON(document("{\"device\":\"a\nb\"}"),
			`unexpected "\n" at byte 23 (event 0, member "device"); want a character of a string.`),
		"bad escape": notJSON(document(`{"device":"\x"}`),
			`unexpected "x" at byte 23 (event 0, member "device"); want an escape sequence.`),
		"bad hex escape": notJSON(document(`{"device":"\u00g0"}`),
			`unexpected "g" at byte 26 (event 0, member "device"); want a hexadecimal digit.`),
		"trailing comma":          notJSON(`{"events":[`+goodEvent+`,]}`, `unexpected "]" at byte 95 (event 1); want a value.`),
		"comma in an object":      notJSON(document(`{"value":1,}`), `unexpected "}" at byte 22 (event 0); want a string.`),
		"no colon":                notJSON(document(`{"value" 1}`), `unexpected "1" at byte 20 (event 0); want ":".`),
		"single quotes":           notJSON(`{'events':[]}`, `unexpected "'" at byte 1; want a string.`),
		"comment":                 notJSON(document(goodEvent+`/**/`), `unexpected "/" at byte 94 (event 1); want "," or "]".`),
		"byte order mark":         notJSON("\ufeff"+document(goodEvent), `unexpected "\xef" at byte 0`),
		"an array":                badEnvelope(`[`+goodEvent+`]`, `The body must be an object with the member "events".`),
		"null":                    badEnvelope(`null`, `must be an object`),
		"no events member":        badEnvelope(`{}`, `"events" is missing`),
		"unknown member":          badEnvelope(`{"gateway":"gw-9","events":[`+goodEvent+`]}`, `unknown member "gateway"`),
		"events an object":        badEnvelope(`{"events":{}}`, `Member "events" must be an array.`),
		"events null":             badEnvelope(`{"events":null}`, `Member "events" must be an array.`),
		"duplicate events":        badEnvelope(`{"events":[`+goodEvent+`],"events":[]}`, `Member "events" is repeated.`),
		"no events":               badEnvelope(document(), "has no events"),
		"too deep":                {jsonRequest(deep), 400, "too-deep", "The body nests deeper than 64 levels at byte 77 (event 0)."},
		"too many events":         {jsonRequest(tooMany), 413, "too-many-events", "more than 10000 events"},
		"body over the limit":     {jsonRequest(strings.Repeat(" ", DefaultMaxBodyBytes+1)), 413, "body-too-large", "the limit is 4194304"},
		"document over the limit": {jsonRequest(longest + " "), 413, "body-too-large", "has 4194305 bytes"},
		"JSON said to be base64":  {raw(document(goodEvent)), 400, "bad-base64", "base64"},
		"gzip bomb":               {encoded("gzip", gzipped(t, bomb)), 413, "inflated-too-large", "more than 1048576 bytes"},
		"zstd bomb":               {encoded("zstd", zstdCompressed(t, bomb)), 413, "inflated-too-large", "more than 1048576 bytes"},
		"truncated gzip":          {encoded("gzip", zipped[:len(zipped)-9]), 400, "bad-gzip", "gzip"},
		"gzip without its sum":    {encoded("gzip", zipped[:len(zipped)-1]), 400, "bad-gzip", "gzip"},
		"gzip header only":        {encoded("gzip", zipped[:5]), 400, "bad-gzip", "gzip"},
		"gzip name without end":   {encoded("gzip", []byte("\x1f\x8b\x08\x08\x00\x00\x00\x00\x00\x03name")), 400, "bad-gzip", "gzip"},
		"garbage behind gzip":     {encoded("gzip", append(bytes.Clone(zipped), 'x')), 400, "bad-gzip", "gzip"},
		"not gzip":                {encoded("gzip", body), 400, "bad-gzip", "gzip"},
		"empty gzip":              {encoded("gzip", nil), 400, "not-json", "unexpected end at byte 0"},
		"truncated zstd":          {encoded("zstd", packed[:len(packed)-3]), 400, "bad-zstd", "zstd"},
		"not zstd":                {encoded("zstd", body), 400, "bad-zstd", "zstd"},
		"empty zstd":              {encoded("zstd", nil), 400, "not-json", "unexpected end at byte 0"},
		"unknown encoding":        {encoded("br", body), 415, "unsupported-encoding", `"br"`},
		"two encodings":           {encoded("gzip, gzip", body), 415, "unsupported-encoding", `"gzip, gzip"`},
		"wrong content type":      {typed("text/plain"), 415, "unsupported-type", `"text/plain"`},
		"no content type":         {httpEvent{body: body}, 415, "unsupported-type", `""`},
		"similar content type":    {typed("application/jsonp"), 415, "unsupported-type", `"application/jsonp"`},
		"expired token":           {expired(testNow().Unix()), 401, "token-expired", "The token has expired."},
		"token without an end":    {expired(nil), 401, "token-expired", "The token has expired."},
		"end of another kind":     {expired("never"), 401, "token-expired", "The token has expired."},
		"end beyond all numbers":  {expired(1e300), 401, "token-expired", "The token has expired."},
		"no gateway":              {caller("", "plant-1", "gateway"), 403, "no-gateway", "does not name a gateway"},
		"no site":                 {caller("gw-1", "", "gateway"), 403, "no-gateway", "does not name a gateway"},
		"not a gateway":           {caller("gw-1", "plant-1", "viewer"), 403, "not-a-gateway", "Only a gateway"},
		"no role":                 {caller("gw-1", "plant-1", ""), 403, "not-a-gateway", "Only a gateway"},
		"bad base64":              {raw("!!!"), 400, "bad-base64", "base64"},
		"record of a version":     {changed(0, 9), 400, "bad-record", "version: want 1, have 9"},
		"record with a flag":      {changed(1, 0x40), 400, "bad-record", "flags: unknown bits 0x40"},
		"record cut off":          {recordRequest(record[:len(record)-1]), 400, "bad-record", "record"},
		"record of nothing":       {recordRequest(nil), 400, "bad-record", "record"},
		"record of no event":      {recordRequest([]byte{telemetry.Version, 0}), 400, "bad-record", "event"},
		"record that is not zstd": {recordRequest([]byte{telemetry.Version, 1, 1, 2, 3}), 400, "bad-record", "zstd"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := &memory{}
			h := newTestHandler(t, m)
			for _, c.request.reversed = range []bool{false, true} {
				a := invoke(t, h, c.request.payload(t))
				if a.StatusCode != c.status || a.Headers["content-type"] != problem.ContentType {
					t.Errorf("got %d %v %s, want %d", a.StatusCode, a.Headers, a.Body, c.status)
				}
				if a.body["type"] != string(problem.TypeOf(c.kind)) || a.body["title"] != http.StatusText(c.status) ||
					a.body["status"] != float64(c.status) || a.body["instance"] != "urn:insighthub:request:req-1" {
					t.Errorf("got %s, want the type %s", a.Body, c.kind)
				}
				if detail, ok := a.body["detail"].(string); !ok || !strings.Contains(detail, c.detail) {
					t.Errorf("got detail %q, want it to contain %q", a.body["detail"], c.detail)
				}
				if m.calls > 0 {
					t.Errorf("published %v, want nothing", m.events)
				}
			}
		})
	}
}

func TestNoAuthorizer(t *testing.T) {
	t.Parallel()
	a := invoke(t, newTestHandler(t, &memory{}), []byte(
		`{"version":"2.0","requestContext":{"authorizer":null},"headers":null,"body":null}`))
	if a.StatusCode != 403 || a.body["instance"] != nil {
		t.Errorf("got %d %s, want 403 without an instance", a.StatusCode, a.Body)
	}
}

func TestNoEventAccepted(t *testing.T) {
	t.Parallel()
	m := &memory{}
	a := invoke(t, newTestHandler(t, m), jsonRequest(document(`{}`, `1`)).payload(t))
	want := `{"type":"urn:insighthub:problem:no-event-accepted","title":"No event was accepted","status":422,` +
		`"detail":"All events of the request were rejected; errors lists the reasons.",` +
		`"instance":"urn:insighthub:request:req-1","accepted":0,` +
		`"errors":[{"index":0,"reason":"device: missing"},{"index":1,"reason":"want an object"}],"rejected":2}`
	if a.StatusCode != 422 || a.Headers["content-type"] != problem.ContentType || withoutCodes(a.Body) != want {
		t.Errorf("got  %d %s\nwant 422 %s", a.StatusCode, a.Body, want)
	}
	if m.calls > 0 {
		t.Error("an empty batch was published")
	}
}

func TestListsTheFirstHundred(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		rejected, listed, status int
	}{{100, 100, 202}, {101, 100, 202}, {5000, 100, 422}} {
		events := strings.Split(strings.Repeat(`{"device":"x"};`, c.rejected), ";")[:c.rejected]
		if c.status == 202 {
			events = append(events, goodEvent)
		}
		a := invoke(t, newTestHandler(t, &memory{}), jsonRequest(document(events...)).payload(t))
		listed, ok := a.body["errors"].([]any)
		if a.StatusCode != c.status || a.body["rejected"] != float64(c.rejected) || !ok || len(listed) != c.listed {
			t.Errorf("%d rejected: got %d %s", c.rejected, a.StatusCode, a.Body)
		}
		if truncated := a.body["errors_truncated"] == true; truncated != (c.rejected > c.listed) {
			t.Errorf("%d rejected: errors_truncated is %v", c.rejected, truncated)
		}
	}
}

// TestValidatesRecords sends a record that can be decoded but has events that are not
// valid: these are dropped, the others published.
func TestValidatesRecords(t *testing.T) {
	t.Parallel()
	events := fleetEvents(8)
	events[1].Value = math.NaN()
	events[3].Value = math.Inf(-1)
	events[4].Time = telemetry.MicrosOf(testNow().Add(DefaultMaxFuture)) + 1
	events[7].Time = 0
	events[6].Value, events[6].Quality = math.NaN(), telemetry.Bad // a reading without a value
	const orNullText = `, or null with quality \"bad\" when there is no value`
	m := &memory{}
	r := recordRequest(fleetRecord(t, events))
	a := invoke(t, newTestHandler(t, m), r.payload(t))
	want := `{"accepted":4,"rejected":4,"errors":[{"index":1,"reason":"value: want a finite number` + orNullText + `"},` +
		`{"index":3,"reason":"value: want a finite number` + orNullText + `"},` +
		`{"index":4,"reason":"time: more than 5m0s ahead of the platform's clock"},` +
		`{"index":7,"reason":"time: older than the retention of 3653 days"}]}`
	if got := withoutCodes(a.Body); a.StatusCode != 202 || got != want {
		t.Errorf("got  %d %s\nwant 202 %s", a.StatusCode, got, want)
	}
	if diff := cmp.Diff([]telemetry.Event{events[0], events[2], events[5], events[6]}, m.events, cmpopts.EquateNaNs()); diff != "" {
		t.Errorf("published (-want +got):\n%s", diff)
	}
}

// withBytes replaces bytes of a plain record, which has no checksum then: the encoder refuses
// such names.
func withBytes(record []byte, pairs ...string) []byte {
	record = bytes.Clone(record[:len(record)-4])
	record[1] &^= 2
	for i := 0; i < len(pairs); i += 2 {
		record = bytes.ReplaceAll(record, []byte(pairs[i]), []byte(pairs[i+1]))
	}
	return record
}

// TestBadNamesInARecord: a name that is not valid rejects its events, and no others.
func TestBadNamesInARecord(t *testing.T) {
	t.Parallel()
	events := fleetEvents(6)
	events[0].Device, events[3].Metric, events[5].Device = "a#b", "a%b", "a#b"
	events[2].Value = math.Inf(1)
	m := &memory{}
	a := invoke(t, newTestHandler(t, m), recordRequest(withBytes(fleetRecord(t, events), "a#b", "a\nb", "a%b", "a\xffb")).payload(t))
	rejected := map[float64]string{}
	for _, e := range a.body["errors"].([]any) {
		entry := e.(map[string]any)
		rejected[entry["index"].(float64)] = fmt.Sprint(entry["code"], " ", entry["reason"])
	}
	if diff := cmp.Diff(map[float64]string{
		0: "bad_name device: name: control character U+000A at byte 1",
		2: `value_not_finite value: want a finite number, or null with quality "bad" when there is no value`,
		3: "bad_name metric: name: byte 1 is not UTF-8",
		5: "bad_name device: name: control character U+000A at byte 1",
	}, rejected); diff != "" || a.StatusCode != 202 {
		t.Errorf("got %d (-want +got):\n%s", a.StatusCode, diff)
	}
	if diff := cmp.Diff([]telemetry.Event{events[1], events[4]}, m.events); diff != "" {
		t.Errorf("published (-want +got):\n%s", diff)
	}
}

// TestIgnoresTheOriginInARecord: gateway and site come from the token only.
func TestIgnoresTheOriginInARecord(t *testing.T) {
	t.Parallel()
	b := telemetry.Batch{Gateway: "gw-9", Site: "plant-9", Trace: "forged", Received: 1}
	b.Append(fleetEvents(1)[0])
	encoder, err := telemetry.NewEncoder(telemetry.Zstd)
	if err != nil {
		t.Fatal(err)
	}
	record, err := encoder.AppendRecord(nil, &b)
	if err != nil {
		t.Fatal(err)
	}
	m := &memory{}
	invoke(t, newTestHandler(t, m), recordRequest(record).payload(t))
	if m.batch.Gateway != "gw-1" || m.batch.Site != "plant-1" || m.batch.Trace != "" || m.batch.Received != telemetry.MicrosOf(testNow()) {
		t.Errorf("got %+v", m.batch)
	}
}
