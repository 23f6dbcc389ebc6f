package apifuzz

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
)

// draft is a request that is not sent yet.
type draft struct {
	o       operation
	method  string
	values  map[string]string // of the path, as they are; encoded later
	raw     string            // in place of the path
	query   [][2]string
	text    string // in place of the query
	headers map[string]string
	members object // of the body
	body    []byte // in place of members
	caller  string // Role of the caller
	// deletable: the path has a DELETE.
	deletable bool
	// what names the mutations.
	what []string
}

// mutation changes a draft, and names itself; "" if it does not apply.
type mutation func(r *rand.Rand, d *draft) string

// mutations returns all kinds.
func mutations() []mutation {
	return []mutation{
		member, member, member, extraMember, rawBody, rawBody, parameters, parameters, pathValue, pathValue, ifMatch, idempotencyKey,
		contentType, method, strayBody, otherCaller, accept,
	}
}

func pick[T any](r *rand.Rand, of []T) T { return of[r.IntN(len(of))] }

// borders are values at the borders of types, for any member: of JSON text.
func borders() []string {
	return []string{
		`null`, `true`, `false`, `""`, `{}`, `[]`, `[null]`, `{"a":1}`, `0`, `-0`, `-1`, `1.5`, `1e400`, `-1e400`, `1e308`, `1e-400`,
		`1e20`, `2147483647`,
		`2147483648`, `-2147483649`, `9007199254740993`, `9223372036854775807`, `9223372036854775808`, `-9223372036854775809`, `0.1`,
		`1E+2`, `100000000000`,
		`"*"`, `"."`, `".."`, `"a/b"`, `"a b"`, `"\u0000"`, `"\u001f"`, `"\u007f"`, `"\ud800"`, `"\ufffd"`, `"\u200b"`, `"\u202e"`,
		`"😀"`, `"ä"`, `"%00"`, `"%"`,
		`"' OR 1=1 --"`, `"\\"`, `"1"`, `"null"`, `"true"`, `"1e400"`, `"-1"`, `"2147483648"`, `"9223372036854775808"`, `"NaN"`,
		`"Infinity"`,
		`"2026-13-45T99:99:99Z"`, `"0000-00-00T00:00:00Z"`, `"9999-12-31T23:59:59Z"`, `"1969-12-31T23:59:59Z"`, `"2200-01-01T00:00:01Z"`,
		`"` + strings.Repeat("x", 128) + `"`, `"` + strings.Repeat("x", 129) + `"`, `"` + strings.Repeat("ä", 65) + `"`,
		`"` + strings.Repeat("x", 1025) + `"`, `"` + strings.Repeat("y", 5000) + `"`, `"Europe/Vienna"`, `"Local"`, `"../../etc/passwd"`,
		`[["06:00","05:00"]]`, `{"*":"admin"}`, `{"":"viewer"}`, `{"x":"root"}`, `{"x":null}`,
	}
}

// member removes a member of the body, or gives it a value at a border, at any depth.
func member(r *rand.Rand, d *draft) string {
	if len(d.members) == 0 {
		return ""
	}
	inside, path := d.members, ""
	for {
		name := pick(r, slices.Sorted(maps.Keys(inside)))
		path += "/" + name
		inner, deeper := inside[name].(object)
		if items := list(inside[name]); len(items) > 0 {
			inner, deeper = items[0].(object)
		}
		if deeper && len(inner) > 0 && r.IntN(3) > 0 {
			inside = inner
			continue
		}
		if r.IntN(4) == 0 {
			delete(inside, name)
			return "without " + path
		}
		value := pick(r, borders())
		inside[name] = json.RawMessage(value)
		return path + "=" + clip(value)
	}
}

func extraMember(r *rand.Rand, d *draft) string {
	if d.members == nil {
		return ""
	}
	name := pick(r, []string{"admin", "id", "", "__proto__", "version", "site", "dry_run", "Name", "NAME", strings.Repeat("m", 300)})
	d.members[name] = json.RawMessage(pick(r, borders()))
	return "extra member " + clip(name)
}

