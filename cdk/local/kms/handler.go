package kms

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"io"
	"net/http"
	"strings"
)

const (
	targetPrefix    = "TrentService."
	contentType     = "application/x-amz-json-1.1"
	maxRequestBytes = 64 << 10
	maxMessageBytes = 4096 // KMS's, for a message that it hashes itself
	algorithm       = "ECDSA_SHA_256"
	spec            = "ECC_NIST_P256"
	usage           = "SIGN_VERIFY"
)

// request holds the members of the three operations.
type request struct {
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

type errorResponse struct {
	Type    string `json:"__type"`
	Message string `json:"message"`
}

// Handler serves the API. The callers' own signatures are not looked at.
func (s *Store) Handler() http.Handler { return http.HandlerFunc(s.serve) }

func (s *Store) serve(w http.ResponseWriter, r *http.Request) {
	operation, ok := strings.CutPrefix(r.Header.Get("X-Amz-Target"), targetPrefix)
	if !ok || r.Method != http.MethodPost {
		refuse(w, "UnknownOperationException", "GetPublicKey, Sign and DescribeKey are what there is.")
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequestBytes))
	var in request
	if err != nil || json.Unmarshal(body, &in) != nil {
		refuse(w, "SerializationException", "The request is not JSON of the expected form.")
		return
	}
	k, err := s.find(in.KeyID)
	if err != nil {
		refuse(w, "NotFoundException", "The key does not exist.")
		return
	}
	switch operation {
	case "GetPublicKey":
		answer(w, http.StatusOK, publicKeyResponse{s.ARN(k.ID), k.public, spec, spec, usage, []string{algorithm}})
	case "Sign":
		s.sign(w, k, in)
	case "DescribeKey":
		answer(w, http.StatusOK, describeResponse{metadata{
			AWSAccountID: s.cfg.AccountID, ARN: s.ARN(k.ID), KeyID: k.ID, CreationDate: float64(k.Created.UnixMilli()) / 1000,
			CustomerMasterKeySpec: spec, Enabled: true, KeyManager: "CUSTOMER", KeySpec: spec, KeyState: "Enabled",
			KeyUsage: usage, Origin: "AWS_KMS", SigningAlgorithms: []string{algorithm},
		}})
	default:
		refuse(w, "UnknownOperationException", "GetPublicKey, Sign and DescribeKey are what there is.")
	}
}

func (s *Store) sign(w http.ResponseWriter, k *key, in request) {
	digest := in.Message
	switch {
	case in.SigningAlgorithm != algorithm:
		refuse(w, "InvalidKeyUsageException", "The key signs with "+algorithm+" alone.")
		return
	case in.MessageType == "DIGEST" && len(in.Message) != sha256.Size:
		refuse(w, "ValidationException", "Digest is invalid length for algorithm "+algorithm+".")
		return
	case in.MessageType == "DIGEST":
	case in.MessageType != "" && in.MessageType != "RAW" || len(in.Message) == 0 || len(in.Message) > maxMessageBytes:
		refuse(w, "ValidationException", "Want a message of 1 to 4096 bytes of the type RAW or DIGEST.")
		return
	default:
		sum := sha256.Sum256(in.Message)
		digest = sum[:]
	}
	signature, err := ecdsa.SignASN1(rand.Reader, k.private, digest)
	if err != nil {
		answer(w, http.StatusInternalServerError, errorResponse{"KMSInternalException", "The signature failed."})
		return
	}
	answer(w, http.StatusOK, signResponse{s.ARN(k.ID), signature, algorithm})
}

func refuse(w http.ResponseWriter, kind, message string) {
	answer(w, http.StatusBadRequest, errorResponse{kind, message})
}

func answer(w http.ResponseWriter, status int, document any) {
	body, err := json.Marshal(document)
	if err != nil {
		http.Error(w, "", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	_, _ = w.Write(body)
}
