// Package kms signs with asymmetric keys of AWS KMS, and reads their public keys: signing
// keys of the curve P-256 (ECC_NIST_P256, SIGN_VERIFY).
package kms

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/insighthub/insighthub/lib/aws/failure"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// Client is the part of the SDK's client that Keys uses.
type Client interface {
	GetPublicKey(context.Context, *kms.GetPublicKeyInput, ...func(*kms.Options)) (*kms.GetPublicKeyOutput, error)
	Sign(context.Context, *kms.SignInput, ...func(*kms.Options)) (*kms.SignOutput, error)
}

var _ Client = (*kms.Client)(nil)

// Keys reads and uses keys by their ARN or id (not by an alias, which may be moved to
// another key). It is safe for concurrent use.
//
// Errors wrap telemetry.ErrNotFound when there is no such key or it is disabled or pending
// deletion, and telemetry.ErrUnavailable when the service does not respond within the
// context's deadline or throttles.
type Keys struct {
	client Client

	mu     sync.Mutex
	public map[string]*ecdsa.PublicKey // by ARN or id
}

// New returns Keys over the SDK's client for cfg.
func New(cfg aws.Config) *Keys { return NewFromClient(kms.NewFromConfig(cfg)) }

// NewFromClient returns Keys over client.
func NewFromClient(client Client) *Keys {
	return &Keys{client: client, public: make(map[string]*ecdsa.PublicKey)}
}

// PublicKey returns the public key of a key pair. It never changes, so it is cached.
func (k *Keys) PublicKey(ctx context.Context, arn string) (*ecdsa.PublicKey, error) {
	k.mu.Lock()
	key := k.public[arn]
	k.mu.Unlock()
	if key != nil {
		return key, nil
	}
	out, err := k.client.GetPublicKey(ctx, &kms.GetPublicKeyInput{KeyId: aws.String(arn)})
	if err != nil {
		return nil, fmt.Errorf("public key of %q: %w", arn, classify(err))
	}
	if out.KeyUsage != types.KeyUsageTypeSignVerify {
		return nil, fmt.Errorf("public key of %q: %w: its usage is %q, want SIGN_VERIFY", arn, telemetry.ErrConflict, out.KeyUsage)
	}
	if key, err = parsePublic(out.PublicKey); err != nil {
		return nil, fmt.Errorf("public key of %q: %w", arn, err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.public[arn] = key
	return key, nil
}

// parsePublic reads a SubjectPublicKeyInfo (RFC 5480) of P-256.
func parsePublic(der []byte) (*ecdsa.PublicKey, error) {
	parsed, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, err
	}
	key, ok := parsed.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, fmt.Errorf("%w: not a key of P-256", telemetry.ErrConflict)
	}
	return key, nil
}

// Sign returns the signature of a SHA-256 digest as r and s, 32 bytes each, the form of JWS
// (RFC 7518, 3.4).
func (k *Keys) Sign(ctx context.Context, arn string, digest [sha256.Size]byte) ([]byte, error) {
	out, err := k.client.Sign(ctx, &kms.SignInput{
		KeyId: aws.String(arn), Message: digest[:], MessageType: types.MessageTypeDigest,
		SigningAlgorithm: types.SigningAlgorithmSpecEcdsaSha256,
	})
	if err != nil {
		return nil, fmt.Errorf("sign with %q: %w", arn, classify(err))
	}
	raw, err := rawSignature(out.Signature)
	if err != nil {
		return nil, fmt.Errorf("sign with %q: %w", arn, err)
	}
	return raw, nil
}

// rawSignature converts KMS's form, Ecdsa-Sig-Value of RFC 3279 in DER, to r and s.
func rawSignature(der []byte) ([]byte, error) {
	var v struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(der, &v); err != nil {
		return nil, fmt.Errorf("signature: %w", err)
	}
	// The decoder ignores data after s, inside the sequence and after it. DER has one
	// encoding of two numbers, so a comparison finds such data.
	same, err := asn1.Marshal(v)
	n := elliptic.P256().Params().N
	switch {
	case err != nil:
		return nil, fmt.Errorf("signature: %w", err)
	case !bytes.Equal(same, der):
		return nil, errors.New("signature: more than r and s")
	case v.R.Sign() <= 0 || v.S.Sign() <= 0 || v.R.Cmp(n) >= 0 || v.S.Cmp(n) >= 0:
		return nil, errors.New("signature: out of range")
	}
	const half = 32
	raw := make([]byte, 2*half)
	v.R.FillBytes(raw[:half])
	v.S.FillBytes(raw[half:])
	return raw, nil
}

// classify adds the sentinel that err stands for.
func classify(err error) error {
	return failure.Wrap(err, map[string]error{
		"NotFoundException": telemetry.ErrNotFound, "DisabledException": telemetry.ErrNotFound,
		"KMSInvalidStateException": telemetry.ErrNotFound,
	})
}
