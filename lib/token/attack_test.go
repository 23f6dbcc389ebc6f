package token_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/token"
	"github.com/insighthub/insighthub/lib/token/tokentest"
)

// rejects checks that the verifier and the authorizer reject a token, and that no error or
// log line contains a part of it.
func (b *platform) rejects(t *testing.T, name, text string) {
	t.Helper()
	got, err := b.verifier.Verify(t.Context(), text)
	var rejected *token.RejectionError
	if !errors.As(err, &rejected) || !errors.Is(err, telemetry.ErrInvalid) || !strings.HasSuffix(err.Error(), ": "+rejected.Reason) {
		t.Errorf("%s: got %+v, %v; want a RejectionError", name, got, err)
		return
	}
	b.log.Reset()
	response, failure := b.authorizer.Invoke(t.Context(), event(t, "Bearer "+text))
	if failure != nil || string(response) != `{"isAuthorized":false}` {
		t.Errorf("%s: the authorizer returns %.100s, %v; want it not authorized", name, response, failure)
	}
	for part := range strings.SplitSeq(text, ".") {
		if len(part) >= 8 && (strings.Contains(err.Error(), part) || strings.Contains(b.log.String(), part)) {
			t.Errorf("%s: a part of the token is in the error or the log: %v\n%s", name, err, b.log.String())
		}
	}
	if len(b.log.String()) > 1000 {
		t.Errorf("%s: logged %d bytes, want at most 1000", name, b.log.Len())
	}
}

// accepts checks that the verifier and the authorizer accept a token.
func (b *platform) accepts(t *testing.T, name, text string) {
	t.Helper()
	if _, err := b.verifier.Verify(t.Context(), text); err != nil {
		t.Errorf("%s: %v", name, err)
	}
	response, err := b.authorizer.Invoke(t.Context(), event(t, "Bearer "+text))
	if err != nil || !strings.HasPrefix(string(response), `{"isAuthorized":true,`) {
		t.Errorf("%s: the authorizer returns %.100s, %v; want it authorized", name, response, err)
	}
}

// TestAlgorithms: RFC 8725, 2.1: another algorithm, none, and the public key as a shared secret.
func TestAlgorithms(t *testing.T) {
	t.Parallel()
	b := newPlatform(t)
	b.accepts(t, "as it should be", b.forge(t, b.header(t), b.claims()))
	key := b.keys.Private("current")
	for _, alg := range []any{
		"none", "None", "NONE", "nOnE", "", "HS256", "HS384", "HS512", "RS256", "PS256",
		"ES384", "ES512", "ES256K", "EdDSA", "es256", "ES256 ", 256, nil,
		[]string{"ES256"},
	} {
		header := with(b.header(t), members{"alg": alg})
		b.rejects(t, fmt.Sprintf("alg %v, signed well", alg), b.forge(t, header, b.claims()))
		head := encodePart(header) + "." + encodePart(b.claims())
		for _, signature := range []string{"", ".", ".e30", ".AAAA"} {
			b.rejects(t, fmt.Sprintf("alg %v, signature %q", alg, signature), head+signature)
		}
		for form, secret := range publicForms(t, &key.PublicKey) {
			mac := hmac.New(sha256.New, secret)
			mac.Write([]byte(head))
			sum := mac.Sum(nil)
			b.rejects(t, fmt.Sprintf("alg %v, HMAC with %s", alg, form), head+"."+b64(sum))
			b.rejects(t, fmt.Sprintf("alg %v, doubled HMAC with %s", alg, form), head+"."+b64(append(sum, sum...)))
		}
	}
}

// publicForms returns encodings of a public key that could be mistaken for a secret.
func publicForms(t *testing.T, key *ecdsa.PublicKey) map[string][]byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	point, err := key.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	kid, err := token.KeyID(key)
	if err != nil {
		t.Fatal(err)
	}
	return map[string][]byte{
		"DER": der, "PEM": pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), "the point": point, "x": point[1:33],
		"the kid": []byte(kid), "nothing": nil,
	}
}

