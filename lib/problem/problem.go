// Package problem holds the problem document, the one shape in which the
// platform's HTTP interfaces say that a request was not served (RFC 9457).
package problem

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
)

// ContentType is the media type of a problem document.
const ContentType = "application/problem+json"

// Type is a URI that names a kind of problem. It is a name: nothing is served there.
type Type string

// TypeOf returns the platform's own Type with that last part, such as "not-json".
func TypeOf(name string) Type { return Type("urn:insighthub:problem:" + name) }

// Document is one problem. Its JSON form has the members type, title, status,
// detail and instance, without the empty ones, followed by the extension
// members in the order of their names.
type Document struct {
	// Type names the kind of problem; empty is "about:blank": the status says it all.
	Type Type
	// Title is the same for every problem of a type; empty is the status's own text.
	Title string
	// Status is the HTTP status code.
	Status int
	// Detail explains this occurrence to whoever sent the request. It never
	// holds the text of an internal error.
	Detail string
	// Instance is a URI that names this occurrence, or empty.
	Instance string
	// Extensions are further members. A name of RFC 9457's own is an error.
	Extensions map[string]any
}

// MarshalJSON implements json.Marshaler.
func (d Document) MarshalJSON() ([]byte, error) {
	type member struct {
		name  string
		value any
	}
	title := d.Title
	if title == "" {
		title = http.StatusText(d.Status)
	}
	kind := d.Type
	if kind == "" {
		kind = "about:blank"
	}
	members := []member{{"type", kind}, {"title", title}, {"status", d.Status}}
	if d.Detail != "" {
		members = append(members, member{"detail", d.Detail})
	}
	if d.Instance != "" {
		members = append(members, member{"instance", d.Instance})
	}
	names := make([]string, 0, len(d.Extensions))
	for name := range d.Extensions {
		switch name {
		case "type", "title", "status", "detail", "instance":
			return nil, fmt.Errorf("extension member %q: the name is a problem document's own", name)
		}
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		members = append(members, member{name, d.Extensions[name]})
	}

	out := []byte{'{'}
	for i, m := range members {
		if i > 0 {
			out = append(out, ',')
		}
		name, err := json.Marshal(m.name)
		if err != nil {
			return nil, fmt.Errorf("member name %q: %w", m.name, err)
		}
		value, err := json.Marshal(m.value)
		if err != nil {
			return nil, fmt.Errorf("member %q: %w", m.name, err)
		}
		out = append(append(append(out, name...), ':'), value...)
	}
	return append(out, '}'), nil
}
