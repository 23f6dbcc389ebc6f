package token_test

import (
	"errors"
	"testing"

	"github.com/insighthub/insighthub/lib/token"
)

// TestReasons pins reasons: the audit trail stores them.
func TestReasons(t *testing.T) {
	t.Parallel()
	b := newPlatform(t)
	header, claims, now := b.header(t), b.claims(), b.now.Unix()
	b.accepts(t, "unchanged", b.forge(t, header, claims))
	for want, text := range map[string]string{
		"not three parts":                "a.b",
		"not base64url":                  "a.b.c",
		"not JSON":                       "AAAA.e30.AAAA",
		"header: crit is not accepted":   b.forge(t, with(header, members{"crit": []string{}}), claims),
		"header: want alg ES256":         b.forge(t, with(header, members{"alg": "none"}), claims),
		"unknown issuer":                 b.forge(t, header, with(claims, members{"iss": "x"})),
		"another audience":               b.forge(t, header, with(claims, members{"aud": "x"})),
		`no member "jti"`:                b.forge(t, header, with(claims, members{"jti": nil})),
		"no claim nbf":                   b.forge(t, header, with(claims, members{"nbf": nil})),
		"expired":                        b.forge(t, header, with(claims, members{"exp": now - 30})),
		"not yet valid":                  b.forge(t, header, with(claims, members{"nbf": now + 31})),
		"valid for longer than 1h0m0s":   b.forge(t, header, with(claims, members{"exp": now + 3601})),
		"claim sub: want 1 to 512 bytes": b.forge(t, header, with(claims, members{"sub": ""})),
		"claim role: want gateway":       b.forge(t, header, with(claims, members{"role": "admin"})),
		"unknown key":                    b.forge(t, with(header, members{"kid": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}), claims),
		"the signature does not verify":  signed(t, b.keys.Private("other"), header, claims),
	} {
		_, err := b.verifier.Verify(t.Context(), text)
		var rejected *token.RejectionError
		if !errors.As(err, &rejected) || rejected.Reason != want {
			t.Errorf("got %v, want the reason %q", err, want)
		}
	}
}
