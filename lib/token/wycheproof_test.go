package token

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/c2sp/wycheproof"
	"github.com/google/go-cmp/cmp"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// Project Wycheproof's vectors: signatures and keys that other implementations got wrong.
// Each test counts what it tested, so that an empty selection or a changed file is noticed.

// vectors is a file of vectors, with the members that the tests read.
type vectors struct {
	NumberOfTests int
	TestGroups    []struct {
		PublicKey    struct{ Uncompressed string }
		PublicKeyJWK json.RawMessage
		// Public is a JWK or a set of them; a group of shared secrets has none.
		Public json.RawMessage
		Tests  []vector
	}
}

type vector struct {
	TcID          int
	Comment       string
	Msg, Sig, JWS string // Msg and Sig in hexadecimal
	Result        string
}

func (v vector) valid() bool { return v.Result == "valid" }

func readVectors(tb testing.TB, name string) vectors {
	tb.Helper()
	text, err := fs.ReadFile(wycheproof.TestVectors, name)
	if err != nil {
		tb.Fatal(err)
	}
	var v vectors
	if err := json.Unmarshal(text, &v); err != nil {
		tb.Fatalf("%s: %v", name, err)
	}
	n := 0
	for _, g := range v.TestGroups {
		n += len(g.Tests)
		for _, t := range g.Tests {
			if t.Result != "valid" && t.Result != "invalid" {
				tb.Fatalf("%s: vector %d is %q", name, t.TcID, t.Result)
			}
		}
	}
	if n == 0 || n != v.NumberOfTests {
		tb.Fatalf("%s: %d vectors, want %d as the file says", name, n, v.NumberOfTests)
	}
	return v
}

func unhex(tb testing.TB, text string) []byte {
	tb.Helper()
	raw, err := hex.DecodeString(text)
	if err != nil {
		tb.Fatal(err)
	}
	return raw
}

func tested(t *testing.T, want, got map[string]int) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("counts differ (-want +got):\n%s", diff)
	}
}

// TestWycheproofES256: r and s of 32 bytes each, as a JWS has them, through the checks of
// the platform's own tokens and of a trusted issuer's. The keys are parsed from a JWK, as a
// gateway's.
func TestWycheproofES256(t *testing.T) {
	t.Parallel()
	counts := make(map[string]int)
	for _, g := range readVectors(t, "ecdsa_secp256r1_sha256_p1363_test.json").TestGroups {
		point, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), unhex(t, g.PublicKey.Uncompressed))
		if err != nil {
			t.Fatal(err)
		}
		text, err := MarshalPublicKey(point)
		if err != nil {
			t.Fatal(err)
		}
		key, _, err := ParsePublicKey(text)
		if err != nil || !key.Equal(point) {
			t.Fatalf("%s: %v", text, err)
		}
		if g.PublicKeyJWK != nil {
			if theirs, _, err := ParsePublicKey(g.PublicKeyJWK); err != nil || !theirs.Equal(point) {
				t.Errorf("%s: %v", g.PublicKeyJWK, err)
			}
			counts["keys as JWK"]++
		}
		counts["keys"]++
		method, _ := algorithm(ownAlgorithm)
		for _, v := range g.Tests {
			c := compact{signed: string(unhex(t, v.Msg)), signature: unhex(t, v.Sig)}
			own := checkSignature(c.signature)
			if own == nil {
				own = verifyES256(c, key)
			} else {
				counts["rejected before the key look-up"]++
			}
			for who, err := range map[string]error{"own": own, "trusted": jwk{key: key}.verify(method, c)} {
				if (err == nil) != v.valid() || err != nil && !errors.Is(err, telemetry.ErrInvalid) {
					t.Errorf("vector %d, %s, %s: %s: %v", v.TcID, v.Comment, v.Result, who, err)
				}
			}
			counts[v.Result]++
		}
	}
	tested(t, map[string]int{"keys": 112, "keys as JWK": 103, "valid": 173, "invalid": 89, "rejected before the key look-up": 71}, counts)
}

// verifyJWS verifies as Verify does for a trusted issuer, without the claims: the vectors'
// payloads are not claims.
func verifyJWS(text string, set []byte, algorithms ...string) error {
	keys, err := parseJWKS(set)
	if err != nil {
		return err
	}
	c, _, err := split(text)
	if err != nil {
		return err
	}
	method, kid, err := trustedHeader(c.header, algorithms)
	if err != nil {
		return err
	}
	key, ok := keys[kid]
	if !ok {
		return reject(unknownKey)
	}
	return key.verify(method, c)
}

// setOf is a group's key set.
func setOf(public json.RawMessage) []byte {
	switch {
	case public == nil:
		return []byte(`{"keys":[]}`)
	case bytes.Contains(public, []byte(`"keys"`)):
		return public
	default:
		return fmt.Appendf(nil, `{"keys":[%s]}`, public)
	}
}

