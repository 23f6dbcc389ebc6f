package api

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/insighthub/insighthub/lib/directory"
	lambdahttp "github.com/insighthub/insighthub/lib/lambda/http"
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

// body reads the request's JSON document into v: one document, of known members.
func (c *call) body(v any) error {
	kind, _, err := mime.ParseMediaType(c.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" {
		return &wrong{status: http.StatusUnsupportedMediaType, text: "want Content-Type application/json"}
	}
	raw, err := io.ReadAll(http.MaxBytesReader(c.w, c.Body, maxBodyBytes))
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return &wrong{status: http.StatusRequestEntityTooLarge, text: fmt.Sprintf("the body exceeds %d bytes", maxBodyBytes)}
	}
	if err != nil {
		return badRequest("the body can not be read")
	}
	return decode(raw, v)
}

// decode reads one JSON document of known members.
func decode(raw []byte, v any) error {
	if nesting(raw) > maxNesting {
		return badRequest("the body is nested more than %d deep", maxNesting)
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(v); err != nil {
		return badRequest("the body is not what is wanted here: %s", explain(err))
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return badRequest("something follows the JSON document")
	}
	if err := lambdahttp.Exact(raw, v); err != nil {
		return badRequest("the body is not what is wanted here: %s", err)
	}
	return nil
}

// nesting returns the depth of a document's brackets, which the standard decoder
// follows to 10,000.
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

// explain says what a decoder did not like without quoting what it read.
func explain(err error) string {
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		if e.Field == "" {
			return "want " + jsonKind(e.Type.Kind().String())
		}
		return fmt.Sprintf("member %q: want %s", e.Field, jsonKind(e.Type.Kind().String()))
	}
	if e, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Sprintf("no JSON at byte %d", e.Offset)
	}
	if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		return "unknown member " + printable(name)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return "it ends too early"
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

// printable makes what a stranger sent fit for an answer.
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

// query returns the request's parameters, each once and of a known name.
func (c *call) query(known ...string) (url.Values, error) {
	if len(c.URL.RawQuery) > maxQueryBytes {
		return nil, badRequest("the query exceeds %d bytes", maxQueryBytes)
	}
	values, err := url.ParseQuery(c.URL.RawQuery)
	if err != nil {
		return nil, badRequest("the query is not well formed")
	}
	for name, list := range values {
		found := false
		for _, k := range known {
			found = found || k == name
		}
		if !found {
			return nil, badRequest("unknown parameter %q", printable(name))
		}
		if len(list) > 1 {
			return nil, badRequest("parameter %s stands more than once", name)
		}
		if strings.ContainsRune(list[0], 0) || !utf8.ValidString(list[0]) {
			return nil, badRequest("parameter %s is no text", name)
		}
	}
	return values, nil
}

// page reads the parameters limit and cursor of a list.
func page(values url.Values, list string) (directory.Page, error) {
	p := directory.Page{Limit: defaultLimit}
	if text := values.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxLimit {
			return p, badRequest("parameter limit: want 1 to %d", maxLimit)
		}
		p.Limit = n
	}
	if text := values.Get("cursor"); text != "" {
		after, err := readCursor(text, list)
		if err != nil {
			return p, err
		}
		p.After = after
	}
	return p, nil
}

// A cursor is the list's name and the key of the last entry that was seen. It opens
// nothing: the caller's rights are checked on each page, and the list is part of the
// path and so of what they are checked against.
func cursor(list, last string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(list + "\x00" + last))
}

func readCursor(text, list string) (string, error) {
	if len(text) > maxCursorBytes {
		return "", badRequest("parameter cursor: not one of this list")
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || !utf8.Valid(raw) {
		return "", badRequest("parameter cursor: not one of this list")
	}
	name, last, ok := strings.Cut(string(raw), "\x00")
	if !ok || name != list || last == "" || strings.ContainsRune(last, 0) {
		return "", badRequest("parameter cursor: not one of this list")
	}
	return last, nil
}

// page reads the parameters of a list that has no others.
func (c *call) page(list string) (directory.Page, error) {
	values, err := c.query("limit", "cursor")
	if err != nil {
		return directory.Page{}, err
	}
	return page(values, list)
}

// answerPage writes what was found of a list: each entry as a document, and where to go
// on when there may be more. key is what the list is ordered by.
func answerPage[T, D any](c *call, list string, p directory.Page, found []T, document func(T) D, key func(T) string) error {
	items := make([]D, len(found))
	for i, entry := range found {
		items[i] = document(entry)
	}
	next := ""
	if len(found) > 0 && len(found) == p.Limit {
		next = key(found[len(found)-1])
	}
	return c.answerList(list, items, next)
}

// answerList writes a page. next is the key of the last entry when more may follow.
func (c *call) answerList(list string, items any, next string) error {
	answer := struct {
		Items any    `json:"items"`
		Next  string `json:"next_cursor,omitempty"`
	}{Items: items}
	if next != "" {
		answer.Next = cursor(list, next)
	}
	return lambdahttp.WriteJSON(c.w, http.StatusOK, answer)
}

// answer writes v with its version as ETag.
func (c *call) answer(status int, v any, version directory.Version) error {
	c.w.Header().Set("ETag", etag(version))
	c.w.Header().Set("Cache-Control", "no-store")
	return lambdahttp.WriteJSON(c.w, status, v)
}

func etag(v directory.Version) string { return `"` + strconv.FormatInt(int64(v), 10) + `"` }

// version reads If-Match, which a change has to carry: "*" for any version.
func (c *call) version() (directory.Version, error) {
	text := strings.TrimSpace(c.Header.Get("If-Match"))
	switch text {
	case "":
		return 0, &stale{http.StatusPreconditionRequired, "want If-Match with the ETag of what is changed, or *"}
	case "*":
		return 0, nil
	}
	inner, ok := strings.CutPrefix(text, `"`)
	inner, ok2 := strings.CutSuffix(inner, `"`)
	n, err := strconv.ParseInt(inner, 10, 64)
	if !ok || !ok2 || err != nil || n < 1 {
		return 0, &stale{http.StatusPreconditionFailed, "If-Match is no ETag of this resource"}
	}
	return directory.Version(n), nil
}

// changed turns the conflict of a version into its answer.
func changed(err error) error {
	if errors.Is(err, directory.ErrVersion) {
		return &stale{http.StatusPreconditionFailed, "it was changed meanwhile: read it again"}
	}
	return err
}

// fields collects what is wrong with the members of a body.
type fields struct{ problems []string }

func (f *fields) want(ok bool, member, what string) {
	if !ok {
		f.problems = append(f.problems, member+": "+what)
	}
}

// text checks a member that people read.
func (f *fields) text(member, value string) {
	f.want(len(value) <= maxTextBytes && utf8.ValidString(value) && !strings.ContainsFunc(value, unicode.IsControl),
		member, fmt.Sprintf("want at most %d bytes without control characters", maxTextBytes))
}

func (f *fields) err() error {
	if len(f.problems) == 0 {
		return nil
	}
	return &wrong{status: http.StatusUnprocessableEntity, text: strings.Join(f.problems, "; "), fields: f.problems}
}

func marshal(v any) string {
	raw, err := json.Marshal(v)
	if err != nil || v == nil {
		return "{}"
	}
	return string(raw)
}
