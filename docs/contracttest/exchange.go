package contracttest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Exchange is a request and its response. Header names may be in any case.
type Exchange struct {
	Method, Path, Query string // as sent, escapes included
	RequestHeaders      map[string]string
	RequestBody         []byte
	Status              int
	Headers             map[string]string
	Body                []byte
}

// commonHeaders returns the headers that any response may have (info.description).
func commonHeaders() []string {
	return []string{
		"Content-Type", "Cache-Control", "Content-Security-Policy", "Strict-Transport-Security", "Referrer-Policy",
		"X-Content-Type-Options", "Idempotency-Replayed",
	}
}

// Check reports how a response differs from the contract, and a request that was served
// although the contract does not allow it. Outside the contract's paths, the response
// must be 404, or 401 for a token that has expired; for a method that a path of the
// contract does not have, it may also be 405 with the methods of the path.
func (c *Contract) Check(x Exchange) error {
	headers := headerSet(x.Headers)
	method := x.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	o, values, ok := c.find(method, x.Path)
	if !ok {
		if x.Status == http.StatusMethodNotAllowed {
			if allow, want := headers.Get("Allow"), strings.Join(c.methods(x.Path), ", "); allow != want || allow == "" {
				return fmt.Errorf("%s %s: got Allow %q, want %q", x.Method, x.Path, allow, want)
			}
		} else if x.Status != http.StatusNotFound && x.Status != http.StatusUnauthorized {
			return fmt.Errorf("%s %s is not in the contract: got status %d, want 404", x.Method, x.Path, x.Status)
		}
		return c.checkProblem("#/components/schemas/Problem", headers, x)
	}
	var problems []error
	if x.Status < http.StatusBadRequest {
		problems = append(problems, c.checkRequest(o, values, x))
	}
	problems = append(problems, c.checkResponse(o, headers, x))
	if err := errors.Join(problems...); err != nil {
		return fmt.Errorf("%s %s, %d: %w", o.method, o.path, x.Status, err)
	}
	return nil
}

func (c *Contract) checkProblem(schema string, headers http.Header, x Exchange) error {
	if kind := headers.Get("Content-Type"); kind != "application/problem+json" {
		return fmt.Errorf("got Content-Type %q, want a problem document", kind)
	}
	if x.Method == http.MethodHead && len(x.Body) == 0 {
		return nil
	}
	return c.validateJSON(schema, x.Body)
}

func (c *Contract) checkResponse(o operation, headers http.Header, x Exchange) error {
	at := pointer(o.pointer, "responses", strconv.Itoa(x.Status))
	described, ok := object(o.members["responses"])[strconv.Itoa(x.Status)]
	if !ok {
		return errors.New("the status is not in the contract")
	}
	response := c.resolve(at, described)
	problems := []error{c.checkHeaders(response, headers)}
	content := object(response.members["content"])
	if x.Method == http.MethodHead && len(x.Body) == 0 {
		return errors.Join(problems...)
	}
	if len(content) == 0 {
		if len(x.Body) > 0 {
			problems = append(problems, errors.New("got a body, want none"))
		}
		return errors.Join(problems...)
	}
	kind, _, err := mime.ParseMediaType(headers.Get("Content-Type"))
	media, ok := content[kind]
	if err != nil || !ok {
		return errors.Join(append(problems, fmt.Errorf("Content-Type %q is not in the contract", headers.Get("Content-Type")))...)
	}
	mediaAt := pointer(response.pointer, "content", kind)
	if _, lines := object(media)["x-line"]; lines {
		for line := range bytes.Lines(x.Body) {
			problems = append(problems, c.validateJSON(pointer(mediaAt, "x-line"), line))
		}
	} else if kind == "application/json" || strings.HasSuffix(kind, "+json") {
		problems = append(problems, c.validateJSON(pointer(mediaAt, "schema"), x.Body))
	}
	if kind == "application/problem+json" {
		problems = append(problems, checkProblemHeaders(x.Status, headers, x.Body))
	}
	return errors.Join(problems...)
}

