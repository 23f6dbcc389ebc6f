package http

import (
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/insighthub/insighthub/lib/problem"
)

// Rejection is the response to a request that is not served because of the client. Its
// texts are for the client; the texts of all other errors stay in the log.
type Rejection struct { //nolint:errname // named after what the client gets
	Status int
	Detail string
	// Members are "member: what it must be", for a body or a query.
	Members []string
	// RetryAfter, unless it is zero, is when a repetition may succeed.
	RetryAfter time.Duration
}

// Error returns the text for the client.
func (r *Rejection) Error() string { return r.Detail }

// Problem returns the problem document of the rejection.
func (r *Rejection) Problem() problem.Document {
	d := problem.Document{Status: r.Status, Detail: r.Detail}
	if len(r.Members) > 0 {
		d.Extensions = map[string]any{"errors": r.Members}
	}
	return d
}

// BadRequest returns the Rejection of a request that is not well formed.
func BadRequest(format string, arguments ...any) error {
	return &Rejection{Status: http.StatusBadRequest, Detail: fmt.Sprintf(format, arguments...)}
}

// Printable returns a short form of a client's text that a response may hold.
func Printable(s string) string {
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
