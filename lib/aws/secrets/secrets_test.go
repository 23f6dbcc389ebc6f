package secrets_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/insighthub/insighthub/lib/aws/secrets"
	"github.com/insighthub/insighthub/lib/telemetry"
)

const arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:database-AbCdEf"

// over returns a store whose SDK client, without retries, calls a server.
func over(t *testing.T, handler http.HandlerFunc) *secrets.Store {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return at(server.URL)
}

func at(url string) *secrets.Store { return secrets.New(configOf(url)) }

func configOf(url string) aws.Config {
	return aws.Config{
		Region: "eu-west-1", BaseEndpoint: &url,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "AKID", SecretAccessKey: "a-test"}, nil
		}),
		Retryer: func() aws.Retryer { return aws.NopRetryer{} },
	}
}

func TestGet(t *testing.T) {
	for name, body := range map[string]string{
		"text":   `{"ARN":"` + arn + `","SecretString":"{\"dsn\":\"…\"}"}`,
		"binary": `{"ARN":"` + arn + `","SecretBinary":"eyJkc24iOiLigKYifQ=="}`,
	} {
		t.Run(name, func(t *testing.T) {
			s := over(t, func(w http.ResponseWriter, r *http.Request) {
				var in struct{ SecretId string } //nolint:revive // the name on the wire
				if err := json.NewDecoder(r.Body).Decode(&in); err != nil || in.SecretId != arn {
					t.Errorf("got request for %q, %v", in.SecretId, err)
				}
				if target := r.Header.Get("X-Amz-Target"); target != "secretsmanager.GetSecretValue" {
					t.Errorf("got target %q", target)
				}
				w.Header().Set("Content-Type", "application/x-amz-json-1.1")
				_, _ = w.Write([]byte(body))
			})
			got, err := s.Get(t.Context(), arn)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != `{"dsn":"…"}` {
				t.Errorf("got %s", got)
			}
		})
	}
}

func TestGetClassifiesErrors(t *testing.T) {
	sentinels := []error{telemetry.ErrInvalid, telemetry.ErrNotFound, telemetry.ErrConflict, telemetry.ErrUnavailable}
	for name, tc := range map[string]struct {
		status int
		body   string
		want   error // nil: none of the sentinels
	}{
		"no such secret":      {400, `{"__type":"ResourceNotFoundException","Message":"none"}`, telemetry.ErrNotFound},
		"marked for deletion": {400, `{"__type":"InvalidRequestException","Message":"deleted"}`, telemetry.ErrNotFound},
		"no value":            {200, `{"ARN":"` + arn + `"}`, telemetry.ErrNotFound},
		"failure inside":      {500, `{"__type":"InternalServiceError","Message":"oops"}`, telemetry.ErrUnavailable},
		"overloaded":          {503, ``, telemetry.ErrUnavailable},
		"too many":            {429, ``, telemetry.ErrUnavailable},
		"throttled":           {400, `{"__type":"ThrottlingException","Message":"slow"}`, telemetry.ErrUnavailable},
		"broken response":     {200, `{"SecretString":`, telemetry.ErrUnavailable},
		"access denied":       {400, `{"__type":"AccessDeniedException","Message":"no"}`, nil},
		"cannot be decrypted": {400, `{"__type":"DecryptionFailure","Message":"no"}`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := over(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/x-amz-json-1.1")
				w.WriteHeader(tc.status)
				_, _ = w.Write([]byte(tc.body))
			}).Get(t.Context(), arn)
			if err == nil || !strings.Contains(err.Error(), arn) {
				t.Fatalf("got %v", err)
			}
			for _, s := range sentinels {
				if want := errors.Is(tc.want, s); errors.Is(err, s) != want {
					t.Errorf("errors.Is(%v, %v): want %t", err, s, want)
				}
			}
		})
	}
}

func TestGetWhenNothingListens(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	if _, err := at(server.URL).Get(t.Context(), arn); !errors.Is(err, telemetry.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := at(server.URL).Get(ctx, arn); !errors.Is(err, context.Canceled) || errors.Is(err, telemetry.ErrUnavailable) {
		t.Errorf("cancelled: got %v", err)
	}
}

func TestPut(t *testing.T) {
	var in struct{ SecretId, SecretString string } //nolint:revive // the names on the wire
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if target := r.Header.Get("X-Amz-Target"); target != "secretsmanager.PutSecretValue" {
			t.Errorf("got target %q", target)
		}
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		if in.SecretString == "fail" {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = w.Write([]byte(`{"__type":"ResourceNotFoundException"}`))
			return
		}
		_, _ = w.Write([]byte(`{"ARN":"` + arn + `"}`))
	}))
	defer server.Close()
	writer := secrets.NewWriter(configOf(server.URL))
	const value = `{"username":"u"}`
	if err := writer.Put(t.Context(), arn, []byte(value)); err != nil || in.SecretId != arn || in.SecretString != value {
		t.Errorf("put %+v, %v", in, err)
	}
	if err := writer.Put(t.Context(), arn, []byte("fail")); !errors.Is(err, telemetry.ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
}
