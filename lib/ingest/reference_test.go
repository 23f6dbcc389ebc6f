package ingest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// outcome is the result of parsing a body.
type outcome struct {
	Rejected bool
	Accepted []bitsEvent
	Faulty   []int // indexes of rejected events
}

// bitsEvent is an event whose value is compared by its bits.
type bitsEvent struct {
	Device, Metric string
	Time           telemetry.Micros
	Value          uint64
	Quality        telemetry.Quality
}

// reference reads bodies with encoding/json as strictly as the format is defined.
type reference struct{ rfc3339 *regexp.Regexp }

func newReference() reference {
	return reference{regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$`)}
}

func (ref reference) outcome(body []byte) outcome {
	rejected := outcome{Rejected: true}
	body = withoutBadWords(body)
	if !json.Valid(body) || depthOf(body) > maxDepth {
		return rejected
	}
	envelope, ok := membersOf(body)
	if !ok || len(envelope) != 1 || envelope[0].name != "events" || envelope[0].value[0] != '[' {
		return rejected
	}
	var events []json.RawMessage
	if err := json.Unmarshal(envelope[0].value, &events); err != nil || len(events) > telemetry.MaxBatchEvents {
		return rejected
	}
	var o outcome
	for i, raw := range events {
		if e, ok := ref.event(raw); ok {
			o.Accepted = append(o.Accepted, e)
		} else {
			o.Faulty = append(o.Faulty, i)
		}
	}
	return o
}

func (ref reference) event(raw []byte) (e bitsEvent, ok bool) {
	members, ok := membersOf(raw)
	if !ok {
		return e, false
	}
	seen := map[string]bool{}
	for _, m := range members {
		if seen[m.name] {
			return e, false
		}
		seen[m.name] = true
		switch m.name {
		case "device":
			e.Device, ok = referenceName(m.value)
		case "metric":
			e.Metric, ok = referenceName(m.value)
		case "time":
			e.Time, ok = ref.time(m.value)
		case "value":
			e.Value, ok = referenceValue(m.value)
		case "quality":
			var text string
			ok = json.Unmarshal(m.value, &text) == nil && m.value[0] == '"'
			switch text {
			case "good":
			case "uncertain":
				e.Quality = telemetry.Uncertain
			case "bad":
				e.Quality = telemetry.Bad
			default:
				ok = false
			}
		default:
			ok = false
		}
		if !ok {
			return e, false
		}
	}
	if math.IsNaN(math.Float64frombits(e.Value)) && e.Quality != telemetry.Bad {
		return e, false
	}
	return e, seen["device"] && seen["metric"] && seen["time"] && seen["value"]
}

// badWord replaces a word that is not valid JSON. No member of an event may have it.
const badWord = `"\u0001"`

// withoutBadWords replaces words that are neither numbers nor literals, such as NaN,
// unless they are in a string or where a name should be.
func withoutBadWords(body []byte) []byte {
	pattern := regexp.MustCompile(`"(?:[^"\\]|\\.)*"?|[-+._#0-9A-Za-z]+(\s*:)?`)
	return pattern.ReplaceAllFunc(body, func(token []byte) []byte {
		if token[0] == '"' || token[len(token)-1] == ':' || json.Valid(token) {
			return token
		}
		return []byte(badWord)
	})
}

// referenceValue decides with exact arithmetic.
func referenceValue(raw []byte) (uint64, bool) {
	switch string(raw) {
	case "null":
		return math.Float64bits(math.NaN()), true
	case "true":
		return math.Float64bits(1), true
	case "false":
		return 0, true
	}
	var f float64
	if err := json.Unmarshal(raw, &f); err != nil {
		return 0, false
	}
	size, isInteger := math.Abs(f), !strings.ContainsAny(string(raw), ".eE")
	if size < 1<<53 || !isInteger && size > 1<<64 {
		return math.Float64bits(f), true
	}
	rational := func(text string) *big.Rat {
		r, ok := new(big.Rat).SetString(text)
		if !ok {
			panic(text)
		}
		return r
	}
	written := rational(string(raw))
	return math.Float64bits(f), !written.IsInt() || written.Cmp(new(big.Rat).SetFloat64(f)) == 0 ||
		written.Cmp(rational(strconv.FormatFloat(f, 'g', -1, 64))) == 0 || written.Cmp(rational(strconv.FormatFloat(f, 'g', 17, 64))) == 0
}

