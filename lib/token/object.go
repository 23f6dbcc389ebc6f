package token

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"
)

// object is a JSON object whose member names are exact and unique. The standard decoder
// accepts the last of two members and matches "ISS" to "iss"; then two parsers could read
// one token differently (RFC 8725, 2.4 and 3.1).
type object map[string]json.RawMessage

const (
	maxDepth   = 8
	maxMembers = 256 // of one object
)

// readObject parses an object without repeated members at any depth. The values are slices
// of data.
func readObject(data []byte) (object, error) {
	if !utf8.Valid(data) || !json.Valid(data) {
		return nil, reject(notJSON)
	}
	w := walk{data: data}
	w.space()
	if w.data[w.at] != '{' {
		return nil, reject(notObject)
	}
	members := make(object)
	if err := w.object(1, members); err != nil {
		return nil, err
	}
	return members, nil
}

// walk is a cursor in valid JSON: it only checks the depth and the number of members.
type walk struct {
	data []byte
	at   int
}

func (w *walk) space() {
	for w.at < len(w.data) {
		switch w.data[w.at] {
		case ' ', '\t', '\r', '\n':
			w.at++
		default:
			return
		}
	}
}

// object reads the object at the cursor into members.
func (w *walk) object(depth int, members object) error {
	for w.at++; ; w.at++ { // past { or ,
		w.space()
		if w.data[w.at] == '}' {
			w.at++
			return nil
		}
		name, err := w.name()
		if err != nil {
			return err
		}
		w.space()
		w.at++ // :
		w.space()
		start := w.at
		if err := w.value(depth); err != nil {
			return err
		}
		if _, twice := members[name]; twice {
			return reject(repeatedMember)
		}
		if len(members) == maxMembers {
			return reject(tooManyMembers, maxMembers)
		}
		members[name] = w.data[start:w.at]
		w.space()
		if w.data[w.at] == '}' {
			w.at++
			return nil
		}
	}
}

// name reads a member's name and unescapes it.
func (w *walk) name() (string, error) {
	start := w.at
	escaped := w.text()
	raw := w.data[start:w.at]
	if !escaped {
		return string(raw[1 : len(raw)-1]), nil
	}
	var name string
	if err := json.Unmarshal(raw, &name); err != nil {
		return "", reject(memberNameNotString)
	}
	return name, nil
}

// text moves past the string at the cursor and reports whether it holds escapes.
func (w *walk) text() (escaped bool) {
	for w.at++; w.data[w.at] != '"'; w.at++ {
		if w.data[w.at] == '\\' {
			w.at++
			escaped = true
		}
	}
	w.at++
	return escaped
}

// value moves past the value at the cursor, which is nested in depth objects or arrays.
func (w *walk) value(depth int) error {
	switch w.data[w.at] {
	case '"':
		w.text()
		return nil
	case '{', '[':
		if depth == maxDepth {
			return reject(tooDeep, maxDepth)
		}
		if w.data[w.at] == '{' {
			return w.object(depth+1, make(object))
		}
		return w.array(depth + 1)
	default:
		for w.at < len(w.data) && !ends(w.data[w.at]) {
			w.at++
		}
		return nil
	}
}

func (w *walk) array(depth int) error {
	for w.at++; ; w.at++ { // past [ or ,
		w.space()
		if w.data[w.at] == ']' {
			w.at++
			return nil
		}
		if err := w.value(depth); err != nil {
			return err
		}
		w.space()
		if w.data[w.at] == ']' {
			w.at++
			return nil
		}
	}
}

// ends reports whether c ends a number, true, false or null.
func ends(c byte) bool {
	switch c {
	case ',', '}', ']', ' ', '\t', '\r', '\n':
		return true
	default:
		return false
	}
}

// text returns a member that must be a string.
func (o object) text(name string) (string, error) {
	raw, ok := o[name]
	if !ok {
		return "", reject(missingMember, name)
	}
	if len(raw) >= 2 && raw[0] == '"' {
		if bytes.IndexByte(raw, '\\') >= 0 {
			return unescape(raw)
		}
		return string(raw[1 : len(raw)-1]), nil
	}
	return "", reject(memberNotString, name)
}

func unescape(raw []byte) (string, error) {
	var s string
	if err := json.Unmarshal(raw, &s); err != nil {
		return "", reject(notString)
	}
	return s, nil
}
