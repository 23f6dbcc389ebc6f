package kinesis_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/insighthub/insighthub/lib/kinesis"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// over returns a producer that speaks through the SDK to a server.
func over(t *testing.T, handler http.HandlerFunc, attempts int) *kinesis.Producer {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	client := kinesis.NewClient(aws.Config{
		Region: "eu-west-1", BaseEndpoint: &server.URL,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "AKID", SecretAccessKey: "a-test"}, nil
		}),
	})
	p, err := kinesis.NewProducer(kinesis.Config{
		Client: client, Stream: "telemetry", Now: time.Now, Rand: rand.Float64,
		BackoffBase: time.Millisecond, MaxAttempts: attempts,
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestSDKDoesNotRetryByItself(t *testing.T) {
	var calls atomic.Int32
	p := over(t, func(w http.ResponseWriter, _ *http.Request) {
		calls.Add(1)
		w.WriteHeader(http.StatusInternalServerError)
	}, 1)
	if err := p.Put(t.Context(), named("a")); !errors.Is(err, telemetry.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
	if n := calls.Load(); n != 1 {
		t.Errorf("%d calls reached the server, want 1", n)
	}
}

func TestSDKAnswersAreUnderstood(t *testing.T) {
	for name, tc := range map[string]struct {
		status      int
		body        string
		unavailable bool
		calls       int32
	}{
		"stored": {200, `{"FailedRecordCount":0,"Records":[{"SequenceNumber":"1","ShardId":"shardId-000000000000"}]}`, false, 1},
		"refused": {
			200, `{"FailedRecordCount":1,"Records":[{"ErrorCode":"ProvisionedThroughputExceededException","ErrorMessage":"slow"}]}`,
			true, 2,
		},
		"throttled":      {400, `{"__type":"ProvisionedThroughputExceededException","message":"slow"}`, true, 2},
		"no such stream": {400, `{"__type":"ResourceNotFoundException","message":"none"}`, false, 1},
		"empty answer":   {200, ``, true, 2},
		"broken answer":  {200, `{"Records":[`, true, 2},
		"a proxy's page": {502, `<html>`, true, 2},
	} {
		t.Run(name, func(t *testing.T) {
			var calls atomic.Int32
			p := over(t, func(w http.ResponseWriter, _ *http.Request) {
				calls.Add(1)
				w.Header().Set("Content-Type", "application/x-amz-json-1.1")
				w.WriteHeader(tc.status)
				_, _ = w.Write([]byte(tc.body))
			}, 2)
			err := p.Put(t.Context(), named("a"))
			if errors.Is(err, telemetry.ErrUnavailable) != tc.unavailable || (err == nil) != (name == "stored") {
				t.Errorf("got %v", err)
			}
			if calls.Load() != tc.calls {
				t.Errorf("%d calls, want %d", calls.Load(), tc.calls)
			}
		})
	}
}

func TestPutWhenNothingListens(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	client := kinesis.NewClient(aws.Config{Region: "eu-west-1", BaseEndpoint: &server.URL, Credentials: aws.AnonymousCredentials{}})
	p, err := kinesis.NewProducer(kinesis.Config{
		Client: client, Stream: "telemetry", Now: time.Now, Rand: rand.Float64, BackoffBase: time.Millisecond, MaxAttempts: 2,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Put(t.Context(), named("a")); !errors.Is(err, telemetry.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
}
