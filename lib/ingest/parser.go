package ingest

import (
	"bytes"
	"net/http"

	"github.com/insighthub/insighthub/lib/jsonscan"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// maxDepth bounds how deep arrays and objects may nest.
const maxDepth = jsonscan.DefaultMaxDepth

// word is the number of bytes that are looked at in one step; the parser's buffer ends
// with as many zero bytes, which no JSON text holds.
const word = jsonscan.WordBytes

// parser reads a JSON body in one pass. It is reused; it keeps the memory of
// its tables.
type parser struct {
	devices, metrics names
	clock            clockText
	powers           powers
	maxEvents        int
	out              *collector

	// buf holds the body and behind it at least two words more, the first byte
	// of which no JSON text holds: no scan passes the body's end, and no read of
	// a word leaves the buffer.
	buf  []byte
	size int
	// Where the body is read as it stands in the payload, itself escaped as a
	// JSON string, a quote is \": extra is 1, quote is '\\', and the text ends at
	// a '"'. Otherwise extra is 0 and quote is '"'.
	extra  int
	quote  byte
	keys   [memberCount]keyWord
	text   []byte // an unescaped string
	failed *bodyError
	event  event
}

// newParser returns a parser that hands its events to out.
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
	fault          fault
}

// reject notes the first fault of the event.
func (e *event) reject(r reason, m member) {
	if e.fault.reason == accepted {
		e.fault = fault{reason: r, member: m}
	}
}

// parse reads the body buf[:size], behind which padding zero bytes follow. Its
// events go to the collector; what that has received counts only when parse
// returns nil.
func (p *parser) parse(buf []byte, size int) *bodyError {
	p.begin(buf, size, 0)
	if i := p.envelope(p.space(0)); i >= 0 && i != size {
		p.fail(i, "after the document")
	}
	return p.failed
}

// parseEscaped reads the body that is escaped as a JSON string and whose first
// byte is payload[i]. It returns the index of the quote that ends the string,
// or -1: then the body is wrong or of a form that only parse reads (an escape
// sequence other than \"), what the collector has received does not count, and
// the body is to be unescaped and given to parse.
//
// Usually there is no such thing in a body, and that spares a pass over it.
func (p *parser) parseEscaped(payload []byte, i int) (end int) {
	// A quote with no backslash before it ends any scan; words may be read
	// behind it.
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

// fail notes that the body is no JSON text at byte i. It returns -1, which
// every reader below returns in place of the next index once that has happened.
func (p *parser) fail(i int, what string) int {
	if p.failed == nil {
		if i >= p.size {
			p.failed = refuse(http.StatusBadRequest, "not-json", "the body is not JSON: unexpected end at byte %d", p.size)
		} else {
			p.failed = refuse(http.StatusBadRequest, "not-json", "the body is not JSON: byte %d is %q %s", i, p.buf[i:i+1], what)
		}
	}
	return -1
}

func (p *parser) refuse(e *bodyError) int {
	if p.failed == nil {
		p.failed = e
	}
	return -1
}

// space returns the index of the first byte from i on that is no white space.
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
		return p.refuse(badEnvelope("want an object with the member \"events\""))
	}
	seen := false
	i = p.space(i + 1)
	for more := p.buf[i] != '}'; more; {
		key, next := p.string(i)
		if next < 0 {
			return -1
		}
		if string(key) != "events" {
			return p.refuse(badEnvelope("unknown member %q", bytes.ToValidUTF8(key[:min(len(key), maxQuoted)], []byte("\uFFFD"))))
		}
		if seen {
			return p.refuse(badEnvelope("duplicate member \"events\""))
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
		return p.refuse(badEnvelope("member \"events\" is missing"))
	}
	return p.space(i + 1)
}

// colon returns the index of the value after the colon at or after i.
func (p *parser) colon(i int) int {
	if i = p.space(i); p.buf[i] != ':' {
		return p.fail(i, "where ':' is due")
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
		return p.fail(i, "after a value"), false
	}
}

func (p *parser) events(i int) int {
	if p.buf[i] != '[' {
		if i = p.skip(i, maxDepth-1); i < 0 {
			return -1
		}
		return p.refuse(badEnvelope("member \"events\": want an array"))
	}
	count := 0
	i = p.space(i + 1)
	for more := p.buf[i] != ']'; more; {
		if count++; count > p.maxEvents {
			return p.refuse(tooManyEvents(p.maxEvents))
		}
		if i = p.readEvent(i); i < 0 {
			return -1
		}
		if i, more = p.more(i, ']'); i < 0 {
			return -1
		}
	}
	return i + 1
}

// readEvent reads the event at i and hands it to the collector.
func (p *parser) readEvent(i int) int {
	e := &p.event
	*e = event{}
	if p.buf[i] != '{' {
		p.out.reject(fault{reason: notObject})
		return p.skip(i, maxDepth-2)
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
	if e.seen&requiredMembers != requiredMembers {
		absent := requiredMembers &^ e.seen
		e.reject(missing, absent&-absent)
	}
	if e.fault.reason != accepted {
		p.out.reject(e.fault)
	} else {
		p.out.accept(e.device, e.metric, e.time, e.value, e.quality)
	}
	return i + 1
}

// value reads the value at i of member m.
func (p *parser) value(i int, m member) int {
	c := p.buf[i]
	isString, isNumber := c == p.quote, c == '-' || jsonscan.IsDigit(c)
	switch m {
	case deviceMember, metricMember:
		if isString {
			return p.name(i, m)
		}
		p.event.reject(wantString, m)
	case timeMember:
		if isString {
			return p.time(i)
		}
		if isNumber {
			return p.timeInteger(i)
		}
		p.event.reject(wantTime, m)
	case valueMember:
		if isNumber {
			return p.number(i)
		}
		p.event.reject(wantNumber, m)
	case qualityMember:
		if isString {
			return p.quality(i)
		}
		p.event.reject(wantString, m)
	case noMember, requiredMembers: // a fault was noted with the name
	}
	return p.skip(i, maxDepth-3)
}

func (p *parser) number(i int) int {
	n, next, ok := scanNumber(p.buf, i)
	if !ok {
		return p.fail(next, "in a number")
	}
	if p.event.value, ok = p.powers.float(n, p.buf[i:next]); !ok {
		p.event.reject(notFinite, valueMember)
	}
	return next
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
	t, r := p.clock.parse(text)
	if r != accepted {
		p.event.reject(r, timeMember)
	}
	p.event.time = t
	return next
}

func (p *parser) timeInteger(i int) int {
	n, next, ok := scanNumber(p.buf, i)
	if !ok {
		return p.fail(next, "in a number")
	}
	micros, ok := n.int64()
	if !ok {
		p.event.reject(badTimeInteger, timeMember)
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