// TestKeyInjection: keys that the token itself supplies, and manipulated key ids.
func TestKeyInjection(t *testing.T) {
	t.Parallel()
	b := newPlatform(t)
	mine, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point, err := mine.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	kid, err := token.KeyID(&mine.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	jwk := members{"kty": "EC", "crv": "P-256", "kid": kid, "x": b64(point[1:33]), "y": b64(point[33:])}
	own := b.header(t)
	brought := []members{
		{"jwk": jwk},
		{"jwk": jwk, "kid": kid},
		{"jwk": jwk, "kid": nil},
		{"jku": "https://attacker.example/jwks.json"},
		{"jku": "https://attacker.example/", "kid": kid},
		{"x5u": "https://attacker.example/cert.pem"},
		{"x5c": []string{base64.StdEncoding.EncodeToString(point)}},
		{"x5t": "AAAA"},
		{"x5t#S256": "AAAA"},
		{"crit": []string{"exp"}},
		{"crit": []string{}},
		{"b64": false, "crit": []string{"b64"}},
		{"zip": "DEF"},
		{"enc": "A256GCM"},
		{"cty": "JWT"},
		{"nonce": "n"},
		{"JWK": jwk},
	}
	for _, change := range brought {
		b.rejects(t, fmt.Sprintf("%v, my signature", change), signed(t, mine, with(own, change), b.claims()))
		b.rejects(t, fmt.Sprintf("%v, the platform's signature", change), b.forge(t, with(own, change), b.claims()))
	}
	real, _ := own["kid"].(string)
	otherFirst := "A"
	if real[0] == 'A' { // the keys of the test are random
		otherFirst = "B"
	}
	for _, id := range []any{
		nil, "", kid, "../../../dev/null", "/dev/null", "file:///dev/null", "current", "' OR '1'='1", "x' UNION SELECT 'AAAA' --",
		"; rm -rf /", "$(id)", "%00",
		real + "\x00", real + " ", " " + real, real + "=", strings.ToUpper(real), real[:42], real + "A", otherFirst + real[1:],
		strings.Repeat("A", 43), strings.Repeat("k", 3000),
		"__proto__", "constructor", 0, true,
		[]string{real},
		members{"a": 1},
		real[:42] + sibling(real[42]),
	} {
		b.rejects(t, fmt.Sprintf("kid %.40v, my signature", id), signed(t, mine, with(own, members{"kid": id}), b.claims()))
		b.rejects(t, fmt.Sprintf("kid %.40v, the platform's signature", id), b.forge(t, with(own, members{"kid": id}), b.claims()))
	}
	b.rejects(t, "my signature under the platform's kid", signed(t, mine, own, b.claims()))
	if b.keys.Calls() != 1 {
		t.Errorf("the keys were read %d times, want once: no token causes a request", b.keys.Calls())
	}
}

// sibling returns another last character that decodes to the same bytes if the trailing
// bits are ignored.
func sibling(c byte) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return string(alphabet[strings.IndexByte(alphabet, c)^1])
}

