package http

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"reflect"
	"strings"
)

// maxNesting bounds the depth of a body. The standard decoder recurses up to 10,000 levels.
const maxNesting = 32

// MemberError says what is wrong with a member whose type decodes itself: a text for the
// client that names the member.
type MemberError string

// Error implements error.
func (e MemberError) Error() string { return string(e) }

// ReadJSON reads the request's JSON object of at most maxBytes into v, a pointer to a
// struct. An error is a *Rejection.
//
// The rule is the same for every operation: no member is unknown, repeated, null unless the
// field has the tag nullable, or missing if the field has the tag required. In the body of
// a PUT, which replaces, no member is missing at all: one that was forgotten would be
// removed.
func ReadJSON(w http.ResponseWriter, r *http.Request, v any, maxBytes int64) error {
	if err := WantType(r, "application/json"); err != nil {
		return err
	}
	raw, err := ReadBody(w, r, maxBytes)
	if err != nil {
		return err
	}
	return Decode(raw, v, r.Method == http.MethodPut)
}

// WantType checks that a body has a media type, is UTF-8 and is not compressed. An error is
// a *Rejection.
func WantType(r *http.Request, want string) error {
	kind, parameters, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != want {
		return &Rejection{Status: http.StatusUnsupportedMediaType, Detail: "Content-Type must be " + want + "."}
	}
	if charset, ok := parameters["charset"]; ok && !strings.EqualFold(charset, "utf-8") {
		return &Rejection{Status: http.StatusUnsupportedMediaType, Detail: "The charset of Content-Type must be utf-8, or missing."}
	}
	if encoding := r.Header.Get("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		const detail = "The body must not be compressed: Content-Encoding is not supported."
		return &Rejection{Status: http.StatusUnsupportedMediaType, Detail: detail}
	}
	return nil
}

// ReadBody reads a body of at most maxBytes.
func ReadBody(w http.ResponseWriter, r *http.Request, maxBytes int64) ([]byte, error) {
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBytes))
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, &Rejection{
			Status: http.StatusRequestEntityTooLarge, Detail: fmt.Sprintf("The body is longer than %d bytes.", maxBytes),
		}
	}
	if err != nil {
		return nil, BadRequest("The body cannot be read.")
	}
	return raw, nil
}

// Decode is ReadJSON of a body; whole says that it replaces what is stored.
func Decode(raw []byte, v any, whole bool) error {
	if nesting(raw) > maxNesting {
		return BadRequest("The body is nested more than %d levels deep.", maxNesting)
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(v); err != nil {
		return BadRequest("The body is not valid: %s", Sentence(explain(err)))
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return BadRequest("The body has more than one JSON document.")
	}
	if bytes.TrimSpace(raw)[0] != '{' { // null, which encoding/json accepts for anything
		return BadRequest("The body is not valid: it must be an object.")
	}
	if err := Exact(raw, v); err != nil {
		return BadRequest("The body is not valid: %s.", err)
	}
	return missing(raw, v, whole)
}

// missing returns the Rejection of a body without a member that it must have.
func missing(raw []byte, v any, whole bool) error {
	var present map[string]json.RawMessage
	if err := json.Unmarshal(raw, &present); err != nil {
		return BadRequest("The body is not valid: %s", Sentence(explain(err)))
	}
	var problems []string
	for _, m := range membersOf(reflect.TypeOf(v).Elem()) {
		if _, there := present[m.name]; !there && (whole || m.required) {
			problems = append(problems, m.name+": is missing")
		}
	}
	if len(problems) == 0 {
		return nil
	}
	detail := strings.Join(problems, "; ")
	if whole {
		detail += ". PUT replaces the resource, so its body has every member."
	}
	return &Rejection{Status: http.StatusUnprocessableEntity, Detail: detail, Members: problems}
}

// nesting returns the depth of a document's brackets.
func nesting(raw []byte) (deepest int) {
	depth, text := 0, false
	for i := 0; i < len(raw); i++ {
		switch b := raw[i]; {
		case text && b == '\\':
			i++
		case b == '"':
			text = !text
		case text:
		case b == '{' || b == '[':
			depth++
			deepest = max(deepest, depth)
		case b == '}' || b == ']':
			depth--
		}
	}
	return deepest
}

// explain says what a decoder rejected without quoting the values that it read.
func explain(err error) string {
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		kind := jsonKind(e.Type.Kind().String())
		if e.Field == "" {
			return "it must be " + kind
		}
		return fmt.Sprintf("member %q must be %s", e.Field, kind)
	}
	if e, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Sprintf("not valid JSON at byte %d", e.Offset)
	}
	if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		return "unknown member " + Printable(name)
	}
	if e, ok := errors.AsType[MemberError](err); ok {
		return string(e)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return "the JSON document is not complete"
	}
	return "a member has a wrong form"
}

func jsonKind(kind string) string {
	switch {
	case strings.HasPrefix(kind, "int"), strings.HasPrefix(kind, "uint"):
		return "a whole number, without a fraction or an exponent"
	case strings.HasPrefix(kind, "float"):
		return "a number that a float64 can hold"
	case kind == "bool":
		return "true or false"
	case kind == "slice":
		return "an array"
	case kind == "map", kind == "struct":
		return "an object"
	default:
		return "a " + kind
	}
}

// Sentence ends a problem that may be a question.
func Sentence(problem string) string {
	if strings.HasSuffix(problem, "?") {
		return problem
	}
	return problem + "."
}