func referenceName(raw []byte) (string, bool) {
	var text string
	if raw[0] != '"' || !utf8.Valid(raw) || unpairedSurrogateIn(raw) || json.Unmarshal(raw, &text) != nil {
		return "", false
	}
	return text, text != "" && len(text) <= telemetry.MaxNameBytes &&
		!strings.ContainsFunc(text, unicode.IsControl) && !strings.ContainsRune(text, utf8.RuneError)
}

func (ref reference) time(raw []byte) (telemetry.Micros, bool) {
	if raw[0] != '"' {
		n, err := strconv.ParseInt(string(raw), 10, 64)
		return telemetry.Micros(n), err == nil
	}
	// time.Parse checks the calendar, but accepts more than RFC 3339.
	var text string
	if json.Unmarshal(raw, &text) != nil || !ref.rfc3339.MatchString(text) {
		return 0, false
	}
	at, err := time.Parse(time.RFC3339, text)
	return telemetry.MicrosOf(at), err == nil
}

// unpairedSurrogateIn looks for the \u escapes of a JSON string that
// encoding/json would replace.
func unpairedSurrogateIn(raw []byte) bool {
	for i := 0; i < len(raw); i++ {
		if raw[i] != '\\' {
			continue
		}
		i++
		if raw[i] != 'u' {
			continue
		}
		unit := func(at int) rune {
			if at+6 > len(raw) || raw[at] != '\\' || raw[at+1] != 'u' {
				return -1
			}
			n, err := strconv.ParseUint(string(raw[at+2:at+6]), 16, 16)
			if err != nil {
				return -1
			}
			return rune(n)
		}
		if r := unit(i - 1); utf16.IsSurrogate(r) {
			if utf16.DecodeRune(r, unit(i+5)) == utf8.RuneError {
				return true
			}
			i += 6
		}
	}
	return false
}

type rawMember struct {
	name  string
	value json.RawMessage
}

// membersOf lists the members of a valid JSON object in their order, with
// duplicates.
func membersOf(raw []byte) ([]rawMember, bool) {
	d := json.NewDecoder(bytes.NewReader(raw))
	if start, err := d.Token(); err != nil || start != json.Delim('{') {
		return nil, false
	}
	var members []rawMember
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, false
		}
		m := rawMember{name: name.(string)} //nolint:forcetypeassert // the text is valid JSON
		if err := d.Decode(&m.value); err != nil {
			return nil, false
		}
		members = append(members, m)
	}
	return members, true
}

// depthOf returns how deep a valid JSON text nests.
func depthOf(raw []byte) int {
	depth, deepest, inString := 0, 0, false
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			depth++
			deepest = max(deepest, depth)
		case c == '}' || c == ']':
			depth--
		}
	}
	return deepest
}

// ours runs the parser under test. One instance serves all bodies, as in the function.
type ours struct {
	collector collector
	parser    parser
	buf       []byte
	direct    int // how many bodies parseEscaped read
}

func newOurs() *ours {
	o := &ours{}
	o.collector.batch = &telemetry.Batch{}
	o.parser = newParser(&o.collector)
	return o
}

func (o *ours) outcome(body []byte) outcome {
	o.buf = pad(append(o.buf[:0], body...))
	o.collector.reset(math.MinInt64, math.MaxInt64)
	if err := o.parser.parse(o.buf[:len(body)+padding], len(body)); err != nil {
		return outcome{Rejected: true}
	}
	return o.collected()
}

