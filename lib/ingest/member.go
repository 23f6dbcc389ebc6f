package ingest

import "encoding/binary"

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

// keyWord is the first eight bytes of a member name, quotes included, and the mask of
// the bits to compare.
type keyWord struct {
	word, mask uint64
	member     member
	size       int // with one byte for each quote
}

const memberCount = 5

// keyWords returns the members in the order in which they are usually written;
// quote is the first byte of a closing quote.
func keyWords(quote byte) (keys [memberCount]keyWord) {
	for i := range keys {
		m := deviceMember << i
		name := m.String()
		k := keyWord{member: m, size: len(name) + 2}
		text := append([]byte{'"'}, name...)
		text = append(text, quote)
		for i, c := range text[:min(len(text), word)] {
			k.word |= uint64(c) << (8 * i)
			k.mask |= 0xff << (8 * i)
		}
		keys[i] = k
	}
	return keys
}

// key reads the member name at i. An unknown or repeated name is a fault of the event,
// and is returned as noMember.
func (p *parser) key(i int) (m member, next int) {
	p.event.reading = noMember
	w := binary.LittleEndian.Uint64(p.buf[i+p.extra:])
	for k := range p.keys {
		key := &p.keys[k]
		if w&key.mask != key.word {
			continue
		}
		// Each quote has an extra byte, and "quality" is longer than a word.
		next = i + key.size + 2*p.extra
		if p.buf[i] != p.quote || p.buf[next-1-p.extra] != p.quote || p.buf[next-1] != '"' {
			break
		}
		return p.once(key.member, next)
	}
	m, next = p.otherKey(i)
	if m == noMember {
		return noMember, next
	}
	return p.once(m, next)
}

// once returns m, whose value follows, or noMember if the event has m already.
func (p *parser) once(m member, next int) (member, int) {
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
		p.event.fault = fault{reason: unknownMember, text: quoted(name)}
	}
	return noMember, next
}
