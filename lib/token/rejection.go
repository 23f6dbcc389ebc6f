package token

import (
	"errors"
	"fmt"
	"strings"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// RejectionError is the error of a token, an assertion or a key that is not accepted. It
// wraps telemetry.ErrInvalid.
type RejectionError struct {
	// Reason is one of the texts below, such as "expired". It holds no part of a token.
	Reason string
	// Explanation is for whoever sent the token, with the times of its own claims. It is set
	// where it depends on the token, on what is public of the platform and on the clock alone,
	// and empty where it would reveal more, such as which keys exist.
	Explanation string
}

// Error implements error.
func (e *RejectionError) Error() string { return telemetry.ErrInvalid.Error() + ": " + e.Reason }

// Unwrap returns telemetry.ErrInvalid.
func (e *RejectionError) Unwrap() error { return telemetry.ErrInvalid }

// The reasons, all of them. The audit trail stores them and operators group by them, so
// they do not change. Their arguments are names and limits of this package, never values
// of a token: there are only so many reasons, whatever is sent.
const (
	// The form of a token.
	noBearer            = "no bearer token"
	tooLong             = "longer than %d bytes"
	notThreeParts       = "not three parts"
	notBase64URL        = "not base64url"
	notJSON             = "not JSON"
	notObject           = "not a JSON object"
	repeatedMember      = "a member of an object is repeated"
	tooManyMembers      = "more than %d members"
	tooDeep             = "nested more than %d deep"
	memberNameNotString = "a name is no text"
	missingMember       = "no member %q"
	memberNotString     = "member %q is no text"
	notString           = "not a text"

	// The header.
	headerMember     = "header: %s is not accepted"
	headerMembers    = "header: want typ, alg and kid"
	headerValue      = "header: want %s %s"
	headerThumbprint = "header: kid is no thumbprint"
	headerKeyID      = "header: no usable kid"
	issuerAlgorithm  = "header: an algorithm that the issuer does not use"
	unknownAlgorithm = "header: unknown algorithm"
	typeNotString    = "header: typ is no text"
	otherType        = "header: a token of another type"

	// The claims.
	unknownIssuer           = "unknown issuer"
	otherAudience           = "another audience"
	severalAudiences        = "several audiences"
	issuerNotSubject        = "iss and sub differ"
	missingClaim            = "no claim %s"
	notNumericDate          = "claim %s: want a number of seconds since 1970"
	expired                 = "expired"
	notYetValid             = "not yet valid"
	issuedInFuture          = "issued in the future"
	expiresBeforeIssued     = "expires before it was issued"
	validTooLong            = "valid for longer than %v"
	claimLength             = "claim %s: want 1 to %d bytes"
	claimNotPlain           = "claim %s: not plain text"
	claimEmpty              = "claim %s is empty"
	notName                 = "claim %s: not a name"
	gatewayOfOneSite        = "a gateway speaks for one site"
	gatewayRole             = "claim role: want gateway"
	gatewayAndPerson        = "both a gateway's claims and a person's"
	neitherGatewayNorPerson = "neither a gateway's claims nor a person's"
	tooManyGrants           = "more than %d grants"
	grantRole               = "claim grants: unknown role"
	grantNotString          = "claim grants: a role that is no text"
	missingGrants           = "no claim with grants"
	noGrants                = "the issuer grants nothing"
	notVersion              = "claim %s: want a version"
	denied                  = "what it was issued for was taken away"

	// The key and the signature.
	unknownKey      = "unknown key"
	keyExpired      = "the key has expired"
	gatewayKey      = "the gateway has no such key"
	keyAlgorithm    = "the key is not for this algorithm"
	keyCurve        = "the key is of another curve"
	signatureLength = "a signature that has not %d bytes"
	signatureRange  = "a signature out of range"
	badSignature    = "the signature does not verify"
)

func reject(reason string, args ...any) error {
	return &RejectionError{Reason: fmt.Sprintf(reason, args...)}
}

// explained adds an explanation to a rejection that has none: unless the format gives a
// better one, its reason.
func explained(err error, format string, args ...any) error {
	if rejected, ok := errors.AsType[*RejectionError](err); ok && rejected.Explanation == "" {
		text := rejected.Reason
		if format != "" {
			text = fmt.Sprintf(format, args...)
		}
		return &RejectionError{Reason: rejected.Reason, Explanation: text}
	}
	return err
}

// Refusal describes a request whose token was rejected. API Gateway sets Route and Source;
// nothing else is verified, and no part of the token but KeyID and Subject is in it.
type Refusal struct {
	// Reason is that of the RejectionError.
	Reason string
	// Source is the address that the request came from, Route the key of its route.
	Source, Route string
	// KeyID and Subject are the token's kid and sub; empty where they are longer than 64
	// characters or have others than letters, digits, hyphens, underscores and, in the
	// subject, dots.
	KeyID, Subject string
}

// Refusals counts the requests whose token was rejected.
type Refusals interface {
	// Refused counts one. It does not block.
	Refused(r Refusal)
}

func refusal(event *authorizerEvent, seen compact, reason string) Refusal {
	r := Refusal{Reason: reason, Source: event.RequestContext.HTTP.SourceIP, Route: event.RouteKey}
	if kid, err := seen.header.text("kid"); err == nil {
		r.KeyID = safe(kid, "-_")
	}
	if sub, err := seen.claims.text("sub"); err == nil {
		r.Subject = safe(sub, "-_.")
	}
	return r
}

// maxUnverified limits what is repeated of a token that was not verified.
const maxUnverified = 64

// safe returns s, or "" if it is too long or has other characters than letters, digits
// and punctuation.
func safe(s, punctuation string) string {
	if len(s) > maxUnverified {
		return ""
	}
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && strings.IndexByte(punctuation, c) < 0 {
			return ""
		}
	}
	return s
}
