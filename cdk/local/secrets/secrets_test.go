package secrets_test

import (
	"encoding/json"
	"errors"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	"github.com/aws/smithy-go"

	"github.com/insighthub/insighthub/cdk/local/secrets"
)

func newStore(t *testing.T, file string) (*secrets.Store, *secretsmanager.Client) {
	t.Helper()
	store, err := secrets.New(secrets.Config{File: file, Now: func() time.Time { return time.Unix(1_700_000_000, 5e8) }})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(store.Handler())
	t.Cleanup(server.Close)
	return store, secretsmanager.New(secretsmanager.Options{
		BaseEndpoint: aws.String(server.URL),
		Region:       "eu-central-1",
		Credentials:  credentials.NewStaticCredentialsProvider("local", "local", ""),
	})
}

func TestThroughSDK(t *testing.T) {
	file := filepath.Join(t.TempDir(), "state", "secrets.json")
	store, client := newStore(t, file)
	arn, err := store.Ensure("insighthub/dev/token", secrets.Generate{Length: 48, ExcludePunctuation: true})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(arn, "arn:aws:secretsmanager:eu-central-1:000000000000:secret:insighthub/dev/token-") {
		t.Errorf("got ARN %s", arn)
	}
	var values []string
	for _, id := range []string{arn, arn[:len(arn)-7], "insighthub/dev/token"} {
		out, err := client.GetSecretValue(t.Context(), &secretsmanager.GetSecretValueInput{SecretId: aws.String(id)})
		if err != nil {
			t.Fatalf("%s: %v", id, err)
		}
		values = append(values, *out.SecretString)
		if *out.ARN != arn || *out.Name != "insighthub/dev/token" || len(*out.VersionId) < 32 ||
			out.CreatedDate.UnixMilli() != 1_700_000_000_500 {
			t.Errorf("%s: %+v", id, out)
		}
	}
	if len(values[0]) != 48 || values[1] != values[0] || values[2] != values[0] {
		t.Errorf("got values %q, want the same 48 characters three times", values)
	}
	described, err := client.DescribeSecret(t.Context(), &secretsmanager.DescribeSecretInput{SecretId: aws.String(arn)})
	if err != nil || *described.ARN != arn || len(described.VersionIdsToStages) != 1 {
		t.Errorf("%+v, %v", described, err)
	}

	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode: got %v, %v; want 600", info.Mode(), err)
	}
	again, client := newStore(t, file)
	if second, err := again.Ensure("insighthub/dev/token", secrets.Generate{}); err != nil || second != arn {
		t.Errorf("second run: %s, %v", second, err)
	}
	if value, err := again.Value(arn); err != nil || value != values[0] {
		t.Errorf("second run: %q, %v", value, err)
	}
	if _, err := again.Set(arn, "mine"); err != nil {
		t.Fatal(err)
	}
	out, err := client.GetSecretValue(t.Context(), &secretsmanager.GetSecretValueInput{
		SecretId:     aws.String(arn),
		VersionStage: aws.String("AWSCURRENT"),
	})
	if err != nil || *out.SecretString != "mine" {
		t.Errorf("after Set: %v", err)
	}
}

func TestErrorsThroughSDK(t *testing.T) {
	store, client := newStore(t, filepath.Join(t.TempDir(), "s.json"))
	if _, err := store.Set("a", "1"); err != nil {
		t.Fatal(err)
	}
	for _, in := range []*secretsmanager.GetSecretValueInput{
		{SecretId: aws.String("b")},
		{SecretId: aws.String("a"), VersionStage: aws.String("AWSPREVIOUS")},
		{SecretId: aws.String("a"), VersionId: aws.String("00000000000000000000000000000000")},
	} {
		_, err := client.GetSecretValue(t.Context(), in)
		if _, ok := errors.AsType[*types.ResourceNotFoundException](err); !ok {
			t.Errorf("%+v: got %v, want ResourceNotFoundException", in, err)
		}
	}
	_, err := client.ListSecrets(t.Context(), &secretsmanager.ListSecretsInput{})
	var apiError smithy.APIError
	if !errors.As(err, &apiError) || apiError.ErrorCode() != "UnknownOperationException" {
		t.Errorf("unknown operation: got %v, want UnknownOperationException", err)
	}
	if _, err := store.Set("arn:aws:secretsmanager:eu-central-1:1:secret:none-abcdef", "x"); !errors.Is(err, secrets.ErrNotFound) {
		t.Errorf("Set of an unknown ARN: got %v, want %v", err, secrets.ErrNotFound)
	}
}

