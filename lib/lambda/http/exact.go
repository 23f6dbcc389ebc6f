package http

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/insighthub/insighthub/lib/jsonscan"
)

var (
	errNoUnicode = errors.New("a text is not Unicode")
	errTwice     = errors.New("a member stands twice in an object")
)

// Exact reports what encoding/json lets pass although two readers may understand
// it differently: a member that stands twice, or whose case is not that of the
// known one, and texts that are not Unicode. raw is one JSON document that was
// decoded into v. The error's text holds nothing of raw.
//
// API Gateway hands a body of JSON over as text: bytes that are not UTF-8 are U+FFFD
// by then, and names that differ there would be one. Who means that
// character writes its escape.
func Exact(raw []byte, v any) error {
	if !utf8.Valid(raw) || bytes.ContainsRune(raw, utf8.RuneError) || halfPair(raw) {
		return errNoUnicode
	}
	// The nesting that encoding/json has let pass.
	return exactValue(&jsonscan.Scanner{Src: raw, MaxDepth: 10_000}, reflect.TypeOf(v))
}

// halfPair reports whether an escape of a valid document is half of a surrogate pair.
func halfPair(raw []byte) bool {
	for i := 0; ; {
		n := bytes.IndexByte(raw[i:], '\\')
		if n < 0 {
			return false
		}
		r, next := jsonscan.Escape(raw, i+n)
		if next < 0 || utf16.IsSurrogate(r) {
			return true
		}
		i = next
	}
}

// exactValue looks at the next value. Of type nil nothing is known.
func exactValue(s *jsonscan.Scanner, t reflect.Type) error {
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	// What reads itself, json.RawMessage among others, says what is exact there.
	if t != nil && reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]()) {
		return s.Skip()
	}
	switch s.Peek() {
	case '{':
		return exactObject(s, t)
	case '[':
		return s.Array(func() error { return exactValue(s, elementOf(t)) })
	default:
		return s.Skip()
	}
}

func exactObject(s *jsonscan.Scanner, t reflect.Type) error {
	var known map[string]reflect.Type
	if t != nil && t.Kind() == reflect.Struct {
		known = make(map[string]reflect.Type, t.NumField())
		membersOf(t, known)
	}
	seen := make(map[string]bool)
	return s.Object(func(raw []byte) error {
		name := string(raw)
		if seen[name] {
			return errTwice
		}
		seen[name] = true
		inner, found := known[name]
		if known != nil && !found {
			return otherCase(name, known)
		}
		if known == nil {
			inner = elementOf(t)
		}
		return exactValue(s, inner)
	})
}

func otherCase(name string, known map[string]reflect.Type) error {
	for k := range known {
		if strings.EqualFold(k, name) {
			return fmt.Errorf("unknown member: want %q in this case", k)
		}
	}
	return errors.New("unknown member")
}

// elementOf returns the type of what arrays and objects of type t hold, or nil.
func elementOf(t reflect.Type) reflect.Type {
	if t == nil {
		return nil
	}
	switch t.Kind() {
	case reflect.Map, reflect.Slice, reflect.Array:
		return t.Elem()
	default:
		return nil
	}
}

// membersOf adds the names and types of a struct's members to known, those of
// embedded structs included.
func membersOf(t reflect.Type, known map[string]reflect.Type) {
	for field := range t.Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		switch {
		case name == "-":
		case field.Anonymous && name == "" && field.Type.Kind() == reflect.Struct:
			membersOf(field.Type, known)
		case name == "":
			known[field.Name] = field.Type
		default:
			known[name] = field.Type
		}
	}
}
