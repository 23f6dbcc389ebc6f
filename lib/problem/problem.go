// Package problem encodes problem documents (RFC 9457), the form of the errors of the
// platform's HTTP interfaces.
package problem

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
)

// ContentType is the media type of a problem document.
const ContentType = "application/problem+json"

// Type is a URI that identifies a type of problem. It is not an address.
type Type string

// TypeOf returns the platform's Type with the given last part, such as "not-json".
func TypeOf(name string) Type { return Type("urn:insighthub:problem:" + name) }

// Document is a problem. Its JSON form has the members type, title, status, detail and
// instance, without empty ones, and then the extension members in the order of their
// names.
type Document struct {
	// Type is empty ("about:blank") when the status is enough.
	Type Type
	// Title is the same for every problem of a type; empty is the text of the status.
	Title string
	// Status is the HTTP status code.
	Status int
	// Detail explains this occurrence to the client. It never holds the text of an internal
	// error.
	Detail string
	// Instance is a URI that identifies this occurrence, or empty.
	Instance string
	// Extensions are additional members. They cannot have the names of RFC 9457's members.
	Extensions map[string]any
}

// MarshalJSON implements json.Marshaler.
func (d Document) MarshalJSON() ([]byte, error) {
	type member struct {
		name  string
		value any
	}
	members := []member{
		{"type", cmp.Or(d.Type, "about:blank")},
		{"title", cmp.Or(d.Title, http.StatusText(d.Status))},
		{"status", d.Status},
	}
	if d.Detail != "" {
		members = append(members, member{"detail", d.Detail})
	}
	if d.Instance != "" {
		members = append(members, member{"instance", d.Instance})
	}
	for _, name := range slices.Sorted(maps.Keys(d.Extensions)) {
		switch name {
		case "type", "title", "status", "detail", "instance":
			return nil, fmt.Errorf("extension member %q has the name of a member of RFC 9457", name)
		}
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
