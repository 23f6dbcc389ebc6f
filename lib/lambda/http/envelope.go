package http

import (
	"encoding/base64"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/insighthub/insighthub/lib/jsonscan"
)

// envelopeRoom is the usual size of an envelope without its body.
const envelopeRoom = 1 << 10

// envelope returns the response in payload format 2.0. Bodies have up to megabytes of
// text: this encodes them in one pass and one copy, which encoding/json does not.
func (r *recorder) envelope() []byte {
	r = r.complete()
	protect(r.header)
	text := utf8.Valid(r.body)
	room := envelopeRoom + len(r.body) + len(r.body)/8
	if !text {
		room = envelopeRoom + base64.StdEncoding.EncodedLen(len(r.body))
	}
	out := append(make([]byte, 0, room), `{"statusCode":`...)
	out = strconv.AppendInt(out, int64(r.status), 10)
	out = append(out, `,"headers":{`...)
	first := true
	for _, name := range slices.Sorted(maps.Keys(r.header)) {
		if name == cookieHeader {
			continue
		}
		if !first {
			out = append(out, ',')
		}
		first = false
		out = appendText(out, strings.ToLower(name))
		out = append(out, ':')
		out = appendText(out, strings.Join(r.header[name], ","))
	}
	out = append(out, '}')
	if cookies := r.header[cookieHeader]; len(cookies) > 0 {
		out = append(out, `,"cookies":[`...)
		for i, cookie := range cookies {
			if i > 0 {
				out = append(out, ',')
			}
			out = appendText(out, cookie)
		}
		out = append(out, ']')
	}
	out = append(out, `,"body":"`...)
	if text {
		out = appendEscaped(out, r.body)
	} else {
		out = base64.StdEncoding.AppendEncode(out, r.body)
	}
	out = append(out, `","isBase64Encoded":`...)
	return append(strconv.AppendBool(out, !text), '}')
}

const cookieHeader = "Set-Cookie"

// complete returns the response to send: its status defaults to 200, and one that is too
// long is replaced by a problem document.
func (r *recorder) complete() *recorder {
	if r.tooLong {
		r = newRecorder()
		WriteProblem(r, tooLong())
	}
	if r.status == 0 {
		r.status = http.StatusOK
	}
	return r
}

// appendText appends s as a JSON string; each byte that is not valid UTF-8 becomes U+FFFD,
// as in encoding/json.
func appendText(dst []byte, s string) []byte {
	if !utf8.ValidString(s) {
		s = string([]rune(s))
	}
	dst = append(dst, '"')
	dst = appendEscaped(dst, []byte(s))
	return append(dst, '"')
}

// appendEscaped appends valid UTF-8 as the content of a JSON string. It escapes only what
// JSON requires.
func appendEscaped(dst, s []byte) []byte {
	for {
		n := jsonscan.Plain(s)
		dst = append(dst, s[:n]...)
		if n == len(s) {
			return dst
		}
		switch c := s[n]; c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		default:
			const hex = "0123456789abcdef"
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&0xf])
		}
		s = s[n+1:]
	}
}
