package ingest

import (
	"encoding/binary"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/insighthub/insighthub/lib/jsonscan"
)

// string reads the string at i. The text is valid until the next call. It may contain
// invalid UTF-8, also in place of an unpaired surrogate (see stringSlow); checkName
// rejects that.
func (p *parser) string(i int) (text []byte, next int) {
	if p.buf[i] != p.quote || p.buf[i+p.extra] != '"' {
		return nil, p.fail(i, "a string")
	}
	start := i + 1 + p.extra
	for i = start; ; i += word {
		if mask := jsonscan.Special(binary.LittleEndian.Uint64(p.buf[i:])); mask != 0 {
			i += jsonscan.First(mask)
			break
		}
	}
	if p.buf[i] == p.quote && p.buf[i+p.extra] == '"' {
		return p.buf[start:i], i + 1 + p.extra
	}
	return p.stringSlow(start, i)
}

// stringSlow continues at i, a special byte, with the string whose first byte is at
// start. UTF-8 cannot encode an unpaired surrogate; the text gets the three bytes that it
// would have, which are not valid UTF-8, so that it is rejected as such.
func (p *parser) stringSlow(start, i int) (text []byte, next int) {
	text = p.text[:0]
	for {
		switch c := p.buf[i]; {
		case c == p.quote && p.buf[i+p.extra] == '"':
			if len(text) == 0 {
				return p.buf[start:i], i + 1 + p.extra
			}
			text = append(text, p.buf[start:i]...)
			p.text = text
			return text, i + 1
		case c < ' ' || p.extra > 0 && (c == '\\' || c == '"'):
			return nil, p.fail(i, "a character of a string")
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

// escape appends the value of the escape sequence at i.
func (p *parser) escape(text []byte, i int) (out []byte, next int) {
	r, next := jsonscan.Escape(p.buf[:p.size], i)
	switch {
	case next >= 0 && utf16.IsSurrogate(r):
		return append(text, 0xed, 0xa0|byte(r>>6&0x1f), 0x80|byte(r&0x3f)), next
	case next >= 0:
		return utf8.AppendRune(text, r), next
	case p.buf[i+1] != 'u':
		return nil, p.fail(i+1, "an escape sequence")
	}
	for i += 2; i < p.size && isHex(p.buf[i]); {
		i++
	}
	return nil, p.fail(i, "a hexadecimal digit")
}

func isHex(c byte) bool { return jsonscan.IsDigit(c) || c|0x20-'a' < 6 }