// escaped runs parseEscaped on the body; ok is false if that leaves the body to parse.
func (o *ours) escaped(t *testing.T, body []byte) (out outcome, ok bool) {
	t.Helper()
	const before, after = `{"body":"`, `","isBase64Encoded":false}`
	o.buf = append(o.buf[:0], before...)
	for _, c := range body {
		switch {
		case c == '"' || c == '\\':
			o.buf = append(o.buf, '\\', c)
		case c < ' ':
			o.buf = fmt.Appendf(o.buf, "\\u%04x", c)
		default:
			o.buf = append(o.buf, c)
		}
	}
	end := len(o.buf)
	o.buf = append(o.buf, after...)
	o.collector.reset(math.MinInt64, math.MaxInt64)
	got := o.parser.parseEscaped(slices.Clip(o.buf), len(before))
	if got >= 0 && got != end {
		t.Fatalf("%q: the body ends at %d, found %d", o.buf, end, got)
	}
	return o.collected(), got >= 0
}

func (o *ours) collected() outcome {
	var out outcome
	b := o.collector.batch
	for i := range b.Len() {
		e := b.Event(i)
		out.Accepted = append(out.Accepted, bitsEvent{
			string(e.Device), string(e.Metric), e.Time, math.Float64bits(e.Value), e.Quality,
		})
	}
	for _, f := range o.collector.listed {
		out.Faulty = append(out.Faulty, f.index)
	}
	return out
}

func compare(t *testing.T, ref reference, o *ours, body []byte) outcome {
	t.Helper()
	want := ref.outcome(body)
	if len(want.Faulty) > maxListed {
		want.Faulty = want.Faulty[:maxListed]
	}
	if diff := cmp.Diff(want, o.outcome(body)); diff != "" {
		t.Fatalf("%q (-encoding/json +ours):\n%s", body, diff)
	}
	if got, ok := o.escaped(t, body); ok {
		o.direct++
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("%q (-encoding/json +ours, escaped):\n%s", body, diff)
		}
	}
	return want
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		document(goodEvent), document(), `{}`, ``, `{"events":[{"value":1e999}]}`,
		document(`{"device":"pre\u0073s","metric":"\ud83d\ude00","time":1795425013123456,"value":-0.5e-1,"quality":"bad"}`),
		document(`{"device":"d","metric":"m","time":1,"value":null,"quality":"bad"}`, `{"value":NaN,"x":[-inf]}`, `NaN`),
		document(`{"device":"d","metric":"m","time":1,"value":9007199254740993}`, `{"device":"d","metric":"m","time":1,"value":true}`),
		document(`{"device":"\ud800","metric":"\udc00\ud800","time":"2024-02-29T23:59:59.999999999+23:59","value":-0}`),
		document(`{"x":[[],{"a":{}}],"value":1,"value":2}`, `null`, `[]`),
		"{\"events\":[{\"device\":\"\xff\"}]}", document(`{"time":"2016-12-31T23:59:60Z"}`),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) { compare(t, newReference(), newOurs(), body) })
}

// FuzzHandler: any payload results in a complete response or an error, not in a panic.
func FuzzHandler(f *testing.F) {
	f.Add(jsonRequest(document(goodEvent)).payload(f))
	f.Add(recordRequest(fleetRecord(f, fleetEvents(3))).payload(f))
	f.Add(jsonRequest("").encoded("gzip", gzipped(f, []byte(document(goodEvent)))).payload(f))
	f.Add(jsonRequest("").encoded("zstd", zstdCompressed(f, []byte(document(goodEvent)))).payload(f))
	f.Add([]byte(`{"version":"2.0","headers":null,"body":"\u0`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		m := &memory{}
		out, err := newTestHandler(t, m).Invoke(t.Context(), payload)
		if err != nil {
			return
		}
		var a reply
		if err := json.Unmarshal(out, &a); err != nil {
			t.Fatalf("response %s: %v", out, err)
		}
		if (a.StatusCode == 202) != (m.calls == 1) {
			t.Fatalf("got status %d, published %d times; want 202 if and only if published once", a.StatusCode, m.calls)
		}
	})
}

