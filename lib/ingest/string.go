package ingest

import (
	"encoding/binary"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/insighthub/insighthub/lib/jsonscan"
)

// string reads the string at i. The text is valid until the next call; it may
// hold invalid UTF-8, which a name's check then finds, and stands with U+FFFD
// for an unpaired surrogate, see stringSlow.
func (p *parser) string(i int) (text []byte, next int) {
	if p.buf[i] != p.quote || p.buf[i+p.extra] != '"' {
		return nil, p.fail(i, "where '\"' is due")
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

// stringSlow goes on at i, which is not plain, with the string whose first
// byte is at start. An unpaired surrogate has no form in UTF-8; it is put into
// the text as the three bytes that it would have, which are invalid as UTF-8,
// so that it is rejected as such.
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
	r, next := jsonscan.Escape(p.buf[:p.size], i)
	switch {
	case next >= 0 && utf16.IsSurrogate(r):
		return append(text, 0xed, 0xa0|byte(r>>6&0x1f), 0x80|byte(r&0x3f)), next
	case next >= 0:
		return utf8.AppendRune(text, r), next
	case p.buf[i+1] != 'u':
		return nil, p.fail(i+1, "in an escape sequence")
	}
	for i += 2; i < p.size && isHex(p.buf[i]); {
		i++
	}
	return nil, p.fail(i, "in an escape sequence")
}

func isHex(c byte) bool { return jsonscan.IsDigit(c) || c|0x20-'a' < 6 }
