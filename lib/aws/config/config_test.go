package config_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	awsconfig "github.com/insighthub/insighthub/lib/aws/config"
)

func environment(extra map[string]string) func(string) string {
	env := map[string]string{"AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "a-test"}
	return func(name string) string {
		if v, ok := extra[name]; ok {
			return v
		}
		return env[name]
	}
}

func put(ctx context.Context, cfg aws.Config) error {
	_, err := kinesis.NewFromConfig(cfg).PutRecords(ctx, &kinesis.PutRecordsInput{
		StreamName: aws.String("telemetry"),
		Records:    []types.PutRecordsRequestEntry{{PartitionKey: aws.String("gw-1"), Data: []byte("data")}},
	})
	return err
}

func TestLoadReadsTheEnvironment(t *testing.T) {
	var got http.Header
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r.Header.Clone()
		_, _ = io.WriteString(w, `{}`)
	}))
	defer server.Close()
	for name, tc := range map[string]map[string]string{
		"the service's endpoint": {"AWS_ENDPOINT_URL_KINESIS": server.URL, "AWS_ENDPOINT_URL": "http://127.0.0.1:1"},
		"one for all":            {"AWS_ENDPOINT_URL": server.URL},
	} {
		t.Run(name, func(t *testing.T) {
			tc["AWS_SESSION_TOKEN"] = "session"
			cfg, err := awsconfig.Load(environment(tc))
			if err != nil {
				t.Fatal(err)
			}
			if err := put(t.Context(), cfg); err != nil {
				t.Fatal(err)
			}
			auth := got.Get("Authorization")
			if !strings.Contains(auth, "Credential=AKID/") || !strings.Contains(auth, "/eu-west-1/kinesis/") {
				t.Errorf("got authorization %q, want the key and the scope in it", auth)
			}
			if got.Get("X-Amz-Security-Token") != "session" {
				t.Error("got no session token")
			}
		})
	}
}

// recorder is an HTTP client that records the host of a call.
type recorder struct{ host string }

func (r *recorder) Do(req *http.Request) (*http.Response, error) {
	r.host = req.URL.Host
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader("{}")), Header: http.Header{}}, nil
}

func TestLoadChoosesEndpoints(t *testing.T) {
	for name, tc := range map[string]struct {
		env  map[string]string
		want string
	}{
		"none":      {nil, "secretsmanager.eu-west-1.amazonaws.com"},
		"its own":   {map[string]string{"AWS_ENDPOINT_URL_SECRETS_MANAGER": "http://127.0.0.1:7"}, "127.0.0.1:7"},
		"another's": {map[string]string{"AWS_ENDPOINT_URL_KINESIS": "http://127.0.0.1:7"}, "secretsmanager.eu-west-1.amazonaws.com"},
		"ignored": {
			map[string]string{"AWS_ENDPOINT_URL": "http://127.0.0.1:7", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"},
			"secretsmanager.eu-west-1.amazonaws.com",
		},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, err := awsconfig.Load(environment(tc.env))
			if err != nil {
				t.Fatal(err)
			}
			sent := &recorder{}
			cfg.HTTPClient = sent
			input := &secretsmanager.GetSecretValueInput{SecretId: aws.String("s")}
			if _, err := secretsmanager.NewFromConfig(cfg).GetSecretValue(t.Context(), input); err != nil {
				t.Fatal(err)
			}
			if sent.host != tc.want {
				t.Errorf("got host %s, want %s", sent.host, tc.want)
			}
		})
	}
}

func TestLoadNamesEveryMissingVariable(t *testing.T) {
	_, err := awsconfig.Load(func(string) string { return "" })
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("got %q, want %s in it", err, want)
		}
	}
}

// transport reads a request's body as net/http's does, in the worst order: it sends
// Content-Length bytes, the response arrives, the SDK closes the body, and only then the
// transport checks whether more follows.
type transport struct{ failure error }

func (f *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if _, err := io.CopyN(io.Discard, r.Body, r.ContentLength); err != nil {
		return nil, err
	}
	_ = r.Body.Close()
	_, f.failure = io.Copy(io.Discard, r.Body)
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader("{}")), Header: http.Header{}}, nil
}

func TestHTTPClientAllowsAQuickResponse(t *testing.T) {
	send := func(hide bool) error {
		worst := &transport{}
		plain := &http.Client{Transport: worst}
		cfg, err := awsconfig.Load(environment(nil))
		if err != nil {
			t.Fatal(err)
		}
		cfg.HTTPClient = plain
		if hide {
			cfg.HTTPClient = awsconfig.HideWriterTo(plain)
		}
		if err := put(t.Context(), cfg); err != nil {
			t.Fatal(err)
		}
		return worst.failure
	}
	if err := send(true); err != nil {
		t.Errorf("hidden: got %v from the body", err)
	}
	if send(false) == nil {
		t.Error("got no error from the SDK's own body: this package's client is no longer needed")
	}
}
