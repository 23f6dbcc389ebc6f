package kms

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"net/http"

	"github.com/insighthub/insighthub/cdk/local/awsjson"
)

const (
	targetPrefix    = "TrentService."
	maxRequestBytes = 64 << 10
	maxMessageBytes = 4096 // KMS's limit for a message that it hashes itself
	algorithm       = "ECDSA_SHA_256"
	spec            = "ECC_NIST_P256"
	usage           = "SIGN_VERIFY"
)

type keyRequest struct {
	KeyID string `json:"KeyId"`
}

type signRequest struct {
	KeyID            string `json:"KeyId"`
	Message          []byte `json:"Message"`
	MessageType      string `json:"MessageType"`
	SigningAlgorithm string `json:"SigningAlgorithm"`
}

type publicKeyResponse struct {
	KeyID                 string   `json:"KeyId"`
	PublicKey             []byte   `json:"PublicKey"`
	CustomerMasterKeySpec string   `json:"CustomerMasterKeySpec"`
	KeySpec               string   `json:"KeySpec"`
	KeyUsage              string   `json:"KeyUsage"`
	SigningAlgorithms     []string `json:"SigningAlgorithms"`
}

type signResponse struct {
	KeyID            string `json:"KeyId"`
	Signature        []byte `json:"Signature"`
	SigningAlgorithm string `json:"SigningAlgorithm"`
}

type describeResponse struct {
	KeyMetadata metadata `json:"KeyMetadata"`
}

type metadata struct {
	AWSAccountID          string   `json:"AWSAccountId"`
	ARN                   string   `json:"Arn"`
	KeyID                 string   `json:"KeyId"`
	CreationDate          float64  `json:"CreationDate"` // seconds since 1970
	CustomerMasterKeySpec string   `json:"CustomerMasterKeySpec"`
	Enabled               bool     `json:"Enabled"`
	KeyManager            string   `json:"KeyManager"`
	KeySpec               string   `json:"KeySpec"`
	KeyState              string   `json:"KeyState"`
	KeyUsage              string   `json:"KeyUsage"`
	MultiRegion           bool     `json:"MultiRegion"`
	Origin                string   `json:"Origin"`
	SigningAlgorithms     []string `json:"SigningAlgorithms"`
}

// Handler returns the HTTP API. Signatures are not checked.
func (s *Store) Handler() http.Handler {
	return awsjson.New(awsjson.Config{TargetPrefix: targetPrefix, MaxBytes: maxRequestBytes, Operations: map[string]awsjson.Operation{
		"GetPublicKey": awsjson.Of(s.getPublicKey),
		"Sign":         awsjson.Of(s.sign),
		"DescribeKey":  awsjson.Of(s.describeKey),
	}})
}

func (s *Store) getPublicKey(in keyRequest) (any, error) {
	k, err := s.find(in.KeyID)
	if err != nil {
		return nil, err
	}
	return publicKeyResponse{s.ARN(k.ID), k.public, spec, spec, usage, []string{algorithm}}, nil
}

func (s *Store) describeKey(in keyRequest) (any, error) {
	k, err := s.find(in.KeyID)
	if err != nil {
		return nil, err
	}
	return describeResponse{metadata{
		AWSAccountID: s.cfg.AccountID, ARN: s.ARN(k.ID), KeyID: k.ID, CreationDate: awsjson.Seconds(k.Created),
		CustomerMasterKeySpec: spec, Enabled: true, KeyManager: "CUSTOMER", KeySpec: spec, KeyState: "Enabled",
		KeyUsage: usage, Origin: "AWS_KMS", SigningAlgorithms: []string{algorithm},
	}}, nil
}

func (s *Store) sign(in signRequest) (any, error) {
	k, err := s.find(in.KeyID)
	if err != nil {
		return nil, err
	}
	digest, err := in.digest()
	if err != nil {
		return nil, err
	}
	signature, err := ecdsa.SignASN1(rand.Reader, k.private, digest)
	if err != nil {
		return nil, awsjson.Errorf(awsjson.KMSInternal, "The signature failed.")
	}
	return signResponse{s.ARN(k.ID), signature, algorithm}, nil
}

// digest returns what is signed: the message, or its hash.
func (in signRequest) digest() ([]byte, error) {
	switch {
	case in.SigningAlgorithm != algorithm:
		return nil, awsjson.Errorf("InvalidKeyUsageException", "The key signs with %s only.", algorithm)
	case in.MessageType == "DIGEST" && len(in.Message) != sha256.Size:
		return nil, awsjson.Errorf("ValidationException", "Digest is invalid length for algorithm %s.", algorithm)
	case in.MessageType == "DIGEST":
		return in.Message, nil
	case in.MessageType != "" && in.MessageType != "RAW" || len(in.Message) == 0 || len(in.Message) > maxMessageBytes:
		return nil, awsjson.Errorf("ValidationException", "Want a message of 1 to %d bytes of type RAW or DIGEST.", maxMessageBytes)
	default:
		sum := sha256.Sum256(in.Message)
		return sum[:], nil
	}
}
