package token

import (
	"encoding/base64"
	"strings"
)

// compact is a JWS in compact serialisation (RFC 7515, 7.1), taken apart and not verified.
type compact struct {
	header, claims object
	// signed is what the signature is of: the first two parts as they stand.
	signed    string
	signature []byte
}

// parse takes a token apart. Each part has one spelling only: base64url without
// padding, white space or bits that are set and mean nothing.
func parse(text string) (compact, error) {
	if len(text) > MaxTokenBytes {
		return compact{}, invalid("longer than %d bytes", MaxTokenBytes)
	}
	header, rest, ok := strings.Cut(text, ".")
	claims, signature, ok2 := strings.Cut(rest, ".")
	if !ok || !ok2 || strings.Contains(signature, ".") {
		return compact{}, invalid("not three parts")
	}
	c := compact{signed: text[:len(header)+1+len(claims)]}
	raw, err := decode(header)
	if err != nil {
		return compact{}, err
	}
	if c.header, err = readObject(raw); err != nil {
		return compact{}, err
	}
	if raw, err = decode(claims); err != nil {
		return compact{}, err
	}
	if c.claims, err = readObject(raw); err != nil {
		return compact{}, err
	}
	c.signature, err = decode(signature)
	return c, err
}

// decode reads base64url (RFC 7515, 2), strictly.
func decode(part string) ([]byte, error) {
	for i := range len(part) {
		// The standard decoder passes over line ends.
		if c := part[i]; c == '\r' || c == '\n' {
			return nil, invalid("not base64url")
		}
	}
	out, err := base64.RawURLEncoding.Strict().DecodeString(part)
	if err != nil || len(out) == 0 {
		return nil, invalid("not base64url")
	}
	return out, nil
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
