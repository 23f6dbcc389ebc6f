package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/insighthub/insighthub/lib/directory"
	lambdahttp "github.com/insighthub/insighthub/lib/lambda/http"
	"github.com/insighthub/insighthub/lib/telemetry"
)

const (
	maxBodyBytes   = 256 << 10
	maxQueryBytes  = 8 << 10
	maxTextBytes   = 1024
	defaultLimit   = 100
	maxLimit       = 1000
	maxCursorBytes = 1024
	maxNesting     = 32
)

// body reads the request's JSON document, which has no unknown members, into v, and then
// checks it.
func (c *call) body(v any, check func(f *fields)) error {
	kind, _, err := mime.ParseMediaType(c.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" {
		return &rejection{status: http.StatusUnsupportedMediaType, detail: "Content-Type must be application/json."}
	}
	raw, err := c.rawBody()
	if err != nil {
		return err
	}
	if err := decode(raw, v); err != nil {
		return err
	}
	var f fields
	check(&f)
	return f.err()
}

func (c *call) rawBody() ([]byte, error) {
	raw, err := io.ReadAll(http.MaxBytesReader(c.w, c.Body, maxBodyBytes))
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, &rejection{
			status: http.StatusRequestEntityTooLarge, detail: fmt.Sprintf("The body is longer than %d bytes.", maxBodyBytes),
		}
	}
	if err != nil {
		return nil, badRequest("The body cannot be read.")
	}
	return raw, nil
}

// decode reads one JSON document without unknown members.
func decode(raw []byte, v any) error {
	if nesting(raw) > maxNesting {
		return badRequest("The body is nested more than %d levels deep.", maxNesting)
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(v); err != nil {
		return badRequest("The body is not valid: %s", sentence(explain(err)))
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return badRequest("The body has more than one JSON document.")
	}
	if err := lambdahttp.Exact(raw, v); err != nil {
		return badRequest("The body is not valid: %s.", err)
	}
	return nil
}

// nesting returns the depth of a document's brackets. The standard decoder recurses up
// to 10,000 levels.
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
		return "unknown member " + printable(name)
	}
	if e, ok := errors.AsType[timeError](err); ok {
		return string(e)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return "the JSON document is not complete"
	}
	return "a member has a wrong form"
}

func jsonKind(kind string) string {
	switch {
	case strings.HasPrefix(kind, "int"), strings.HasPrefix(kind, "uint"), strings.HasPrefix(kind, "float"):
		return "a number"
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

// printable returns a short form of a client's text that a response may hold.
func printable(s string) string {
	if len(s) > 64 {
		s = s[:64] + "…"
	}
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}

// query returns the request's parameters. Each must be known and must not be repeated.
func (c *call) query(known ...string) (url.Values, error) {
	if len(c.URL.RawQuery) > maxQueryBytes {
		return nil, badRequest("The query is longer than %d bytes.", maxQueryBytes)
	}
	values, err := url.ParseQuery(c.URL.RawQuery)
	if err != nil {
		return nil, badRequest("The query is not well formed.")
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		list := values[name]
		if !slices.Contains(known, name) {
			return nil, badRequest("Parameter %q is unknown.", printable(name))
		}
		if len(list) > 1 {
			return nil, badRequest("Parameter %q is repeated.", name)
		}
		if strings.ContainsRune(list[0], 0) || !utf8.ValidString(list[0]) {
			return nil, badRequest("Parameter %q must be UTF-8 without NUL.", name)
		}
	}
	return values, nil
}

// nameParameter reads a name of a gateway, device or metric.
func nameParameter[T ~string](values url.Values, parameter string, required bool) (T, error) {
	name := T(values.Get(parameter))
	if name == "" && !required {
		return name, nil
	}
	if telemetry.ValidName(name) != nil {
		return "", badRequest("Parameter %q must be %s.", parameter, aName)
	}
	return name, nil
}

// pathUUID reads the UUID that a path has at {name}; no resource has any other id.
func pathUUID[T ~string](c *call, name string) (T, error) {
	id := c.PathValue(name)
	if !isUUID(id) {
		return "", telemetry.ErrNotFound
	}
	return T(id), nil
}

// isUUID reports whether s is a UUID in lower case (RFC 9562, 4).
func isUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; i {
		case 8, 13, 18, 23:
			if c != '-' {
				return false
			}
		default:
			if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
				return false
			}
		}
	}
	return true
}

// version reads If-Match, which every change must carry; "*" is any version.
func (c *call) version() (directory.Version, error) {
	text := strings.TrimSpace(c.Header.Get("If-Match"))
	switch text {
	case "":
		return 0, &rejection{
			status: http.StatusPreconditionRequired, detail: "The change requires If-Match: the ETag of the version that it changes, or *.",
		}
	case "*":
		return 0, nil
	}
	inner, ok := strings.CutPrefix(text, `"`)
	inner, ok2 := strings.CutSuffix(inner, `"`)
	n, err := strconv.ParseInt(inner, 10, 64)
	if !ok || !ok2 || err != nil || n < 1 {
		return 0, &rejection{status: http.StatusPreconditionFailed, detail: "If-Match is not an ETag of this resource."}
	}
	return directory.Version(n), nil
}

// fields collects what is wrong with the members of a body.
type fields struct{ problems []string }

// require adds "member: requirement" unless it is met.
func (f *fields) require(met bool, member, requirement string) {
	if !met {
		f.problems = append(f.problems, member+": "+requirement)
	}
}

// text checks a member that people read.
func (f *fields) text(member, value string) {
	f.require(len(value) <= maxTextBytes && utf8.ValidString(value) && !strings.ContainsFunc(value, unicode.IsControl),
		member, fmt.Sprintf("must be at most %d bytes of UTF-8 without control characters", maxTextBytes))
}

// aName says what telemetry.ValidName accepts.
const aName = "1 to 128 bytes of UTF-8 without control characters"

func requireName[T ~string](f *fields, member string, name T) {
	f.require(telemetry.ValidName(name) == nil, member, "must be "+aName)
}

// maxProblems is how many problems of a body a response lists.
const maxProblems = 50

func (f *fields) err() error {
	if len(f.problems) == 0 {
		return nil
	}
	if more := len(f.problems) - maxProblems; more > 0 {
		f.problems = append(f.problems[:maxProblems:maxProblems], fmt.Sprintf("and %d more", more))
	}
	return &rejection{status: http.StatusUnprocessableEntity, detail: strings.Join(f.problems, "; "), fields: f.problems}
}

func marshal(v any) string {
	raw, err := json.Marshal(v)
	if err != nil || v == nil {
		return "{}"
	}
	return string(raw)
}
