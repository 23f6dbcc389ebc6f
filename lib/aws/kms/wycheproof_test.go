package kms_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"math/big"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/c2sp/wycheproof"
	"github.com/google/go-cmp/cmp"

	"github.com/insighthub/insighthub/lib/aws/kms"
)

// TestWycheproofSignatures uses Project Wycheproof's signatures in DER as responses of KMS.
// A valid one becomes the r and s that verify; of the others those with a wrong encoding or
// numbers out of range are rejected, and the rest does not verify.
// No encoding but DER is accepted: an accepted signature encodes to the same bytes.
func TestWycheproofSignatures(t *testing.T) {
	t.Parallel()
	text, err := fs.ReadFile(wycheproof.TestVectors, "ecdsa_secp256r1_sha256_test.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		NumberOfTests int
		TestGroups    []struct {
			PublicKey struct{ Uncompressed string }
			Tests     []struct {
				TcID                      int
				Comment, Msg, Sig, Result string
				Flags                     []string
			}
		}
	}
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	counts, n := make(map[string]int), 0
	for _, g := range file.TestGroups {
		key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), unhex(t, g.PublicKey.Uncompressed))
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range g.Tests {
			n++
			der, digest := unhex(t, v.Sig), sha256.Sum256(unhex(t, v.Msg))
			raw, err := kms.NewFromClient(&client{signature: der}).Sign(t.Context(), "arn", digest)
			if err != nil {
				counts[v.Result+": rejected"]++
				if v.Result == "valid" {
					t.Errorf("vector %d, %s: %v", v.TcID, v.Comment, err)
				}
				continue
			}
			if len(raw) != 64 {
				t.Fatalf("vector %d, %s: %d bytes", v.TcID, v.Comment, len(raw))
			}
			verifies := ecdsa.Verify(key, digest[:], new(big.Int).SetBytes(raw[:32]), new(big.Int).SetBytes(raw[32:]))
			counts[v.Result+map[bool]string{true: ": verifies", false: ": does not verify"}[verifies]]++
			if verifies != (v.Result == "valid") {
				t.Errorf("vector %d, %s, %s: verifies %t", v.TcID, v.Comment, v.Result, verifies)
			}
			for _, flag := range []string{"InvalidEncoding", "BerEncodedSignature", "InvalidTypesInSignature"} {
				if slices.Contains(v.Flags, flag) {
					t.Errorf("vector %d, %s: got accepted", v.TcID, v.Comment)
				}
			}
		}
	}
	want := map[string]int{"valid: verifies": 174, "invalid: rejected": 287, "invalid: does not verify": 23}
	if diff := cmp.Diff(want, counts); diff != "" || n != file.NumberOfTests {
		t.Errorf("got %d vectors, want %d; counts differ (-want +got):\n%s", n, file.NumberOfTests, diff)
	}
}

func unhex(t *testing.T, text string) []byte {
	t.Helper()
	raw, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// FuzzSignature: whatever KMS responds, what is accepted is a signature of two numbers in
// range, in DER's one form.
func FuzzSignature(f *testing.F) {
	for _, seed := range []string{
		"", "3006020101020101", "300602010102010100", "30060201000201ff", "308106020101020101", "3080020101020101000",
		"30070202000102010100",
		"3045022100b292a619339f6e567a305c951c0dcbcc42d16e47f219f9e98e76e09d8770b34a" +
			"02200177e60492c5a8242f76f07bfe3661bde59ec2a17ce5bd2dab2abebdf89a62e2",
	} {
		raw, _ := hex.DecodeString(seed)
		f.Add(raw)
	}
	n := elliptic.P256().Params().N
	f.Fuzz(func(t *testing.T, der []byte) {
		raw, err := kms.NewFromClient(&client{signature: der}).Sign(t.Context(), "arn", [32]byte{})
		if err != nil {
			return
		}
		if len(raw) != 64 {
			t.Fatalf("%x: %d bytes", der, len(raw))
		}
		r, s := new(big.Int).SetBytes(raw[:32]), new(big.Int).SetBytes(raw[32:])
		if r.Sign() == 0 || s.Sign() == 0 || r.Cmp(n) >= 0 || s.Cmp(n) >= 0 {
			t.Errorf("%x: r %x, s %x", der, r, s)
		}
		if again := encodeDER(t, r, s); !slices.Equal(again, der) {
			t.Errorf("%x was read as %x", der, again)
		}
	})
}

// FuzzPublicKey: whatever KMS responds, a key that is accepted is one of P-256.
func FuzzPublicKey(f *testing.F) {
	_, der := public(f, elliptic.P256())
	_, wide := public(f, elliptic.P384())
	for _, seed := range [][]byte{der, wide, der[:50], nil} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, der []byte) {
		key, err := kms.NewFromClient(&client{public: der, usage: types.KeyUsageTypeSignVerify}).PublicKey(t.Context(), "k")
		if err != nil {
			return
		}
		if point, err := key.Bytes(); err != nil || key.Curve != elliptic.P256() || len(point) != 65 {
			t.Errorf("%x: %v, %v", der, point, err)
		}
	})
}
