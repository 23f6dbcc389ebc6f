package kms_test

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/smithy-go"

	"github.com/insighthub/insighthub/cdk/local/awsjson"
	local "github.com/insighthub/insighthub/cdk/local/kms"
	"github.com/insighthub/insighthub/lib/aws/kms"
	"github.com/insighthub/insighthub/lib/telemetry"
)

const (
	id  = "11111111-2222-4333-8444-555555555555"
	arn = "arn:aws:kms:eu-central-1:000000000000:key/" + id
)

func open(t *testing.T, file string) *local.Store {
	t.Helper()
	store, err := local.New(local.Config{
		File: file, Region: "eu-central-1", AccountID: "000000000000",
		Now: func() time.Time { return time.Unix(1_700_000_000, 5e8) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return store
}

func connect(t *testing.T, store *local.Store) *awskms.Client {
	t.Helper()
	server := httptest.NewServer(store.Handler())
	t.Cleanup(server.Close)
	return awskms.New(awskms.Options{
		BaseEndpoint: aws.String(server.URL), Region: "eu-central-1",
		Credentials: credentials.NewStaticCredentialsProvider("local", "local", ""),
	})
}

// TestThroughAdapter runs the product's adapter against the emulator.
func TestThroughAdapter(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "state", "kms.json")
	store := open(t, file)
	if err := store.Ensure(id); err != nil {
		t.Fatal(err)
	}
	keys := kms.NewFromClient(connect(t, store))
	public, err := keys.PublicKey(t.Context(), arn)
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256([]byte("a message"))
	for range 300 { // r or s begin with a zero byte in one of 128
		raw, err := keys.Sign(t.Context(), arn, digest)
		if err != nil || len(raw) != 64 {
			t.Fatalf("signature: got %d bytes, %v; want 64", len(raw), err)
		}
		if !verify(public, digest, raw) {
			t.Fatalf("the signature %x does not verify", raw)
		}
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode: got %v, %v; want 600", info.Mode(), err)
	}
	// A restart has the same key.
	again := open(t, file)
	if err := again.Ensure(id); err != nil {
		t.Fatal(err)
	}
	second, err := kms.NewFromClient(connect(t, again)).PublicKey(t.Context(), id)
	if err != nil || !second.Equal(public) {
		t.Errorf("the key after a restart differs: %v", err)
	}
	if _, err := keys.PublicKey(t.Context(), arn+"0"); !errors.Is(err, telemetry.ErrNotFound) {
		t.Errorf("unknown key: got %v, want %v", err, telemetry.ErrNotFound)
	}
}

func TestThroughSDK(t *testing.T) {
	t.Parallel()
	store := open(t, filepath.Join(t.TempDir(), "kms.json"))
	if err := store.Ensure(id); err != nil {
		t.Fatal(err)
	}
	client := connect(t, store)
	out, err := client.DescribeKey(t.Context(), &awskms.DescribeKeyInput{KeyId: aws.String(arn)})
	if err != nil {
		t.Fatal(err)
	}
	if m := out.KeyMetadata; *m.KeyId != id || *m.Arn != arn || m.KeySpec != types.KeySpecEccNistP256 ||
		m.KeyUsage != types.KeyUsageTypeSignVerify ||
		m.KeyState != types.KeyStateEnabled || m.CreationDate.UnixMilli() != 1_700_000_000_500 {
		t.Errorf("DescribeKey: got %+v", m)
	}
	raw := func(message string, kind types.MessageType, algorithm types.SigningAlgorithmSpec) error {
		_, err := client.Sign(t.Context(), &awskms.SignInput{
			KeyId: aws.String(id), Message: []byte(message), MessageType: kind,
			SigningAlgorithm: algorithm,
		})
		return err
	}
	if err := raw("any length", types.MessageTypeRaw, types.SigningAlgorithmSpecEcdsaSha256); err != nil {
		t.Errorf("raw: %v", err)
	}
	for name, c := range map[string]struct {
		err  error
		code string
	}{
		"short digest": {raw("short", types.MessageTypeDigest, types.SigningAlgorithmSpecEcdsaSha256), "ValidationException"},
		"long message": {
			raw(strings.Repeat("x", 4097), types.MessageTypeRaw, types.SigningAlgorithmSpecEcdsaSha256),
			"ValidationException",
		},
		"another algorithm": {raw("m", types.MessageTypeRaw, types.SigningAlgorithmSpecEcdsaSha384), "InvalidKeyUsageException"},
		"another operation": {func() error {
			_, err := client.ScheduleKeyDeletion(t.Context(), &awskms.ScheduleKeyDeletionInput{KeyId: aws.String(id)})
			return err
		}(), "UnknownOperationException"},
		"another key": {func() error {
			_, err := client.DescribeKey(t.Context(), &awskms.DescribeKeyInput{KeyId: aws.String("x")})
			return err
		}(), "NotFoundException"},
	} {
		var api smithy.APIError
		if !errors.As(c.err, &api) || api.ErrorCode() != c.code {
			t.Errorf("%s: got %v, want %s", name, c.err, c.code)
		}
	}
}

func TestDamagedFile(t *testing.T) {
	t.Parallel()
	for _, content := range []string{`{`, `[{"id":"a","private":"AAAA"}]`} {
		file := filepath.Join(t.TempDir(), "kms.json")
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := local.New(local.Config{File: file, Now: time.Now}); err == nil {
			t.Errorf("%s: got no error", content)
		}
	}
}

// FuzzHandler checks that every response is JSON and contains no private key.
func FuzzHandler(f *testing.F) {
	store, err := local.New(local.Config{File: filepath.Join(f.TempDir(), "kms.json"), Now: time.Now})
	if err != nil {
		f.Fatal(err)
	}
	if err := store.Ensure(id); err != nil {
		f.Fatal(err)
	}
	f.Add("GetPublicKey", `{"KeyId":"`+id+`"}`)
	f.Add("Sign", `{"KeyId":"`+id+`","Message":"AAAA","SigningAlgorithm":"ECDSA_SHA_256"}`)
	f.Add("Sign", `{"KeyId":"`+id+`","Message":7}`)
	f.Add("DescribeKey", `{`)
	f.Fuzz(func(t *testing.T, operation, body string) {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
		r.Header.Set("X-Amz-Target", "TrentService."+operation)
		r.Header.Set("Content-Type", awsjson.ContentType)
		w := httptest.NewRecorder()
		store.Handler().ServeHTTP(w, r)
		if !json.Valid(w.Body.Bytes()) || strings.Contains(w.Body.String(), "rivate") {
			t.Errorf("%s", w.Body)
		}
	})
}

func verify(public *ecdsa.PublicKey, digest [sha256.Size]byte, raw []byte) bool {
	return ecdsa.Verify(public, digest[:], new(big.Int).SetBytes(raw[:32]), new(big.Int).SetBytes(raw[32:]))
}