// headerAlgorithm returns the alg of a JWS, or a description if it has none.
func headerAlgorithm(text string) string {
	header, _, _ := strings.Cut(text, ".")
	raw, err := decode(header)
	if err != nil {
		return "unreadable"
	}
	members, err := readObject(raw)
	if err != nil {
		return "unreadable"
	}
	name, err := members.text("alg")
	if err != nil {
		return "none at all"
	}
	return name
}

// TestWycheproofJWSPinned: with ES256 alone, as the platform's own tokens and the gateways'
// assertions are, every valid JWS of ES256 is accepted and nothing else: no invalid one, and
// no valid one of another algorithm. None of them is a token, or an assertion.
func TestWycheproofJWSPinned(t *testing.T) {
	t.Parallel()
	own := ownVerifier(t)
	for name, want := range map[string]map[string]int{
		"json_web_signature_test.json": {"accepted": 2, "ES256, invalid": 33, "other, valid": 44, "other, invalid": 322},
		"json_web_key_test.json":       {"ES256, invalid": 6, "other, valid": 5, "other, invalid": 15},
	} {
		counts := make(map[string]int)
		for _, g := range readVectors(t, name).TestGroups {
			for _, v := range g.Tests {
				es256 := headerAlgorithm(v.JWS) == ownAlgorithm
				err := verifyJWS(v.JWS, setOf(g.Public), ownAlgorithm)
				if (err == nil) != (v.valid() && es256) || err != nil && !errors.Is(err, telemetry.ErrInvalid) {
					t.Errorf("%s: vector %d, %s, %s: %v", name, v.TcID, v.Comment, v.Result, err)
				}
				if claims, err := own.Verify(t.Context(), v.JWS); !errors.Is(err, telemetry.ErrInvalid) {
					t.Errorf("%s: vector %d is a token: %+v, %v", name, v.TcID, claims, err)
				}
				switch {
				case err == nil:
					counts["accepted"]++
				case es256:
					counts["ES256, "+v.Result]++
				default:
					counts["other, "+v.Result]++
				}
			}
		}
		tested(t, want, counts)
	}
}

// ownVerifier returns a Verifier whose own key is that of the vectors for ES256.
func ownVerifier(t *testing.T) *Verifier {
	t.Helper()
	now := func() time.Time { return time.Date(2026, 11, 23, 9, 10, 0, 0, time.UTC) }
	for _, g := range readVectors(t, "json_web_signature_test.json").TestGroups {
		key, _, err := ParsePublicKey(g.Public)
		if err != nil {
			continue
		}
		set, err := NewKeySet(KeySetConfig{Source: oneKey{key}, Keys: []SigningKey{{Key: "k"}}, Now: now})
		if err != nil {
			t.Fatal(err)
		}
		v, err := NewVerifier(VerifierConfig{Issuer: "i", Audience: "a", Keys: set, Now: now})
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	t.Fatal("no key of P-256")
	return nil
}

// TestWycheproofJWS: with all algorithms that can be configured for a trusted issuer, only
// what the vectors call valid is accepted. These valid ones are rejected too:
//   - shared secrets, which are never accepted;
//   - a header with characters outside base64url, which some decoders ignore;
//   - an empty payload: the claims are the payload;
//   - a key that names another algorithm than the token's (RFC 7517, 4.4), or
//     one that does not exist (ES521).
func TestWycheproofJWS(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]map[string]int{
		"json_web_signature_test.json": {
			"accepted": 26, "rejected": 355, "shared secret": 9, "unreadable": 1, "empty payload": 6, "the key is for another algorithm": 4,
		},
		"json_web_key_test.json": {"accepted": 1, "rejected": 21, "shared secret": 4},
	} {
		counts := make(map[string]int)
		for _, g := range readVectors(t, name).TestGroups {
			for _, v := range g.Tests {
				err := verifyJWS(v.JWS, setOf(g.Public),
					"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
				if err != nil && !errors.Is(err, telemetry.ErrInvalid) || err == nil && !v.valid() {
					t.Errorf("%s: vector %d, %s, %s: %v", name, v.TcID, v.Comment, v.Result, err)
				}
				alg := headerAlgorithm(v.JWS)
				switch {
				case err == nil:
					counts["accepted"]++
				case !v.valid():
					counts["rejected"]++
				case alg == "unreadable":
					counts[alg]++
				case strings.HasPrefix(alg, "HS"):
					counts["shared secret"]++
				case strings.Contains(v.JWS, ".."):
					counts["empty payload"]++
				case slices.Contains([]int{346, 347, 350, 351}, v.TcID):
					counts["the key is for another algorithm"]++
				default:
					t.Errorf("%s: vector %d, %s, is valid: %v", name, v.TcID, v.Comment, err)
				}
			}
		}
		tested(t, want, counts)
	}
}

// oneKey is a KeySource with one key under every name.
type oneKey struct{ key *ecdsa.PublicKey }

func (k oneKey) PublicKey(context.Context, string) (*ecdsa.PublicKey, error) { return k.key, nil }