// TestClaimsAreChecked: valid signatures of claims that must be rejected.
func TestClaimsAreChecked(t *testing.T) {
	t.Parallel()
	b := newPlatform(t)
	at := b.now.Unix()
	for _, change := range []members{
		{"iss": nil},
		{"iss": ""},
		{"iss": tokentest.Issuer + "/"},
		{"iss": strings.ToUpper(tokentest.Issuer)},
		{"iss": "https://attacker.example"},
		{"iss": 7},
		{"iss": []string{tokentest.Issuer}},
		{"aud": nil},
		{"aud": ""},
		{"aud": "other"},
		{"aud": "InsightHub"},
		{"aud": []string{"other", tokentest.Audience}},
		{"aud": []string{}},
		{"aud": nil, "client_id": tokentest.Audience},
		{"exp": nil},
		{"exp": at - 30},
		{"exp": at - 86400},
		{"exp": 0},
		{"exp": -1},
		{"exp": "never"},
		{"exp": fmt.Sprint(at + 900)},
		{"exp": 1e300},
		{"exp": 253402300800},
		{"exp": at + 3601},
		{"exp": at + 10*365*86400},
		{"exp": at},
		{"exp": []int64{at + 900}},
		{"exp": true},
		{"nbf": nil},
		{"nbf": at + 31},
		{"nbf": at + 899},
		{"nbf": "now"},
		{"nbf": -1},
		{"iat": nil},
		{"iat": at + 31, "exp": at + 900},
		{"iat": at - 3000, "exp": at + 900},
		{"iat": "now"},
		{"iat": at + 86400, "nbf": at + 86400, "exp": at + 86400 + 900},
		{"iat": at + 20, "nbf": at, "exp": at + 10},
		{"jti": nil},
		{"jti": ""},
		{"jti": strings.Repeat("j", 257)},
		{"jti": "a\nb"},
		{"jti": 1},
		{"sub": nil},
		{"sub": ""},
		{"sub": strings.Repeat("s", 513)},
		{"sub": "gw\r\n-1"},
		{"sub": 1},
		{"gateway": nil},
		{"gateway": ""},
		{"gateway": strings.Repeat("g", 129)},
		{"gateway": "g\x00"},
		{"gateway": 1},
		{"site": nil},
		{"site": ""},
		{"site": "*"},
		{"site": []string{"plant-1"}},
		{"site": "plant\u202e\n1"},
		{"role": nil},
		{"role": ""},
		{"role": "admin"},
		{"role": "Gateway"},
		{"role": "viewer"},
		{"role": 1},
		{"grants": members{"plant-1": "admin"}},
		{"grants": members{}},
	} {
		b.rejects(t, fmt.Sprintf("%.60v", change), b.forge(t, b.header(t), with(b.claims(), change)))
	}
	many := members{}
	for i := range token.MaxGrants + 1 {
		many[fmt.Sprint(i)] = "viewer"
	}
	for _, grants := range []any{
		nil, "admin",
		[]string{"plant-1:admin"},
		7, true,
		members{"plant-1": "gateway"},
		members{"plant-1": "root"},
		members{"plant-1": "Admin"},
		members{"plant-1": 3},
		members{"plant-1": nil},
		members{"plant-1": []string{"admin"}},
		members{"": "viewer"},
		members{strings.Repeat("p", 129): "viewer"},
		members{"a\x07": "viewer"},
		many,
	} {
		b.rejects(t, fmt.Sprintf("grants %.60v", grants), b.forge(t, b.header(t), b.personClaims(grants)))
	}
	delete(many, "0")
	for _, grants := range []members{{}, {"plant-1": "viewer", "*": "admin"}, many} {
		b.accepts(t, fmt.Sprintf("grants %.60v", grants), b.forge(t, b.header(t), b.personClaims(grants)))
	}
	for _, kind := range []any{nil, "", "JWT", "jwt", "AT+JWT", "at+jwt ", "application/at+jwt", "logout+jwt", 1} {
		b.rejects(t, fmt.Sprintf("typ %v", kind), b.forge(t, with(b.header(t), members{"typ": kind}), b.claims()))
	}
}

// TestSkew moves the clock across the limits.
func TestSkew(t *testing.T) {
	t.Parallel()
	b := newPlatform(t)
	at := b.now.Unix()
	for _, change := range []members{
		{"exp": at - 29},
		{"exp": at - 29, "iat": at - 3600 - 29},
		{"nbf": at + 30},
		{"iat": at + 30, "nbf": at + 30, "exp": at + 900},
		{"exp": float64(at) + 0.5},
		{"exp": at + 3600},
	} {
		c := with(b.claims(), change)
		if change["iat"] == nil && change["nbf"] == nil && change["exp"] != nil && change["exp"] == at-29 {
			c["iat"], c["nbf"] = at-900, at-900
		}
		b.accepts(t, fmt.Sprint(change), b.forge(t, b.header(t), c))
	}
	text := b.mint(t, gatewayOne())
	b.now = b.now.Add(token.GatewayLifetime + token.ClockSkew - 1)
	b.accepts(t, "the last nanosecond", text)
	b.now = b.now.Add(1)
	b.rejects(t, "the end", text)
}

