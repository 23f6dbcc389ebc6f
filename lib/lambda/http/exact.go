package http

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/insighthub/insighthub/lib/jsonscan"
)

var (
	errNotUnicode = errors.New("a string is not valid Unicode")
	errRepeated   = errors.New("a member of an object is repeated")
	errNull       = errors.New("it must not be null")
	errRounded    = errors.New("a number cannot be held exactly by a float64: whole numbers are exact up to 9007199254740992 (2^53)")
)

// Exact returns an error for what encoding/json accepts although two decoders may read it
// differently: a repeated member, a member whose name differs from the known one in case,
// null where the field has not the tag nullable, strings that are not valid Unicode, and
// whole numbers that a float64 of v would change. raw is one JSON document that was decoded
// into v. The error's text contains nothing of raw.
//
// API Gateway passes a body of JSON on as text and has replaced invalid UTF-8 by U+FFFD in
// it: names that differ only there would become one. A client that means U+FFFD sends its
// escape sequence.
func Exact(raw []byte, v any) error {
	if !utf8.Valid(raw) || bytes.ContainsRune(raw, utf8.RuneError) || hasUnpairedSurrogate(raw) {
		return errNotUnicode
	}
	// encoding/json has accepted documents of that depth.
	return exactValue(&jsonscan.Scanner{Src: raw, MaxDepth: 10_000}, reflect.TypeOf(v))
}

// hasUnpairedSurrogate reports whether an escape sequence of raw is half of a surrogate pair.
func hasUnpairedSurrogate(raw []byte) bool {
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

// exactValue checks the next value. The type is nil if it is not known.
func exactValue(s *jsonscan.Scanner, t reflect.Type) error {
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t != nil && t.Kind() != reflect.Interface && s.Peek() == 'n' {
		return errNull
	}
	// A type that decodes itself, such as json.RawMessage, also checks itself.
	if t != nil && reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]()) {
		return s.Skip()
	}
	switch first := s.Peek(); first {
	case '{':
		return exactObject(s, t)
	case '[':
		return s.Array(func() error { return exactValue(s, elementOf(t)) })
	default:
		if t != nil && t.Kind() == reflect.Float64 && (first == '-' || jsonscan.IsDigit(first)) {
			return exactNumber(s)
		}
		return s.Skip()
	}
}

// exactNumber checks a number of a float64.
func exactNumber(s *jsonscan.Scanner) error {
	text, err := s.Number()
	if err != nil {
		return err
	}
	f, err := strconv.ParseFloat(string(text), 64)
	if err != nil {
		return err
	}
	if whole := !bytes.ContainsAny(text, ".eE"); math.Abs(f) >= jsonscan.MaxExact && (whole || math.Abs(f) <= 1<<64) &&
		!jsonscan.ExactFloat(f, text) {
		return errRounded
	}
	return nil
}

func exactObject(s *jsonscan.Scanner, t reflect.Type) error {
	var known map[string]member
	if t != nil && t.Kind() == reflect.Struct {
		known = make(map[string]member, t.NumField())
		for _, m := range membersOf(t) {
			known[m.name] = m
		}
	}
	seen := make(map[string]bool)
	return s.Object(func(raw []byte) error {
		name := string(raw)
		if seen[name] {
			return errRepeated
		}
		seen[name] = true
		m, found := known[name]
		if known != nil && !found {
			return unknownMember(name, known)
		}
		inner := m.kind
		if known == nil {
			inner = elementOf(t)
		}
		if m.nullable && s.Peek() == 'n' {
			return s.Skip()
		}
		err := exactValue(s, inner)
		if (errors.Is(err, errRounded) || errors.Is(err, errNull)) && found { // the name is one of v
			return fmt.Errorf("member %q: %w", name, err)
		}
		return err
	})
}

// unknownMember returns the error of a member that v has not, and names the member that
// differs in case only.
func unknownMember(name string, known map[string]member) error {
	for k := range known {
		if strings.EqualFold(k, name) {
			return fmt.Errorf("unknown member: names are case-sensitive, want %q", k)
		}
	}
	return errors.New("unknown member")
}

// elementOf returns the type of the elements of t, or nil.
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

// member is a member of a JSON object that is decoded into a struct.
type member struct {
	name string
	kind reflect.Type
	// nullable and required are tags of the field.
	nullable, required bool
}

// membersOf returns the members of a struct in the order of its fields, those of embedded
// structs included.
func membersOf(t reflect.Type) (members []member) {
	for field := range t.Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if name == "-" {
			continue
		}
		if field.Anonymous && name == "" && field.Type.Kind() == reflect.Struct {
			members = append(members, membersOf(field.Type)...)
			continue
		}
		m := member{name: name, kind: field.Type}
		if name == "" {
			m.name = field.Name
		}
		_, m.nullable = field.Tag.Lookup("nullable")
		_, m.required = field.Tag.Lookup("required")
		members = append(members, m)
	}
	return members
}
