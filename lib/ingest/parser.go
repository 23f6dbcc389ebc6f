package ingest

import (
	"bytes"
	"encoding/binary"
	"net/http"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// maxDepth bounds how deep arrays and objects may nest.
const maxDepth = 64

// member is a member of an event.
type member uint8

const (
	deviceMember member = 1 << iota
	metricMember
	timeMember
	valueMember
	qualityMember

	noMember        member = 0
	requiredMembers        = deviceMember | metricMember | timeMember | valueMember
)

func (m member) String() string {
	switch m {
	case deviceMember:
		return "device"
	case metricMember:
		return "metric"
	case timeMember:
		return "time"
	case valueMember:
		return "value"
	case qualityMember:
		return "quality"
	default:
		return ""
	}
}

// parser reads a JSON body in one pass. It is reused; it keeps the memory of
// its tables.
type parser struct {
	devices, metrics names
	clock            clockText
	powers           powers
	maxEvents        int
	out              *collector

	// buf is the body and then at least two words of zero bytes: no read of a
	// word leaves the buffer, and no scan passes the body's end, since no JSON
	// text holds a zero byte.
	buf    []byte
	size   int
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

// parse reads the body buf[:size], whose events go to the collector. What the
// collector has received counts only when parse returns nil.
func (p *parser) parse(buf []byte, size int) *bodyError {
	p.buf, p.size, p.failed = buf, size, nil
	p.devices.reset()
	p.metrics.reset()
	if i := p.envelope(p.space(0)); i >= 0 && i != size {
		p.fail(i, "after the document")
	}
	return p.failed
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
	for p.buf[i] <= ' ' && isSpace(p.buf[i]) {
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

// The first eight bytes of each member's name with its quotes.
const (
	deviceKey  = '"' | 'd'<<8 | 'e'<<16 | 'v'<<24 | 'i'<<32 | 'c'<<40 | 'e'<<48 | '"'<<56
	metricKey  = '"' | 'm'<<8 | 'e'<<16 | 't'<<24 | 'r'<<32 | 'i'<<40 | 'c'<<48 | '"'<<56
	timeKey    = '"' | 't'<<8 | 'i'<<16 | 'm'<<24 | 'e'<<32 | '"'<<40
	valueKey   = '"' | 'v'<<8 | 'a'<<16 | 'l'<<24 | 'u'<<32 | 'e'<<40 | '"'<<48
	qualityKey = '"' | 'q'<<8 | 'u'<<16 | 'a'<<24 | 'l'<<32 | 'i'<<40 | 't'<<48 | 'y'<<56

	timeKeyMask  = 1<<48 - 1
	valueKeyMask = 1<<56 - 1
)

// key reads the member name at i. A name that the format has not, and one that
// the event had before, is noted and returned as noMember.
func (p *parser) key(i int) (m member, next int) {
	w := binary.LittleEndian.Uint64(p.buf[i:])
	switch {
	case w == deviceKey:
		m, next = deviceMember, i+8
	case w == metricKey:
		m, next = metricMember, i+8
	case w&timeKeyMask == timeKey:
		m, next = timeMember, i+6
	case w&valueKeyMask == valueKey:
		m, next = valueMember, i+7
	case w == qualityKey && p.buf[i+8] == '"':
		m, next = qualityMember, i+9
	default:
		if m, next = p.otherKey(i); m == noMember {
			return noMember, next
		}
	}
	if p.event.seen&m != 0 {
		p.event.reject(duplicateMember, m)
		return noMember, next
	}
	p.event.seen |= m
	return m, next
}

// otherKey reads a member name that has escapes or is unknown.
func (p *parser) otherKey(i int) (m member, next int) {
	name, next := p.string(i)
	if next < 0 {
		return noMember, -1
	}
	for m := deviceMember; m <= qualityMember; m <<= 1 {
		if string(name) == m.String() {
			return m, next
		}
	}
	if p.event.fault.reason == accepted {
		p.event.fault = fault{reason: unknownMember, name: bytes.Clone(name[:min(len(name), maxQuoted)])}
	}
	return noMember, next
}

// value reads the value at i of member m.
func (p *parser) value(i int, m member) int {
	e := &p.event
	c := p.buf[i]
	switch m {
	case deviceMember, metricMember:
		if c != '"' {
			e.reject(wantString, m)
			break
		}
		return p.name(i, m)
	case timeMember:
		if c == '"' {
			return p.time(i)
		}
		if c != '-' && !isDigit(c) {
			e.reject(wantTime, m)
			break
		}
		return p.timeInteger(i)
	case valueMember:
		if c != '-' && !isDigit(c) {
			e.reject(wantNumber, m)
			break
		}
		n, next, ok := scanNumber(p.buf, i)
		if !ok {
			return p.fail(next, "in a number")
		}
		if e.value, ok = p.powers.float(n, p.buf[i:next]); !ok {
			e.reject(notFinite, m)
		}
		return next
	case qualityMember:
		if c != '"' {
			e.reject(wantString, m)
			break
		}
		return p.quality(i)
	}
	return p.skip(i, maxDepth-3)
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

// string reads the string at i. The text is valid until the next call; it may
// hold invalid UTF-8, which a name's check then finds, and stands with U+FFFD
// for an unpaired surrogate, see stringSlow.
func (p *parser) string(i int) (text []byte, next int) {
	if p.buf[i] != '"' {
		return nil, p.fail(i, "where '\"' is due")
	}
	start := i + 1
	for i = start; ; i += word {
		if mask := notPlain(binary.LittleEndian.Uint64(p.buf[i:])); mask != 0 {
			i += first(mask)
			break
		}
	}
	if p.buf[i] == '"' {
		return p.buf[start:i], i + 1
	}
	return p.stringSlow(start, i)
}

// stringSlow goes on at i, which is not plain, with the string whose first
// byte is at start. An unpaired surrogate has no form in UTF-8; it is put into
// the text as the three bytes that it would have, which are invalid as UTF-8,
// so that it is rejected as such.
func (p *parser) stringSlow(start, i int) (text []byte, next int) {
	text = p.text[:0]
	for {
		switch c := p.buf[i]; {
		case c == '"':
			if len(text) == 0 {
				return p.buf[start:i], i + 1
			}
			text = append(text, p.buf[start:i]...)
			p.text = text
			return text, i + 1
		case c < ' ':
			return nil, p.fail(i, "in a string")
		case c != '\\':
			i++
		default:
			text = append(text, p.buf[start:i]...)
			if text, i = p.escape(text, i); i < 0 {
				return nil, -1
			}
			start = i
		}
	}
}

// escape appends what the escape sequence at i stands for.
func (p *parser) escape(text []byte, i int) (out []byte, next int) {
	if p.buf[i+1] == 'u' {
		r, next := unescapeRune(p.buf[:p.size], i)
		if next < 0 {
			j := i + 2
			for j < p.size && isHex(p.buf[j]) {
				j++
			}
			return nil, p.fail(j, "in an escape sequence")
		}
		if first := hex4(p.buf, i+2); utf16.IsSurrogate(first) && next == i+6 {
			return append(text, 0xed, 0xa0|byte(first>>6&0x1f), 0x80|byte(first&0x3f)), next
		}
		return utf8.AppendRune(text, r), next
	}
	var one [utf8.UTFMax]byte
	size, next := unescapeOne(one[:], p.buf[:p.size], i)
	if next < 0 {
		return nil, p.fail(i+1, "in an escape sequence")
	}
	return append(text, one[:size]...), next
}

func isHex(c byte) bool { return isDigit(c) || c|0x20-'a' < 6 }
