package httpapi

import (
	"encoding/json"
	"strings"
	"unicode/utf8"
	"unsafe"

	"github.com/insighthub/insighthub/lib/jsonscan"
)

// decodeResponse is json.Unmarshal into r, faster for long bodies: it decodes the body
// itself and leaves the rest to encoding/json. Where the two could differ, encoding/json
// decodes all of it.
func decodeResponse(payload []byte, r *response) error {
	begin, end, ok := bodyOf(payload)
	if !ok || !utf8.Valid(payload[begin:end]) {
		return json.Unmarshal(payload, r)
	}
	body, next := jsonscan.Unescape(nil, payload, begin+1)
	if next != end {
		return json.Unmarshal(payload, r)
	}
	rest := make([]byte, 0, len(payload)-(end-begin)+len(`""`))
	rest = append(rest, payload[:begin]...)
	rest = append(rest, `""`...)
	rest = append(rest, payload[end:]...)
	if err := json.Unmarshal(rest, r); err != nil {
		return err
	}
	r.Body = unsafe.String(unsafe.SliceData(body), len(body)) //nolint:gosec // body is not used otherwise
	return nil
}

// bodyOf finds the text of the only member "body" of the outermost object, quotes
// included. It is not ok if there is none, or another member that encoding/json would
// decode as the body.
func bodyOf(payload []byte) (begin, end int, ok bool) {
	s := jsonscan.Scanner{Src: payload}
	err := s.Object(func(name []byte) error {
		if !strings.EqualFold(string(name), "body") {
			return s.Skip()
		}
		if ok || string(name) != "body" || s.Peek() != '"' {
			return jsonscan.Error("not the only body")
		}
		begin = s.Pos
		err := s.Skip()
		end, ok = s.Pos, true
		return err
	})
	return begin, end, ok && err == nil
}