// TestForms: one token in many encodings, of which one is accepted.
func TestForms(t *testing.T) {
	t.Parallel()
	b := newPlatform(t)
	good := b.mint(t, gatewayOne())
	b.accepts(t, "as minted", good)
	part := strings.Split(good, ".")
	last := part[2]
	for name, text := range map[string]string{
		"nothing": ".", "two dots": "..", "three dots": "...", "one part": part[0], "two parts": part[0] + "." + part[1],
		"no signature": part[0] + "." + part[1] + ".",
		"four parts":   good + ".", "five parts": good + ".a.b", "a dot before": "." + good, "no header": "." + part[1] + "." + last,
		"no claims": part[0] + ".." + last,
		"padding":   good + "=", "more padding": good + "==", "padding in the claims": part[0] + "." + part[1] + "=." + last,
		"space behind": good + " ", "tab": good + "\t", "line end behind": good + "\n",
		"line end in the header":    part[0][:5] + "\n" + part[0][5:] + "." + part[1] + "." + last,
		"line end in the signature": part[0] + "." + part[1] + "." + last[:5] + "\r\n" + last[5:],
		"line end in the claims":    part[0] + "." + part[1][:8] + "\n" + part[1][8:] + "." + last,
		"zero byte":                 good + "\x00", "bits that mean nothing": good[:len(good)-1] + sibling(good[len(good)-1]),
		"signature too short": good[:len(good)-1], "signature too long": good + "A",
		"signature longer by bytes": good + "AAAA", "standard alphabet": strings.NewReplacer("-", "+", "_", "/").Replace(good) + "+",
		"percent":    strings.Replace(good, ".", "%2E", 1),
		"two tokens": good + "," + good, "quoted": `"` + good + `"`,
		"json":      `{"payload":"` + part[1] + `","protected":"` + part[0] + `","signature":"` + last + `"}`,
		"oversized": strings.Repeat("A", token.MaxTokenBytes+1), "huge": strings.Repeat("A.", 1<<20),
		"oversized signature": good + strings.Repeat("A", token.MaxTokenBytes),
		"byte order mark":     "\ufeff" + good, "fullwidth dot": strings.Replace(good, ".", "\uff0e", 1),
		"swapped": part[1] + "." + part[0] + "." + last, "encrypted": strings.Repeat("e30.", 4) + "e30",
	} {
		if text == good+"+" {
			continue
		}
		b.rejects(t, name, text)
	}
	size := func(n int) string {
		return b.forge(t, b.header(t), with(b.claims(), members{"x": strings.Repeat("x", n)}))
	}
	fits := (token.MaxTokenBytes-len(size(0)))*3/4 - 2
	b.accepts(t, "as large as may be", size(fits))
	b.rejects(t, "larger, and signed well", size(fits+5))
	for i := range len(good) {
		if changed := good[:i] + sibling2(good[i]) + good[i+1:]; changed != good {
			b.rejects(t, fmt.Sprintf("character %d changed", i), changed)
		}
	}
}

func sibling2(c byte) string {
	if c == '.' {
		return "-"
	}
	return sibling(c)
}

// TestJSON: JSON that two parsers could read differently is rejected.
func TestJSON(t *testing.T) {
	t.Parallel()
	b := newPlatform(t)
	header, claims := plain(b.header(t)), plain(b.claims())
	add := func(object, member string) string { return strings.TrimSuffix(object, "}") + "," + member + "}" }
	for _, member := range []string{`"alg":"none"`, `"alg":"ES256"`, `"\u0061lg":"ES256"`, `"kid":"x"`, `"typ":"at+jwt"`, `"ALG":"ES256"`} {
		b.rejects(t, "header with "+member, b.forge(t, add(header, member), claims))
	}
	for _, member := range []string{
		"\"x\":\"\xff\"", "\"\xff\":1", `"sub":"gw-2"`, `"sub":"gw-1"`, `"\u0073ub":"gw-2"`, `"role":"gateway"`, `"exp":9999999999`,
		`"iss":"x"`, `"x":{"a":1,"a":2}`, `"x":[{"a":1,"\u0061":1}]`,
		`"x":` + strings.Repeat("[", 9) + strings.Repeat("]", 9), `"x":` + strings.Repeat(`{"a":`, 9) + "1" + strings.Repeat("}", 9),
		`"x":` + strings.Repeat("[", 3000) + strings.Repeat("]", 3000),
	} {
		b.rejects(t, fmt.Sprintf("claims with %.50s", member), b.forge(t, header, add(claims, member)))
	}
	var wide strings.Builder
	for i := range 300 {
		fmt.Fprintf(&wide, `"m%d":0,`, i)
	}
	b.rejects(t, "many members", b.forge(t, header, "{"+wide.String()+claims[1:]))
	for name, object := range map[string]string{
		"an array": "[" + claims + "]", "a text": `"x"`, "null": "null", "empty": "", "a number": "1",
		"cut off": claims[:len(claims)-1], "bytes behind": claims + "x", "two objects": claims + claims,
		"bad UTF-8": strings.Replace(claims, "plant-1", "plant\xff", 1), "NaN": strings.Replace(claims, `"jti":"id-1"`, `"jti":NaN`, 1),
		"single quotes": strings.ReplaceAll(claims, `"`, `'`),
		"a comment":     claims + "//", "trailing comma": strings.TrimSuffix(claims, "}") + ",}", "byte order mark": "\ufeff" + claims,
		"a zero byte": claims + "\x00", "an empty object": "{}",
	} {
		b.rejects(t, name+" as claims", b.forge(t, header, object))
		b.rejects(t, name+" as header", b.forge(t, strings.ReplaceAll(object, "plant", "p"), claims))
	}
	// "ISS" is not "iss".
	b.rejects(t, "names in capitals", b.forge(t, header, strings.Replace(claims, `"iss"`, `"ISS"`, 1)))
	b.accepts(t, "another member in capitals", b.forge(t, header, add(claims, `"ISS":"x"`)))
	b.accepts(t, "white space", b.forge(t, " {\n"+header[1:], "\t"+strings.ReplaceAll(claims, "\":", "\" :\r\n ")+" "))
	b.accepts(t, "escapes", b.forge(t, header, strings.Replace(claims, `"sub":"gw-1"`, `"s\u0075b":"gw\u002d1"`, 1)))
	b.accepts(t, "nested to the bound", b.forge(t, header, add(claims, `"x":`+strings.Repeat("[", 7)+strings.Repeat("]", 7))))
}

