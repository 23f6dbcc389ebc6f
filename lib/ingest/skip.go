package ingest

import (
	"net/http"

	"github.com/insighthub/insighthub/lib/jsonscan"
)

// skip returns the index after the value at i, which may nest to the given depth.
func (p *parser) skip(i, depth int) int {
	switch c := p.buf[i]; c {
	case p.quote:
		_, next := p.string(i)
		return next
	case '{', '[':
		if depth == 0 {
			return p.reject(reject(http.StatusBadRequest, "too-deep",
				"The body nests deeper than %d levels at byte %d%s.", maxDepth, i, p.location()))
		}
		if c == '{' {
			return p.skipObject(i, depth-1)
		}
		return p.skipArray(i, depth-1)
	default:
		return p.word(i)
	}
}

// isWordByte reports whether c belongs to a word: a literal, a number, or what clients
// write in place of one, such as NaN, -inf, 0x1F or 1.#QNAN.
func isWordByte(c byte) bool {
	return c|0x20-'a' < 26 || jsonscan.IsDigit(c) || c == '-' || c == '+' || c == '.' || c == '_' || c == '#'
}

func (p *parser) wordEnd(i int) int {
	for isWordByte(p.buf[i]) {
		i++
	}
	return i
}

// word returns the index after the literal or number at i.
func (p *parser) word(i int) int {
	end := p.wordEnd(i)
	switch string(p.buf[i:end]) {
	case "true", "false", "null":
		return end
	case "":
		return p.fail(i, "a value")
	}
	if _, next, ok := scanNumber(p.buf, i); !ok || next != end {
		return p.badWord(i)
	}
	return end
}

// badWord handles a word at i that is not valid JSON. In an event, where it ends is
// certain: the event is rejected, and its neighbours are not. Python writes NaN so.
func (p *parser) badWord(i int) int {
	end := p.wordEnd(i)
	switch {
	case !p.inEvents:
		return p.fail(i, "a value")
	case end == p.size:
		return p.fail(end, "a value")
	}
	p.event.rejectText(notJSON, p.event.reading, p.buf[i:end])
	return end
}

func (p *parser) skipObject(i, depth int) int {
	i = p.space(i + 1)
	for more := p.buf[i] != '}'; more; {
		_, next := p.string(i)
		if next < 0 {
			return -1
		}
		if i = p.colon(next); i < 0 {
			return -1
		}
		if i = p.skip(i, depth); i < 0 {
			return -1
		}
		if i, more = p.more(i, '}'); i < 0 {
			return -1
		}
	}
	return i + 1
}

func (p *parser) skipArray(i, depth int) int {
	i = p.space(i + 1)
	for more := p.buf[i] != ']'; more; {
		if i = p.skip(i, depth); i < 0 {
			return -1
		}
		if i, more = p.more(i, ']'); i < 0 {
			return -1
		}
	}
	return i + 1
}
