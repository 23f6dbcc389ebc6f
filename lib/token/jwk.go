package token

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/json"
	"slices"

	"github.com/golang-jwt/jwt/v5"
)

const (
	// maxSetBytes and maxSetKeys limit an issuer's key set.
	maxSetBytes = 128 << 10
	maxSetKeys  = 100
)

// jwk is a key of an issuer.
type jwk struct {
	key       any    // *rsa.PublicKey, *ecdsa.PublicKey, ed25519.PublicKey
	algorithm string // its alg; empty if it has none
}

// parseJWKS parses a JWK set (RFC 7517, 5). It skips unusable keys: of another type, curve
// or use, too weak, without a kid, or with a repeated kid.
func parseJWKS(data []byte) (map[string]jwk, error) {
	if len(data) > maxSetBytes {
		return nil, invalid("key set: more than %d bytes", maxSetBytes)
	}
	set, err := readObject(data)
	if err != nil {
		return nil, err
	}
	var list []json.RawMessage
	if err := json.Unmarshal(set["keys"], &list); err != nil || list == nil {
		return nil, invalid("key set: no keys")
	}
	if len(list) > maxSetKeys {
		return nil, invalid("key set: more than %d keys", maxSetKeys)
	}
	keys, seen := make(map[string]jwk), make(map[string]bool)
	for _, raw := range list {
		members, err := readObject(raw)
		if err != nil {
			continue
		}
		kid, err := members.text("kid")
		if err != nil || !validKeyID(kid) {
			continue
		}
		if seen[kid] {
			delete(keys, kid)
			continue
		}
		seen[kid] = true
		if key, ok := parseJWK(members); ok {
			keys[kid] = key
		}
	}
	return keys, nil
}

// validKeyID reports whether kid is 1 to 256 printable ASCII characters.
func validKeyID(kid string) bool {
	for i := range len(kid) {
		if kid[i] <= ' ' || kid[i] > '~' {
			return false
		}
	}
	return kid != "" && len(kid) <= maxKeyIDBytes
}

// ParsePublicKey parses a JWK (RFC 7517) with a public key of P-256, as a gateway registers
// it, and returns it with its KeyID; the JWK's own kid is ignored. The error wraps
// telemetry.ErrInvalid, also for a private key: it is no longer secret.
func ParsePublicKey(data []byte) (*ecdsa.PublicKey, string, error) {
	if len(data) > MaxTokenBytes {
		return nil, "", invalid("key: longer than %d bytes", MaxTokenBytes)
	}
	members, err := readObject(data)
	if err != nil {
		return nil, "", err
	}
	if _, private := members["d"]; private {
		return nil, "", invalid("key: want a public key, got a private key")
	}
	parsed, _ := parseJWK(members)
	key, ok := parsed.key.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P256() || parsed.algorithm != "" && parsed.algorithm != ownAlgorithm {
		return nil, "", invalid("key: want a public JWK with kty EC, crv P-256, x and y")
	}
	id, err := KeyID(key)
	return key, id, err
}

func parseJWK(members object) (jwk, bool) {
	if _, private := members["d"]; private {
		return jwk{}, false // no longer secret: whoever reads the set can sign with it
	}
	if use, ok := members["use"]; ok && string(use) != `"sig"` {
		return jwk{}, false
	}
	if raw, ok := members["key_ops"]; ok {
		var operations []string
		if json.Unmarshal(raw, &operations) != nil || !slices.Contains(operations, "verify") {
			return jwk{}, false
		}
	}
	var k jwk
	if _, ok := members["alg"]; ok {
		var err error
		if k.algorithm, err = members.text("alg"); err != nil {
			return jwk{}, false
		}
	}
	kind, err := members.text("kty")
	if err != nil {
		return jwk{}, false
	}
	switch kind {
	case "RSA":
		k.key = parseRSA(members)
	case "EC":
		k.key = parseEC(members)
	case "OKP":
		k.key = parseEd25519(members)
	}
	return k, k.key != nil
}

func (o object) bytes(name string) []byte {
	text, err := o.text(name)
	if err != nil {
		return nil
	}
	raw, err := decode(text)
	if err != nil {
		return nil
	}
	return raw
}

func parseEC(members object) any {
	name, err := members.text("crv")
	if err != nil {
		return nil
	}
	var curve elliptic.Curve
	switch name {
	case "P-256":
		curve = elliptic.P256()
	case "P-384":
		curve = elliptic.P384()
	case "P-521":
		curve = elliptic.P521()
	default:
		return nil
	}
	x, y := members.bytes("x"), members.bytes("y")
	if size := (curve.Params().BitSize + 7) / 8; len(x) != size || len(y) != size {
		return nil
	}
	// This checks that the point is on the curve.
	key, err := ecdsa.ParseUncompressedPublicKey(curve, slices.Concat([]byte{4}, x, y))
	if err != nil {
		return nil
	}
	return key
}

func parseEd25519(members object) any {
	x := members.bytes("x")
	if name, err := members.text("crv"); err != nil || name != "Ed25519" || len(x) != ed25519.PublicKeySize {
		return nil
	}
	return ed25519.PublicKey(x)
}

// algorithm returns an asymmetric JWS algorithm by its name; false for "none" and HMAC.
func algorithm(name string) (jwt.SigningMethod, bool) {
	switch name {
	case "RS256":
		return jwt.SigningMethodRS256, true
	case "RS384":
		return jwt.SigningMethodRS384, true
	case "RS512":
		return jwt.SigningMethodRS512, true
	case "PS256":
		return exactSalt(jwt.SigningMethodPS256), true
	case "PS384":
		return exactSalt(jwt.SigningMethodPS384), true
	case "PS512":
		return exactSalt(jwt.SigningMethodPS512), true
	case "ES256":
		return jwt.SigningMethodES256, true
	case "ES384":
		return jwt.SigningMethodES384, true
	case "ES512":
		return jwt.SigningMethodES512, true
	case "EdDSA":
		return jwt.SigningMethodEdDSA, true
	default:
		return nil, false
	}
}

// fits reports whether the key is one for the algorithm.
func (k jwk) fits(method jwt.SigningMethod) bool {
	if k.algorithm != "" && k.algorithm != method.Alg() {
		return false
	}
	switch m := method.(type) {
	case *jwt.SigningMethodRSA, *jwt.SigningMethodRSAPSS:
		_, ok := k.key.(*rsa.PublicKey)
		return ok
	case *jwt.SigningMethodECDSA:
		key, ok := k.key.(*ecdsa.PublicKey)
		return ok && key.Curve.Params().BitSize == m.CurveBits
	case *jwt.SigningMethodEd25519:
		_, ok := k.key.(ed25519.PublicKey)
		return ok
	default:
		return false
	}
}

// verify checks the signature. The error wraps telemetry.ErrInvalid.
func (k jwk) verify(method jwt.SigningMethod, c compact) error {
	if !k.fits(method) {
		return reject(keyAlgorithm)
	}
	if err := method.Verify(c.signed, c.signature, k.key); err != nil {
		return reject(badSignature)
	}
	return nil
}
