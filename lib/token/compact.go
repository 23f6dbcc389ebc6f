package token

import (
	"encoding/base64"
	"strings"
)

// compact is a JWS in compact serialization (RFC 7515, 7.1), parsed but not verified.
type compact struct {
	header, claims object
	// signed is the signing input: the first two parts, unchanged.
	signed    string
	signature []byte
}

// parse parses a token.
func parse(text string) (compact, error) {
	c, claims, err := split(text)
	if err != nil {
		return compact{}, err
	}
	c.claims, err = readObject(claims)
	return c, err
}

// split parses a JWS with any payload. Each part has only one accepted encoding:
// base64url without padding, white space or trailing bits that are not zero. No part may
// be empty: the payload is the claims.
func split(text string) (c compact, payload []byte, err error) {
	if len(text) > MaxTokenBytes {
		return compact{}, nil, reject(tooLong, MaxTokenBytes)
	}
	header, rest, ok := strings.Cut(text, ".")
	body, signature, ok2 := strings.Cut(rest, ".")
	if !ok || !ok2 || strings.Contains(signature, ".") {
		return compact{}, nil, explained(reject(notThreeParts), "it must be three parts with dots between them (RFC 7515, 7.1)")
	}
	c.signed = text[:len(header)+1+len(body)]
	raw, err := decode(header)
	if err != nil {
		return compact{}, nil, err
	}
	if c.header, err = readObject(raw); err != nil {
		return compact{}, nil, err
	}
	if payload, err = decode(body); err != nil {
		return compact{}, nil, err
	}
	c.signature, err = decode(signature)
	return c, payload, err
}

// decode reads base64url (RFC 7515, 2), strictly.
func decode(part string) ([]byte, error) {
	out, err := base64.RawURLEncoding.Strict().DecodeString(part)
	if err != nil || len(out) == 0 || strings.ContainsAny(part, "\r\n") { // the decoder ignores line ends
		return nil, explained(reject(notBase64URL), "each part must be base64url without padding (RFC 7515, 2)")
	}
	return out, nil
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