// TestAgreesWithTheReference runs both parsers on random documents of unusual parts, and
// on damaged ones.
func TestAgreesWithTheReference(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(7, 11))
	ref, o := newReference(), newOurs()
	whole, acceptedEvents := 0, 0
	for i := range 20_000 {
		body := []byte(oddDocument(random, i%2 == 0))
		if r := compare(t, ref, o, body); !r.Rejected {
			whole++
			acceptedEvents += len(r.Accepted)
		}
		for range 1 + random.IntN(3) {
			body = damage(random, body)
			compare(t, ref, o, body)
		}
	}
	if whole < 5_000 || acceptedEvents < 5_000 || o.direct < 2_500 {
		t.Errorf("only %d whole documents, %d of them read without unescaping, and %d accepted events: the test covers too little",
			whole, o.direct, acceptedEvents)
	}
}

// oddDocument returns a document. A plain one has only quotes to escape when it becomes a
// JSON string.
func oddDocument(random *rand.Rand, plain bool) string {
	until := func(piece func() string) string {
		for {
			if s := piece(); !plain || !strings.ContainsAny(s, "\\\n\t\r\x00") {
				return s
			}
		}
	}
	events := make([]string, random.IntN(5))
	for i := range events {
		events[i] = until(func() string { return oddEvent(random) })
	}
	space := func() string { return until(func() string { return pick(random, "", "", "", " ", "\n\t", "\r") }) }
	name := until(func() string { return pick(random, `"events"`, `"events"`, `"events"`, `"\u0065vents"`, `"events "`) })
	return space() + pick(random, "{", "{", "{", "[") + space() + name +
		space() + ":" + space() + "[" + strings.Join(events, space()+","+space()) + space() + "]" + space() +
		pick(random, "}", "}", "}", "}", `,"events":[]}`, "") + space()
}

func oddEvent(random *rand.Rand) string {
	members := []string{
		`"device":` + oddName(random), `"metric":` + oddName(random),
		`"time":` + oddTime(random), `"value":` + oddNumber(random),
	}
	if random.IntN(2) == 0 {
		members = append(members, `"quality":`+pick(random, `"good"`, `"uncertain"`, `"bad"`, `"b\u0061d"`, `"BAD"`, `0`, `null`))
	}
	if random.IntN(20) == 0 {
		members = append(members, pick(random,
			`"value":1`, `"unit":{"a":[1,{}],"b":null}`, `"":""`, `"Device":"x"`, `"qualit":1`, `"quality_":1`))
	}
	if random.IntN(30) == 0 {
		members = members[1:]
	}
	if random.IntN(4) == 0 {
		random.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
	}
	return "{" + strings.Join(members, ",") + "}"
}

func oddName(random *rand.Rand) string {
	return pick(random, `"press-1"`, `"press-2"`, `"p"`, `"temperature"`, `"größe"`, `"\u00df\/\\\""`, `"\ud83d\ude00"`,
		`"x`+strings.Repeat("y", random.IntN(140))+`"`,
		`"press-1"`, `"press-3"`, `"`+strconv.Itoa(random.IntN(5000))+`"`,
		pick(random, `""`, `"\n"`, `"\u0000"`,
			`"\ud83d"`, `"\ud83d\ud83d\ude00"`, `"\ud83dx"`, `12`, `null`, "\"\x7f\"", "\"\xc3\"", "\"\u0080\""))
}

