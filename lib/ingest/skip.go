package ingest

import (
	"net/http"

	"github.com/insighthub/insighthub/lib/jsonscan"
)

// skip returns the index after the value at i, which may nest to the given depth.
func (p *parser) skip(i, depth int) int {
	switch c := p.buf[i]; {
	case c == p.quote:
		_, next := p.string(i)
		return next
	case c == '{' || c == '[':
		if depth == 0 {
			return p.reject(reject(http.StatusBadRequest, "too-deep",
				"The body nests deeper than %d levels at byte %d%s.", maxDepth, i, p.location()))
		}
		if c == '{' {
			return p.skipObject(i, depth-1)
		}
		return p.skipArray(i, depth-1)
	case c == 't':
		return p.literal(i, "true")
	case c == 'f':
		return p.literal(i, "false")
	case c == 'n':
		return p.literal(i, "null")
	case c == '-' || jsonscan.IsDigit(c):
		_, next, ok := scanNumber(p.buf, i)
		if !ok {
			return p.fail(next, "a digit")
		}
		return next
	default:
		return p.fail(i, "a value")
	}
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

func (p *parser) literal(i int, text string) int {
	for j := range len(text) {
		if p.buf[i+j] != text[j] {
			return p.fail(i+j, text)
		}
	}
	return i + len(text)
}
