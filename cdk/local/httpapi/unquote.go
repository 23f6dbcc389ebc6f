package httpapi

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"strings"
	"unicode/utf8"
)

// decodeResponse is json.Unmarshal into r, in one look at the body instead of three: it
// reads the body itself and gives encoding/json the rest. Where it is not sure to mean
// the same, encoding/json reads it all.
func decodeResponse(payload []byte, r *response) error {
	begin, end, ok := bodyOf(payload)
	if !ok {
		return json.Unmarshal(payload, r)
	}
	body, ok := unquote(payload[begin:end])
	if !ok {
		return json.Unmarshal(payload, r)
	}
	rest := make([]byte, 0, len(payload)-(end-begin)+len(`""`))
	rest = append(rest, payload[:begin]...)
	rest = append(rest, `""`...)
	rest = append(rest, payload[end:]...)
	if err := json.Unmarshal(rest, r); err != nil {
		return err
	}
	r.Body = body
	return nil
}

// bodyOf finds the text of the only member "body" of the outermost object, quotes
// included. It is not ok where there is none, or a name that may be taken for it.
func bodyOf(payload []byte) (begin, end int, ok bool) {
	depth, isName := 0, false
	for i := 0; i < len(payload); {
		switch payload[i] {
		case '{':
			depth++
			isName = true
		case '[':
			depth++
			isName = false
		case '}', ']':
			depth--
			isName = false
		case ',':
			isName = depth == 1
		case ':':
			isName = false
		case '"':
			length := textLength(payload[i:])
			if length == 0 {
				return 0, 0, false
			}
			text := payload[i : i+length]
			i += length
			if depth != 1 || !isName {
				continue
			}
			if string(text) != `"body"` {
				if bytes.IndexByte(text, '\\') >= 0 || bytes.EqualFold(text, []byte(`"body"`)) {
					return 0, 0, false
				}
				continue
			}
			if ok || i+1 >= len(payload) || payload[i] != ':' || payload[i+1] != '"' {
				return 0, 0, false
			}
			begin = i + 1
			length = textLength(payload[begin:])
			if length == 0 {
				return 0, 0, false
			}
			end, ok = begin+length, true
			i, isName = end, false
			continue
		}
		i++
	}
	return begin, end, ok
}

// textLength is the length of the JSON string with which s begins, quotes included; 0
// when it does not end or holds what it may not.
func textLength(s []byte) int {
	for n := 1; n < len(s); {
		n += plain(s[n:])
		if n >= len(s) || s[n] < ' ' {
			return 0
		}
		if s[n] == '"' {
			return n + 1
		}
		n += 2 // a backslash and what it is for
	}
	return 0
}

// unquote returns what a JSON string that textLength found says.
func unquote(quoted []byte) (string, bool) {
	if !utf8.Valid(quoted) {
		return "", false
	}
	var out strings.Builder
	out.Grow(len(quoted))
	for s := quoted[1 : len(quoted)-1]; len(s) > 0; {
		n := plain(s)
		out.Write(s[:n])
		if s = s[n:]; len(s) == 0 {
			break
		}
		if len(s) < len(`\n`) || s[0] != '\\' {
			return "", false
		}
		switch c := s[1]; c {
		case '"', '\\', '/':
			out.WriteByte(c)
		case 'n':
			out.WriteByte('\n')
		case 'r':
			out.WriteByte('\r')
		case 't':
			out.WriteByte('\t')
		default: // rare, or wrong
			return "", false
		}
		s = s[len(`\n`):]
	}
	return out.String(), true
}

// plain returns how many bytes at the beginning of s are neither a quote nor a
// backslash nor below a blank. It looks at eight at a time.
func plain(s []byte) int {
	const (
		ones  = 0x0101010101010101
		highs = 0x80 * ones
	)
	n := 0
	for ; n+8 <= len(s); n += 8 {
		word := binary.LittleEndian.Uint64(s[n:])
		quote, slash := word^('"'*ones), word^('\\'*ones)
		// The high bit of a byte is set where it is one of those; a borrow may set
		// one too many above that, so that the bytes tell.
		if ((word-' '*ones)&^word|(quote-ones)&^quote|(slash-ones)&^slash)&highs != 0 {
			break
		}
	}
	for ; n < len(s); n++ {
		if c := s[n]; c < ' ' || c == '"' || c == '\\' {
			break
		}
	}
	return n
}