// checkProblemHeaders checks what the contract says in words only.
func checkProblemHeaders(status int, headers http.Header, body []byte) error {
	var document struct {
		Status int `json:"status"`
	}
	if err := json.Unmarshal(body, &document); err != nil || document.Status != status {
		return fmt.Errorf("got status %d in the document (%w)", document.Status, err)
	}
	need := map[int]string{
		http.StatusUnauthorized:    "Www-Authenticate",
		http.StatusTooManyRequests: "Retry-After", http.StatusServiceUnavailable: "Retry-After",
	}[status]
	if need != "" && headers.Get(need) == "" {
		return fmt.Errorf("header %s is missing", need)
	}
	return nil
}

func (c *Contract) checkHeaders(response located, headers http.Header) error {
	var problems []error
	known := commonHeaders()
	for name, h := range object(response.members["headers"]) {
		described := c.resolve(pointer(response.pointer, "headers", name), h)
		name = http.CanonicalHeaderKey(name)
		known = append(known, name)
		value, there := headers[name]
		switch {
		case there:
			if err := c.validateText(pointer(described.pointer, "schema"), value[0]); err != nil {
				problems = append(problems, fmt.Errorf("header %s %q: %w", name, value[0], err))
			}
		case described.members["required"] == true:
			problems = append(problems, fmt.Errorf("header %s is missing", name))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		if !slices.Contains(known, name) {
			problems = append(problems, fmt.Errorf("header %s is not in the contract", name))
		}
	}
	return errors.Join(problems...)
}

// validateText validates a header or parameter as text, number or boolean: one must match
// the schema.
func (c *Contract) validateText(at, text string) error {
	err := c.validate(at, text)
	if err == nil {
		return nil
	}
	if n, numberErr := strconv.ParseFloat(text, 64); numberErr == nil && c.validate(at, n) == nil {
		return nil
	}
	if b, boolErr := strconv.ParseBool(text); boolErr == nil && c.validate(at, b) == nil {
		return nil
	}
	return err
}

// checkRequest checks a request that was served.
func (c *Contract) checkRequest(o operation, path map[string]string, x Exchange) error {
	query, err := url.ParseQuery(x.Query)
	if err != nil {
		return fmt.Errorf("the query %q was served: %w", x.Query, err)
	}
	var problems []error
	headers := headerSet(x.RequestHeaders)
	for _, p := range o.parameters {
		name, _ := p.members["name"].(string)
		value, there := "", false
		switch p.members["in"] {
		case "path":
			value, there = path[name], true
			if value, err = url.PathUnescape(value); err != nil {
				problems = append(problems, err)
			}
		case "query":
			value, there = query.Get(name), query.Has(name)
			query.Del(name)
		case "header":
			value, there = headers.Get(name), headers.Get(name) != ""
		default:
			problems = append(problems, fmt.Errorf("parameter %s is in %v", name, p.members["in"]))
		}
		if !there {
			if p.members["required"] == true {
				problems = append(problems, fmt.Errorf("served without the parameter %s", name))
			}
			continue
		}
		if err := c.validateText(pointer(p.pointer, "schema"), value); err != nil {
			problems = append(problems, fmt.Errorf("served with the parameter %s: %w", name, err))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(query)) {
		problems = append(problems, fmt.Errorf("served with the parameter %s, which is not in the contract", name))
	}
	return errors.Join(append(problems, c.checkRequestBody(o, headers, x))...)
}

func (c *Contract) checkRequestBody(o operation, headers http.Header, x Exchange) error {
	body := c.resolve(pointer(o.pointer, "requestBody"), o.members["requestBody"])
	if body.members == nil {
		return nil
	}
	kind, _, err := mime.ParseMediaType(headers.Get("Content-Type"))
	if _, ok := object(body.members["content"])[kind]; err != nil || !ok {
		return fmt.Errorf("served with Content-Type %q", headers.Get("Content-Type"))
	}
	at := pointer(body.pointer, "content", kind, "schema")
	switch kind {
	case "application/json":
		if err := c.validateJSON(at, x.RequestBody); err != nil {
			return fmt.Errorf("served with the body %.200q: %w", x.RequestBody, err)
		}
	case "application/x-www-form-urlencoded":
		form, err := url.ParseQuery(string(x.RequestBody))
		if err != nil {
			return fmt.Errorf("served with an invalid form: %w", err)
		}
		members := make(map[string]any, len(form))
		for name, values := range form {
			members[name] = values[0]
		}
		return c.validate(at, members)
	}
	return nil
}
