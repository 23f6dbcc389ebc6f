package ingest

import (
	"bytes"
	"fmt"
	"math"
	"net/http"
	"strconv"

	"github.com/insighthub/insighthub/lib/jsonscan"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// maxDepth bounds how deep arrays and objects may nest.
const maxDepth = jsonscan.DefaultMaxDepth

// word is the number of bytes that are looked at in one step; the parser's buffer ends
// with as many zero bytes, which no JSON text holds.
const word = jsonscan.WordBytes

// parser reads a JSON body in one pass. It is reused.
type parser struct {
	devices, metrics names
	times            timeParser
	powers           powers
	maxEvents        int
	out              *collector

	// buf is the body and at least two words more, whose first byte cannot be part of
	// JSON text: no scan passes the end of the body, and no read of a word leaves the
	// buffer.
	buf  []byte
	size int
	// A body that is read in place in the payload is escaped as a JSON string: a
	// quote is \", extra is 1, quote is '\\', and the body ends at a '"'. Otherwise
	// extra is 0 and quote is '"'.
	extra  int
	quote  byte
	keys   [memberCount]keyWord
	text   []byte // an unescaped string
	failed *bodyError
	// inEvents is whether the array of events is being read.
	inEvents bool
	event    event
}

// newParser returns a parser that adds its events to out.
func newParser(out *collector) parser {
	return parser{
		devices: names{index: func(name string) uint32 {
			return out.batch.DeviceIndex(telemetry.DeviceName(name))
		}},
		metrics: names{index: func(name string) uint32 {
			return out.batch.MetricIndex(telemetry.MetricName(name))
		}},
		powers:    newPowers(),
		maxEvents: telemetry.MaxBatchEvents,
		out:       out,
	}
}

// event is the event being read.
type event struct {
	device, metric uint32
	time           telemetry.Micros
	value          float64
	quality        telemetry.Quality
	seen           member
	reading        member // the one whose value is being read
	fault          fault
}

// reject sets the fault of the event, if it has none yet.
func (e *event) reject(r reason, m member) {
	if e.fault.reason == accepted {
		e.fault = fault{reason: r, member: m}
	}
}

// rejectText is reject for a value whose text the reason repeats.
func (e *event) rejectText(r reason, m member, text []byte) {
	if e.fault.reason == accepted {
		e.fault = fault{reason: r, member: m, text: quoted(text)}
	}
}

// quoted copies as much of a client's text as a response repeats.
func quoted(text []byte) []byte { return bytes.Clone(text[:min(len(text), maxQuoted)]) }

// parse reads the body buf[:size], which padding zero bytes follow, and adds its events to
// the collector. If it returns an error, the collector's content is not valid.
func (p *parser) parse(buf []byte, size int) *bodyError {
	p.begin(buf, size, 0)
	if i := p.envelope(p.space(0)); i >= 0 && i != size {
		p.fail(i, "the end of the body")
	}
	return p.failed
}

// parseEscaped reads a body that is escaped as a JSON string and whose first byte is
// payload[i]. It returns the index of the quote that ends the string. It returns -1 if
// the body is not valid or has an escape sequence other than \"; the collector's content
// is then not valid, and the caller unescapes the body and uses parse.
//
// Few bodies have other escape sequences, and this saves a pass over the others.
func (p *parser) parseEscaped(payload []byte, i int) (end int) {
	// A quote without a backslash before it ends any scan; words may be read after it.
	last := bytes.LastIndexByte(payload[i:max(i, len(payload)-padding)], '"')
	if last < 1 || payload[i+last-1] == '\\' {
		return -1
	}
	p.begin(payload, len(payload), 1)
	if i = p.envelope(p.space(i)); i >= 0 && payload[i] != '"' {
		return -1
	}
	return i
}

func (p *parser) begin(buf []byte, size, extra int) {
	p.buf, p.size, p.failed = buf, size, nil
	p.event, p.inEvents = event{}, false
	if p.quote == 0 || p.extra != extra {
		p.extra, p.quote = extra, '"'
		if extra > 0 {
			p.quote = '\\'
		}
		p.keys = keyWords(p.quote)
	}
	p.devices.reset()
	p.metrics.reset()
}

// fail reports that byte i is not what JSON requires there. It returns -1, which every
// reader below returns in place of the next index after that.
func (p *parser) fail(i int, want string) int {
	found := "unexpected end"
	if i < p.size {
		found = "unexpected " + p.token(i, want)
	}
	return p.reject(reject(http.StatusBadRequest, "not-json",
		"The body is not valid JSON: %s at byte %d%s; want %s.", found, min(i, p.size), p.location(), want))
}

// token returns what a message names of the text at i: the whole word where a value was
// expected, such as NaN, else one byte.
func (p *parser) token(i int, want string) string {
	end := i
	for (want == "a value" || want == "a digit") && end < min(p.size, i+len("-Infinity")) && p.buf[end]|0x20-'a' < 26 {
		end++
	}
	if end > i+1 {
		return string(p.buf[i:end])
	}
	return strconv.Quote(string(p.buf[i : i+1]))
}

// location says in which event and member the parser is. Events are counted from 0, as
// in the list of rejected events.
func (p *parser) location() string {
	switch {
	case !p.inEvents:
		return ""
	case p.event.reading == noMember:
		return fmt.Sprintf(" (event %d)", p.out.index)
	default:
		return fmt.Sprintf(" (event %d, member %q)", p.out.index, p.event.reading)
	}
}

// reject sets the error of the body, if it has none yet, and returns -1.
func (p *parser) reject(e *bodyError) int {
	if p.failed == nil {
		p.failed = e
	}
	return -1
}

// space returns the index of the first byte from i on that is not white space.
func (p *parser) space(i int) int {
	for p.buf[i] <= ' ' && jsonscan.IsSpace(p.buf[i]) {
		i++
	}
	return i
}

func (p *parser) envelope(i int) int {
	if p.buf[i] != '{' {
		if i = p.skip(i, maxDepth); i < 0 {
			return -1
		}
		return p.reject(badEnvelope("The body must be an object with the member \"events\"."))
	}
	seen := false
	i = p.space(i + 1)
	for more := p.buf[i] != '}'; more; {
		key, next := p.string(i)
		if next < 0 {
			return -1
		}
		if string(key) != "events" {
			return p.reject(badEnvelope("The body has the unknown member %q; \"events\" is the only one.", clip(string(key))))
		}
		if seen {
			return p.reject(badEnvelope("Member \"events\" is repeated."))
		}
		seen = true
		if i = p.colon(next); i < 0 {
			return -1
		}
		if i = p.events(i); i < 0 {
			return -1
		}
		if i, more = p.more(i, '}'); i < 0 {
			return -1
		}
	}
	if !seen {
		return p.reject(badEnvelope("Member \"events\" is missing."))
	}
	return p.space(i + 1)
}

// colon returns the index of the value after the colon at or after i.
func (p *parser) colon(i int) int {
	if i = p.space(i); p.buf[i] != ':' {
		return p.fail(i, `":"`)
	}
	return p.space(i + 1)
}

// more reads what follows a value: at a comma it returns the index of what
// follows and true, at the closing bracket its index and false.
func (p *parser) more(i int, closing byte) (next int, more bool) {
	i = p.space(i)
	switch p.buf[i] {
	case ',':
		return p.space(i + 1), true
	case closing:
		return i, false
	default:
		return p.fail(i, `"," or "`+string(rune(closing))+`"`), false
	}
}

func (p *parser) events(i int) int {
	if p.buf[i] != '[' {
		if i = p.skip(i, maxDepth-1); i < 0 {
			return -1
		}
		return p.reject(badEnvelope("Member \"events\" must be an array."))
	}
	count := 0
	p.inEvents = true
	i = p.space(i + 1)
	for more := p.buf[i] != ']'; more; {
		if count++; count > p.maxEvents {
			return p.reject(tooManyEvents(p.maxEvents))
		}
		if i = p.readEvent(i); i < 0 {
			return -1
		}
		if i, more = p.more(i, ']'); i < 0 {
			return -1
		}
	}
	p.inEvents = false
	return i + 1
}

// readEvent reads the event at i and adds it to the collector.
func (p *parser) readEvent(i int) int {
	e := &p.event
	*e = event{}
	if p.buf[i] != '{' {
		if i = p.skip(i, maxDepth-2); i >= 0 {
			e.reject(notObject, noMember)
			p.out.reject(e.fault, 0)
		}
		return i
	}
	i = p.space(i + 1)
	for more := p.buf[i] != '}'; more; {
		m, next := p.key(i)
		if next < 0 {
			return -1
		}
		if i = p.colon(next); i < 0 {
			return -1
		}
		if i = p.value(i, m); i < 0 {
			return -1
		}
		if i, more = p.more(i, '}'); i < 0 {
			return -1
		}
	}
	e.reading = noMember
	if e.seen&requiredMembers != requiredMembers {
		absent := requiredMembers &^ e.seen
		e.reject(missing, absent&-absent)
	}
	if e.value != e.value && e.quality != telemetry.Bad { // NaN: the value is null
		e.reject(nullNotBad, valueMember)
	}
	if e.fault.reason != accepted {
		p.out.reject(e.fault, 0)
	} else {
		p.out.accept(e.device, e.metric, e.time, e.value, e.quality)
	}
	return i + 1
}

// value reads the value at i of member m.
func (p *parser) value(i int, m member) int {
	p.event.reading = m
	c := p.buf[i]
	isString, isNumber := c == p.quote, c == '-' || jsonscan.IsDigit(c)
	want := accepted
	switch m {
	case deviceMember, metricMember:
		if isString {
			return p.name(i, m)
		}
		want = wantString
	case timeMember:
		if isString {
			return p.time(i)
		}
		if isNumber {
			return p.timeInteger(i)
		}
		want = wantTime
	case valueMember:
		if isNumber {
			return p.number(i)
		}
		return p.otherValue(i, c, isString)
	case qualityMember:
		if isString {
			return p.quality(i)
		}
		want = wantString
	case noMember, requiredMembers: // key has set the fault
	}
	if i = p.skip(i, maxDepth-3); want != accepted {
		p.event.reject(want, m)
	}
	return i
}

func (p *parser) number(i int) int {
	n, next, ok := scanNumber(p.buf, i)
	if c := p.buf[next]; !ok || c != ',' && c != '}' && isWordByte(c) {
		return p.badWord(i)
	}
	f, ok := p.powers.float(n, p.buf[i:next])
	switch {
	case !ok:
		p.event.reject(notFinite, valueMember)
	case (f >= maxExact || f <= -maxExact) && (n.integer || math.Abs(f) <= 1<<64) && !jsonscan.ExactFloat(f, p.buf[i:next]):
		p.event.rejectText(notExact, valueMember, p.buf[i:next])
	}
	p.event.value = f
	return next
}

// otherValue reads a value that is not a number: switches report true and false, which
// are 1 and 0, and null is a bad reading without a value.
func (p *parser) otherValue(i int, c byte, isString bool) int {
	switch end := p.wordEnd(i); string(p.buf[i:end]) {
	case "true":
		p.event.value = 1
		return end
	case "false":
		p.event.value = 0
		return end
	case "null":
		p.event.value = math.NaN()
		return end
	}
	if !isString {
		if c == '{' || c == '[' {
			p.event.reject(wantNumber, valueMember)
		}
		return p.skip(i, maxDepth-3)
	}
	text, next := p.string(i)
	if next < 0 {
		return -1
	}
	if isNumber(text) {
		p.event.rejectText(numberAsText, valueMember, text)
	}
	p.event.reject(wantNumber, valueMember)
	return next
}

// isNumber reports whether text is a short JSON number.
func isNumber(text []byte) bool {
	var buf [maxQuoted + 1]byte // ends with a zero byte
	if len(text) == 0 || len(text) > maxQuoted {
		return false
	}
	copy(buf[:], text)
	_, next, ok := scanNumber(buf[:], 0)
	return ok && next == len(text)
}

func (p *parser) name(i int, m member) int {
	e := &p.event
	text, next := p.string(i)
	if next < 0 {
		return -1
	}
	var r reason
	if m == deviceMember {
		e.device, r = p.devices.lookup(text)
	} else {
		e.metric, r = p.metrics.lookup(text)
	}
	if r != accepted {
		e.reject(r, m)
	}
	return next
}

func (p *parser) time(i int) int {
	text, next := p.string(i)
	if next < 0 {
		return -1
	}
	t, r := p.times.parse(text)
	if r != accepted {
		p.event.rejectText(r, timeMember, text)
	}
	p.event.time = t
	return next
}

func (p *parser) timeInteger(i int) int {
	n, next, ok := scanNumber(p.buf, i)
	if c := p.buf[next]; !ok || c != ',' && c != '}' && isWordByte(c) {
		return p.badWord(i)
	}
	micros, ok := n.int64()
	if !ok {
		p.event.rejectText(badTimeInteger, timeMember, p.buf[i:next])
	}
	p.event.time = telemetry.Micros(micros)
	return next
}

func (p *parser) quality(i int) int {
	text, next := p.string(i)
	switch {
	case next < 0:
		return -1
	case string(text) == "good":
		p.event.quality = telemetry.Good
	case string(text) == "uncertain":
		p.event.quality = telemetry.Uncertain
	case string(text) == "bad":
		p.event.quality = telemetry.Bad
	default:
		p.event.reject(badQuality, qualityMember)
	}
	return next
}