// rawBody replaces the body by bytes that are no valid form of it.
func rawBody(r *rand.Rand, d *draft) string {
	if d.members == nil {
		return ""
	}
	whole := encode(d)
	if len(whole) == 0 {
		return ""
	}
	forms := map[string]func() []byte{
		"cut":           func() []byte { return whole[:r.IntN(len(whole))] },
		"null":          func() []byte { return []byte("null") },
		"empty object":  func() []byte { return []byte("{}") },
		"empty":         func() []byte { return []byte{} },
		"a list":        func() []byte { return slices.Concat([]byte("["), whole, []byte("]")) },
		"two documents": func() []byte { return slices.Concat(whole, whole) },
		"trailing":      func() []byte { return slices.Concat(whole, []byte(" x")) },
		"a string":      func() []byte { return []byte(`"x"`) },
		"a number":      func() []byte { return []byte(`1`) },
		"BOM":           func() []byte { return slices.Concat([]byte("\xef\xbb\xbf"), whole) },
		"deep":          func() []byte { return []byte(strings.Repeat("[", 5000)) },
		"deep objects":  func() []byte { return []byte(strings.Repeat(`{"a":`, 40) + "1" + strings.Repeat("}", 40)) },
		"byte":          func() []byte { b := slices.Clone(whole); b[r.IntN(len(b))] = byte(r.IntN(256)); return b },
		"not UTF-8":     func() []byte { return bytes.Replace(whole, []byte(`"`), []byte("\"\xff"), 1) },
		"repeated":      func() []byte { return repeated(whole) },
		"long":          func() []byte { return []byte(`{"x":"` + strings.Repeat("x", 300_000) + `"}`) },
	}
	name := pick(r, slices.Sorted(maps.Keys(forms)))
	d.body = forms[name]()
	return "body " + name
}

// repeated returns the object with its first member twice.
func repeated(whole []byte) []byte {
	end := bytes.IndexByte(whole, ',')
	if end < 0 || len(whole) == 0 || whole[0] != '{' {
		return whole
	}
	return slices.Concat(whole[:end], []byte(","), whole[1:])
}

// texts are values at borders, for parameters and paths.
func texts() []string {
	return []string{
		"", "0", "-1", "1", "1.5", "1e3", "+1", "01", "0x10", "1001", "2147483648", "9223372036854775807", "9223372036854775808",
		"NaN", "null",
		"true", "x", "*", "'", "' OR 1=1 --", "\x00", "\x1f", "\xff", "\xc3", "\u200b", "\u202e", "\ufffd", "😀", "ä", "%00", "%ff",
		"%2f", "..",
		strings.Repeat("x", 128), strings.Repeat("x", 129), strings.Repeat("x", 1500), "00000000-0000-4000-8000-000000000000",
		"00000000-0000-4000-8000-00000000000A", "AAAA", "c2l0ZXMAeA", "YW5vbWFsaWVzIG9mIHgAMSAx", "2026-01-01T00:00:00Z",
		"2026-01-01T00:00:00+02:00",
		"1795425713123", "7258118400000001", "99999999999999999999", "auto", "raw", "1s", "1d", "min,min", "good", "all", "ndjson",
		"open",
	}
}

func parameters(r *rand.Rand, d *draft) string {
	switch r.IntN(6) {
	case 0:
		name := pick(r, []string{"dry_run", "sql", "LIMIT", "Gateway", "x", "limit[]", "_", "\xff"})
		d.query = append(d.query, [2]string{name, "1"})
		return "unknown parameter " + name
	case 1:
		if len(d.query) == 0 {
			return ""
		}
		d.query = append(d.query, pick(r, d.query))
		return "repeated parameter"
	case 2:
		d.text = pick(r, []string{
			"%zz", "a=%", ";", "a;b", "=", "&&&", "limit", "?", "%00=1", strings.Repeat("a", 9000), "a=1&=2",
			"%ff=%ff",
		})
		return "query " + clip(d.text)
	case 3:
		if len(d.query) == 0 {
			return ""
		}
		i := r.IntN(len(d.query))
		name := d.query[i][0]
		d.query = slices.Delete(d.query, i, i+1)
		return "without parameter " + name
	default:
		names := slices.Sorted(keys(d.o.query))
		if len(names) == 0 {
			return ""
		}
		name, value := pick(r, names), pick(r, texts())
		d.query = slices.DeleteFunc(d.query, func(p [2]string) bool { return p[0] == name })
		d.query = append(d.query, [2]string{name, value})
		return fmt.Sprintf("parameter %s=%q", name, clip(value))
	}
}

func pathValue(r *rand.Rand, d *draft) string {
	if len(d.o.pathNames) == 0 || r.IntN(4) == 0 {
		path := encodePath(d)
		d.raw = pick(r, []string{
			path + "/", "/" + path, path + "/x", strings.Replace(path, "/v1/", "/v1//", 1), path + "%2f",
			path + "%00", path + "%ff", "/v1/..%2f" + path, path + "/.", strings.ToUpper(path), path + "%25ff",
		})
		return "path " + clip(d.raw)
	}
	name, value := pick(r, d.o.pathNames), pick(r, texts())
	d.values[name] = value
	return fmt.Sprintf("path %s=%q", name, clip(value))
}

