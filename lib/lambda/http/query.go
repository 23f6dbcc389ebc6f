package http

import (
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"
)

// maxQueryBytes bounds a query as it is sent.
const maxQueryBytes = 8 << 10

// Query returns the parameters of a request. Each must be known, must not be repeated and
// must have a value: a parameter that is ignored would make a client believe that it works.
// An error is a *Rejection.
func Query(r *http.Request, known ...string) (url.Values, error) {
	return ParseQuery(r.URL.RawQuery, known...)
}

// ParseQuery is Query of the text of a query.
func ParseQuery(text string, known ...string) (url.Values, error) {
	if text == "" {
		return nil, nil //nolint:nilnil // a nil map is one without entries
	}
	if len(text) > maxQueryBytes {
		return nil, BadRequest("The query is longer than %d bytes.", maxQueryBytes)
	}
	values, err := url.ParseQuery(text)
	if err != nil {
		return nil, BadRequest("The query is not well formed.")
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		switch list := values[name]; {
		case !slices.Contains(known, name):
			return nil, BadRequest("Parameter %q is unknown.", Printable(name))
		case len(list) > 1:
			return nil, BadRequest("Parameter %q is repeated.", name)
		case list[0] == "":
			return nil, BadRequest("Parameter %q is empty. Leave it out.", name)
		case strings.ContainsRune(list[0], 0) || !utf8.ValidString(list[0]):
			return nil, BadRequest("Parameter %q must be UTF-8 without NUL.", name)
		}
	}
	return values, nil
}

// NoBody rejects a body that the operation would ignore.
func NoBody(r *http.Request) error {
	if n, err := io.ReadFull(r.Body, make([]byte, 1)); n > 0 || err == nil {
		return BadRequest("The operation has no request body.")
	}
	return nil
}
