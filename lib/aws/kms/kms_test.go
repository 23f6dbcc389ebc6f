package kms_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"math/big"
	"net/http"
	"testing"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/insighthub/insighthub/lib/aws/kms"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// client responds with its fields.
type client struct {
	public    []byte
	usage     types.KeyUsageType
	signature []byte
	err       error
	calls     int
	last      *awskms.SignInput
}

func (c *client) GetPublicKey(context.Context, *awskms.GetPublicKeyInput, ...func(*awskms.Options)) (*awskms.GetPublicKeyOutput, error) {
	c.calls++
	return &awskms.GetPublicKeyOutput{PublicKey: c.public, KeyUsage: c.usage}, c.err
}

func (c *client) Sign(_ context.Context, in *awskms.SignInput, _ ...func(*awskms.Options)) (*awskms.SignOutput, error) {
	c.last = in
	return &awskms.SignOutput{Signature: c.signature}, c.err
}

func public(tb testing.TB, curve elliptic.Curve) (*ecdsa.PrivateKey, []byte) {
	tb.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		tb.Fatal(err)
	}
	return key, der
}

func TestPublicKeyIsReadOnce(t *testing.T) {
	t.Parallel()
	key, der := public(t, elliptic.P256())
	c := &client{err: errors.New("not yet"), usage: types.KeyUsageTypeSignVerify, public: der}
	keys := kms.NewFromClient(c)
	if _, err := keys.PublicKey(t.Context(), "k"); !errors.Is(err, telemetry.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
	c.err = nil
	for range 3 {
		if got, err := keys.PublicKey(t.Context(), "k"); err != nil || !got.Equal(&key.PublicKey) {
			t.Fatalf("got %v, %v", got, err)
		}
	}
	if c.calls != 2 {
		t.Errorf("got %d calls, want one that failed and one", c.calls)
	}
}

func TestPublicKeyRejects(t *testing.T) {
	t.Parallel()
	_, good := public(t, elliptic.P256())
	_, wide := public(t, elliptic.P384())
	for name, c := range map[string]*client{
		"another curve": {public: wide, usage: types.KeyUsageTypeSignVerify},
		"another use":   {public: good, usage: types.KeyUsageTypeKeyAgreement},
		"cut off":       {public: good[:50], usage: types.KeyUsageTypeSignVerify},
		"nothing":       {usage: types.KeyUsageTypeSignVerify},
	} {
		if key, err := kms.NewFromClient(c).PublicKey(t.Context(), "k"); err == nil {
			t.Errorf("%s: got %v", name, key)
		}
	}
}

func encodeDER(tb testing.TB, r, s *big.Int) []byte {
	tb.Helper()
	raw, err := asn1.Marshal(struct{ R, S *big.Int }{r, s})
	if err != nil {
		tb.Fatal(err)
	}
	return raw
}

func TestSign(t *testing.T) {
	t.Parallel()
	n := elliptic.P256().Params().N
	der := func(r, s *big.Int) []byte { return encodeDER(t, r, s) }
	one, last := big.NewInt(1), new(big.Int).Sub(n, big.NewInt(1))
	c := &client{signature: der(one, last)}
	digest := sha256.Sum256([]byte("m"))
	raw, err := kms.NewFromClient(c).Sign(t.Context(), "arn", digest)
	want := make([]byte, 64)
	want[31] = 1
	last.FillBytes(want[32:])
	if err != nil || !bytes.Equal(raw, want) {
		t.Errorf("got %x, %v", raw, err)
	}
	if c.last.MessageType != types.MessageTypeDigest || c.last.SigningAlgorithm != types.SigningAlgorithmSpecEcdsaSha256 ||
		!bytes.Equal(c.last.Message, digest[:]) || *c.last.KeyId != "arn" {
		t.Errorf("got request %+v", c.last)
	}
	for name, signature := range map[string][]byte{
		"nothing": nil, "zero": der(new(big.Int), one), "negative": der(one, big.NewInt(-1)), "the order": der(n, one),
		"trailing bytes": append(der(one, one), 0), "wide": der(new(big.Int).Lsh(one, 300), one), "no integers": {0x30, 0},
	} {
		if raw, err := kms.NewFromClient(&client{signature: signature}).Sign(t.Context(), "arn", digest); err == nil {
			t.Errorf("%s: got %x", name, raw)
		}
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	status := func(code int) error {
		return &awshttp.ResponseError{ResponseError: &smithyhttp.ResponseError{
			Response: &smithyhttp.Response{Response: &http.Response{StatusCode: code}}, Err: errors.New("x"),
		}}
	}
	kinds := []error{telemetry.ErrInvalid, telemetry.ErrNotFound, telemetry.ErrConflict, telemetry.ErrUnavailable}
	for name, c := range map[string]struct{ err, want error }{
		"no such key":    {&types.NotFoundException{}, telemetry.ErrNotFound},
		"disabled":       {&types.DisabledException{}, telemetry.ErrNotFound},
		"to be deleted":  {&types.KMSInvalidStateException{}, telemetry.ErrNotFound},
		"throttled":      {&smithy.GenericAPIError{Code: "ThrottlingException"}, telemetry.ErrUnavailable},
		"internal":       {status(500), telemetry.ErrUnavailable},
		"too many":       {status(429), telemetry.ErrUnavailable},
		"not allowed":    {status(403), nil},
		"no response":    {errors.New("connection refused"), telemetry.ErrUnavailable},
		"out of time":    {context.DeadlineExceeded, telemetry.ErrUnavailable},
		"no longer want": {context.Canceled, nil},
	} {
		keys := kms.NewFromClient(&client{err: c.err})
		_, read := keys.PublicKey(t.Context(), "k")
		_, signed := keys.Sign(t.Context(), "k", [32]byte{})
		for _, err := range []error{read, signed} {
			if !errors.Is(err, c.err) {
				t.Errorf("%s: got %v, which does not wrap its cause", name, err)
			}
			for _, kind := range kinds {
				if errors.Is(err, kind) != (kind == c.want) { //nolint:errorlint // the same sentinel
					t.Errorf("%s: got %v, want %v", name, err, c.want)
				}
			}
		}
	}
}