func oddTime(random *rand.Rand) string {
	at := time.Unix(random.Int64N(4e9)-1e9, random.Int64N(1e9)).UTC()
	if random.IntN(3) == 0 {
		at = at.In(time.FixedZone("", random.IntN(2*86_399)-86_399))
	}
	return pick(random,
		`"`+at.Format(time.RFC3339Nano)+`"`, `"`+at.Format(time.RFC3339)+`"`, `"`+at.Format("2006-01-02T15:04:05.000000Z07:00")+`"`,
		strconv.FormatInt(at.UnixMicro(), 10),
		`"`+pick(random, "2023", "2024", "1900", "2000", "0000", "9999")+"-"+pick(random, "00", "01", "02", "04", "12", "13")+"-"+
			pick(random, "00", "01", "28", "29", "30", "31", "32")+
			"T"+pick(random, "00", "23", "24")+":"+pick(random, "00", "59", "60")+":"+
			pick(random, "00", "59", "60", "61")+pick(random, "", ".1", ".", ".1234567890", ",5")+
			pick(random, "Z", "z", "", "+00:00", "-00:00", "+23:59", "+24:00", "-05:60", "+0500")+`"`,
		pick(random, `""`, `1e3`, `1.0`, `-0`, `-1`, `9223372036854775807`, `9223372036854775808`, `-9223372036854775808`,
			`-9223372036854775809`, `99999999999999999999999`, `true`,
			`"2024-02-29t00:00:00Z"`, `"2024-02-29 00:00:00Z"`, `"\u0032024-02-29T00:00:00Z"`))
}

func oddNumber(random *rand.Rand) string {
	digits := func(n int) string {
		out := make([]byte, n)
		for i := range out {
			out[i] = '0' + byte(random.IntN(10))
		}
		return string(out)
	}
	return pick(random,
		strconv.FormatFloat(float64(random.IntN(1_000_000))/1000, 'f', -1, 64),
		strconv.FormatFloat(math.Float64frombits(random.Uint64()&^(1<<62)), 'g', -1, 64),
		strconv.FormatFloat(random.NormFloat64(), 'e', random.IntN(20), 64),
		"0."+digits(1+random.IntN(30)), "-1"+digits(random.IntN(30))+"."+digits(1+random.IntN(20))+"e"+strconv.Itoa(random.IntN(700)-350),
		pick(random, "0", "-0", "-0.0", "1e22", "1e23", "9007199254740993", "9007199254740992e22", "5e-324", "2e-324", "1e308", "1.8e308",
			"1e999", "1e-999", "1E+2", "0e0", "1e99999999999999999999",
			"01", "+1", ".5", "1.", "NaN", `"1"`, "null", "-", "1e", "0x1p3", "1_0",
			"true", "false", "-Infinity", "nan", "tru", "[NaN,nil]", "1.#INF", "NaN:", "9007199254740994",
			"9007199254740993.0", "1e16", "1e23",
			"9007199254740993e1", "90071992547409930e-1", "18446744073709551615", "9223372036854775807", "123456789012345680000",
			strconv.FormatUint(random.Uint64(), 10), strconv.FormatFloat(float64(random.Uint64()), 'f', -1, 64),
			strconv.FormatFloat(float64(random.Uint64()), 'e', random.IntN(20), 64),
			strconv.FormatInt(1<<53+random.Int64N(64)-32, 10)+pick(random, "", "", ".0", ".5", "e0", "00e-2")))
}

func pick(random *rand.Rand, choices ...string) string { return choices[random.IntN(len(choices))] }

// damage changes a document in one place.
func damage(random *rand.Rand, body []byte) []byte {
	if len(body) == 0 {
		return body
	}
	at := random.IntN(len(body))
	out := bytes.Clone(body[:at])
	switch random.IntN(5) {
	case 0: // without a byte
		return append(out, body[at+1:]...)
	case 1: // truncated
		return out
	case 2: // with a byte repeated
		return append(append(out, body[at]), body[at:]...)
	case 3:
		out = append(out, pick(random, `"`, `\`, "{", "}", "[", "]", ",", ":", " ",
			"\x00", "\x1f", "\xff", "e", "-", ".", "0", "\\u", "ß")...)
		return append(out, body[at:]...)
	default:
		out = append(out, byte(random.IntN(256)))
		return append(out, body[at+1:]...)
	}
}
