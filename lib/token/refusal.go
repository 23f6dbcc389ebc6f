package token

import (
	"strings"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// Refusal is what may be known of a request whose token was refused. Nothing of it
// was verified but Route and Source, which are API Gateway's; no part of the token
// but KeyID and Subject is in it.
type Refusal struct {
	// Reason is one of this package's own texts, such as "expired".
	Reason string
	// Source is the address that the request came from, Route the key of its route.
	Source, Route string
	// KeyID and Subject are the token's kid and sub, empty where they are longer than 64
	// characters or have others than letters, digits, hyphens, underscores and, in the
	// subject, dots.
	KeyID, Subject string
}

// Refusals takes the tokens that were refused.
type Refusals interface {
	// Refused takes one. It does not wait for anything.
	Refused(r Refusal)
}

func refusal(event *authorizerEvent, seen compact, err error) Refusal {
	r := Refusal{Reason: reason(err), Source: event.RequestContext.HTTP.SourceIP, Route: event.RouteKey}
	if kid, err := seen.header.text("kid"); err == nil {
		r.KeyID = harmless(kid, "-_")
	}
	if sub, err := seen.claims.text("sub"); err == nil {
		r.Subject = harmless(sub, "-_.")
	}
	return r
}

// reason is what an error says after its last sentinel: texts of this package that do
// not depend on the token, so there are only so many.
func reason(err error) string {
	text, sentinel := err.Error(), telemetry.ErrInvalid.Error()+": "
	return text[strings.LastIndex(text, sentinel)+len(sentinel):]
}

// maxHarmless bounds what is repeated of a token that proves nothing.
const maxHarmless = 64

// harmless returns s, or nothing if it has other characters than letters, digits and others.
func harmless(s, others string) string {
	if len(s) > maxHarmless {
		return ""
	}
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && strings.IndexByte(others, c) < 0 {
			return ""
		}
	}
	return s
}