// plain returns the object's JSON without HTML escapes.
func plain(m members) string {
	raw, _ := base64.RawURLEncoding.DecodeString(encodePart(m)) // just encoded
	return string(raw)
}

// TestSignatures: values that a faulty ECDSA verification accepts (such as CVE-2022-21449).
func TestSignatures(t *testing.T) {
	t.Parallel()
	b := newPlatform(t)
	head := encodePart(b.header(t)) + "." + encodePart(b.claims())
	n := elliptic.P256().Params().N
	p := elliptic.P256().Params().P
	one, half := big.NewInt(1), new(big.Int).Rsh(n, 1)
	edge := []*big.Int{
		new(big.Int), one, big.NewInt(2), half, new(big.Int).Sub(n, one), n, new(big.Int).Add(n, one), p, new(big.Int).Sub(p, one),
		new(big.Int).Sub(new(big.Int).Lsh(one, 256), one), new(big.Int).Lsh(one, 255),
	}
	for _, r := range edge {
		for _, s := range edge {
			raw := make([]byte, 64)
			r.FillBytes(raw[:32])
			s.FillBytes(raw[32:])
			b.rejects(t, fmt.Sprintf("r %x, s %x", r, s), head+"."+b64(raw))
		}
	}
	key := b.keys.Private("current")
	digest := sha256.Sum256([]byte(head))
	der, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	b.rejects(t, "DER", head+"."+b64(der))
	raw, err := tokentest.Sign(key, digest)
	if err != nil {
		t.Fatal(err)
	}
	b.accepts(t, "raw", head+"."+b64(raw))
	r, s := raw[:32], raw[32:]
	zero := make([]byte, 32)
	for name, forged := range map[string][]byte{
		"s and r": append(append([]byte{}, s...), r...), "r alone": r, "r twice": append(append([]byte{}, r...), r...),
		"zero before": append([]byte{0}, raw...), "zero behind": append(append([]byte{}, raw...), 0),
		"r padded": append(append(append(append([]byte{}, 0), r...), 0), s...), "r and zero": append(append([]byte{}, r...), zero...),
		"96 bytes": append(append([]byte{}, raw...), zero...), "first byte cut": raw[1:],
	} {
		b.rejects(t, name, head+"."+b64(forged))
	}
	// r + n is equivalent to r modulo n, if it fits in 32 bytes; so is s + n.
	for at, value := range map[int][]byte{0: r, 32: s} {
		sum := new(big.Int).Add(new(big.Int).SetBytes(value), n)
		if sum.BitLen() > 256 {
			continue
		}
		other := append([]byte{}, raw...)
		sum.FillBytes(other[at : at+32])
		b.rejects(t, "value plus the order", head+"."+b64(other))
	}
	other := encodePart(b.header(t)) + "." + encodePart(with(b.claims(), members{"sub": "gw-2"}))
	b.rejects(t, "the signature of another token", other+"."+b64(raw))
}