func TestGenerate(t *testing.T) {
	no := false
	tests := []struct {
		name string
		g    secrets.Generate
		ok   func(string) bool // nil: an error
	}{
		{"default", secrets.Generate{}, func(s string) bool {
			return len(s) == 32 && strings.ContainsAny(s, "abcdefghijklmnopqrstuvwxyz") && strings.ContainsAny(s, "0123456789") &&
				strings.ContainsAny(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ")
		}},
		{"digits", secrets.Generate{
			Length: 100, ExcludeLowercase: true, ExcludeUppercase: true, ExcludePunctuation: true,
			ExcludeCharacters: "01",
		}, func(s string) bool {
			return len(s) == 100 && strings.Trim(s, "23456789") == ""
		}},
		{"shortest", secrets.Generate{Length: 5, IncludeSpace: true}, func(s string) bool {
			return len(s) == 5 && strings.Contains(s, " ")
		}},
		{"not each kind", secrets.Generate{Length: 1, RequireEachIncludedType: &no}, func(s string) bool { return len(s) == 1 }},
		{"template", secrets.Generate{
			ExcludeCharacters: `"@/\`, SecretStringTemplate: `{"username":"insighthub","port":5432}`,
			GenerateStringKey: "password",
		}, func(s string) bool {
			var v struct {
				Username, Password string
				Port               int
			}
			return json.Unmarshal([]byte(s), &v) == nil && v.Username == "insighthub" && v.Port == 5432 && len(v.Password) == 32 &&
				!strings.ContainsAny(v.Password, `"@/\`)
		}},
		{"too short", secrets.Generate{Length: 3}, nil},
		{"too long", secrets.Generate{Length: 5000}, nil},
		{"negative", secrets.Generate{Length: -1}, nil},
		{
			"nothing left",
			secrets.Generate{ExcludeLowercase: true, ExcludeUppercase: true, ExcludeNumbers: true, ExcludePunctuation: true},
			nil,
		},
		{"template alone", secrets.Generate{SecretStringTemplate: `{}`}, nil},
		{"template is not an object", secrets.Generate{SecretStringTemplate: `null`, GenerateStringKey: "k"}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			store, _ := newStore(t, filepath.Join(t.TempDir(), "s.json"))
			seen := map[string]bool{}
			for _, name := range []string{"a", "b"} {
				if _, err := store.Ensure(name, tt.g); (err == nil) != (tt.ok != nil) {
					t.Fatalf("error %v", err)
				}
				if tt.ok == nil {
					return
				}
				value, err := store.Value(name)
				if err != nil || !tt.ok(value) {
					t.Errorf("got a value of %d characters that is not as configured (%v)", len(value), err)
				}
				seen[value] = true
			}
			if len(seen) != 2 && tt.g.Length != 1 {
				t.Error("got two secrets with the same value")
			}
		})
	}
}

func TestDamagedFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "s.json")
	if err := os.WriteFile(file, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := secrets.New(secrets.Config{File: file}); err == nil {
		t.Error("got no error")
	}
}

// TestPutThroughSDK replaces a value, which a restart keeps, and that of an unknown secret.
func TestPutThroughSDK(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secrets.json")
	store, client := newStore(t, file)
	arn, err := store.Ensure("role", secrets.Generate{Length: 40})
	if err != nil {
		t.Fatal(err)
	}
	put := func(id, value string) error {
		_, err := client.PutSecretValue(t.Context(), &secretsmanager.PutSecretValueInput{SecretId: &id, SecretString: &value})
		return err
	}
	if err := put(arn, "new"); err != nil {
		t.Fatal(err)
	}
	again, _ := newStore(t, file)
	if got, err := again.Value("role"); err != nil || got != "new" {
		t.Errorf("got %q, %v, want the new value", got, err)
	}
	var missing *types.ResourceNotFoundException
	if err := put("none", "x"); !errors.As(err, &missing) {
		t.Errorf("unknown secret: got %v", err)
	}
	if err := put(arn, ""); err == nil {
		t.Error("no value: got no error")
	}
}