func ifMatch(r *rand.Rand, d *draft) string {
	if _, ok := d.o.headers["If-Match"]; !ok {
		return ""
	}
	value := pick(r, []string{
		"", "*", `"0"`, `"1"`, `"01"`, `"2147483647"`, `"2147483648"`, `"4294967296"`, `"9223372036854775807"`,
		`"9223372036854775808"`, `"-1"`, `"1.5"`,
		`W/"1"`, `"1","2"`, `"1", "1"`, `"x", "1"`, `1`, `"1`, `1"`, `'1'`, `* , "1"`, `""`, `"` + strings.Repeat("9", 400) + `"`,
		"ä", `"1"x`, `,`, `W/1`,
	})
	delete(d.headers, "If-Match")
	if value != "" {
		d.headers["If-Match"] = value
	}
	return "If-Match " + clip(value)
}

func idempotencyKey(r *rand.Rand, d *draft) string {
	if _, ok := d.o.headers["Idempotency-Key"]; !ok {
		return ""
	}
	d.headers["Idempotency-Key"] = pick(r, []string{
		"k", "ä", strings.Repeat("k", 255), strings.Repeat("k", 256), `"k"`, "\xff\xfe",
		"a b", "'",
	})
	return "Idempotency-Key " + clip(d.headers["Idempotency-Key"])
}

func contentType(r *rand.Rand, d *draft) string {
	if d.members == nil {
		return ""
	}
	value := pick(r, []string{
		"", "text/plain", "application/xml", "application/json; charset=utf-8", "application/json; charset=latin1",
		"application/json;", "APPLICATION/JSON",
		"application/json, text/plain", "json", "application/json; charset", "multipart/form-data; boundary=x",
		"application/x-www-form-urlencoded",
	})
	if r.IntN(4) == 0 {
		d.headers["Content-Encoding"] = pick(r, []string{"gzip", "br", "identity", "zstd", "x"})
		return "Content-Encoding " + d.headers["Content-Encoding"]
	}
	if delete(d.headers, "Content-Type"); value != "" {
		d.headers["Content-Type"] = value
	}
	return "Content-Type " + value
}

func method(r *rand.Rand, d *draft) string {
	others := []string{"GET", "PUT", "POST", "DELETE", "PATCH", "HEAD", "OPTIONS"}
	if d.deletable && d.method != "DELETE" { // what the other requests need
		others = slices.DeleteFunc(others, func(m string) bool { return m == "DELETE" })
	}
	d.method = pick(r, others)
	return "method " + d.method
}

func strayBody(r *rand.Rand, d *draft) string {
	if d.members != nil {
		return ""
	}
	d.body, d.headers["Content-Type"] = []byte(pick(r, []string{"{}", "x", `{"dry_run":true}`, "null"})), "application/json"
	return "stray body"
}

func otherCaller(r *rand.Rand, d *draft) string {
	d.caller = pick(r, []string{Nobody, Garbage, ViewerHere, AdminElsewhere})
	return "as " + d.caller
}

func accept(r *rand.Rand, d *draft) string {
	d.headers["Accept"] = pick(r, []string{"application/xml", "text/html", "*/*;q=0", "", "x"})
	return "Accept"
}

// encode returns the body of a draft.
func encode(d *draft) []byte {
	if d.body != nil || d.members == nil {
		return d.body
	}
	if d.o.form {
		form := make(url.Values)
		for name, v := range d.members {
			form.Set(name, fmt.Sprint(v))
			if raw, ok := v.(json.RawMessage); ok {
				form.Set(name, strings.Trim(string(raw), `"`))
			}
		}
		return []byte(form.Encode())
	}
	raw, err := json.Marshal(d.members)
	if err != nil { // a border that is no JSON by itself, such as 1e400, is; nothing else is there
		return []byte("{")
	}
	return raw
}

func encodePath(d *draft) string {
	path := d.o.path
	for _, name := range d.o.pathNames {
		value := d.values[name]
		escaped := url.PathEscape(value)
		if value == "." || value == ".." || strings.ContainsAny(value, "%/?#") {
			escaped = url.PathEscape(escaped) // API Gateway decodes once
		}
		path = strings.ReplaceAll(path, "{"+name+"}", escaped)
	}
	return path
}

func encodeQuery(d *draft) string {
	if d.text != "" {
		return d.text
	}
	parts := make([]string, len(d.query))
	for i, p := range d.query {
		parts[i] = url.QueryEscape(p[0]) + "=" + url.QueryEscape(p[1])
	}
	return strings.Join(parts, "&")
}

func clip(s string) string {
	if len(s) > 40 {
		s = s[:40] + "…"
	}
	return strings.ToValidUTF8(s, "?")
}

func keys[V any](m map[string]V) func(func(string) bool) { return maps.Keys(m) }
