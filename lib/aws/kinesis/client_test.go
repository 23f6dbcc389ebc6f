package kinesis_test

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/insighthub/insighthub/lib/aws/kinesis"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// producerFor returns a producer that sends to a server through the SDK.
func producerFor(t *testing.T, handler http.HandlerFunc, attempts int) *kinesis.Producer {
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

func TestSDKDoesNotRetry(t *testing.T) {
	var calls atomic.Int32
	p := producerFor(t, func(w http.ResponseWriter, _ *http.Request) {
		calls.Add(1)
		w.WriteHeader(http.StatusInternalServerError)
	}, 1)
	if err := p.Put(t.Context(), named("a")); !errors.Is(err, telemetry.ErrUnavailable) {
		t.Errorf("got %v, want telemetry.ErrUnavailable", err)
	}
	if n := calls.Load(); n != 1 {
		t.Errorf("got %d calls, want 1", n)
	}
}

func TestResponsesOfTheService(t *testing.T) {
	for name, tc := range map[string]struct {
		status      int
		body        string
		unavailable bool
		calls       int32
	}{
		"stored": {200, `{"FailedRecordCount":0,"Records":[{"SequenceNumber":"1","ShardId":"shardId-000000000000"}]}`, false, 1},
		"rejected": {
			200, `{"FailedRecordCount":1,"Records":[{"ErrorCode":"ProvisionedThroughputExceededException","ErrorMessage":"slow"}]}`,
			true, 2,
		},
		"throttled":       {400, `{"__type":"ProvisionedThroughputExceededException","message":"slow"}`, true, 2},
		"no such stream":  {400, `{"__type":"ResourceNotFoundException","message":"none"}`, false, 1},
		"empty response":  {200, ``, true, 2},
		"broken response": {200, `{"Records":[`, true, 2},
		"a proxy's page":  {502, `<html>`, true, 2},
	} {
		t.Run(name, func(t *testing.T) {
			var calls atomic.Int32
			p := producerFor(t, func(w http.ResponseWriter, _ *http.Request) {
				calls.Add(1)
				w.Header().Set("Content-Type", "application/x-amz-json-1.1")
				w.WriteHeader(tc.status)
				_, _ = w.Write([]byte(tc.body))
			}, 2)
			err := p.Put(t.Context(), named("a"))
			if errors.Is(err, telemetry.ErrUnavailable) != tc.unavailable || (err == nil) != (name == "stored") {
				t.Errorf("got %v, want telemetry.ErrUnavailable", err)
			}
			if calls.Load() != tc.calls {
				t.Errorf("got %d calls, want %d", calls.Load(), tc.calls)
			}
		})
	}
}

func TestPutConnectionRefused(t *testing.T) {
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
		t.Errorf("got %v, want telemetry.ErrUnavailable", err)
	}
}

// storing is a transport whose server stores every record.
type storing struct{}

func (storing) Do(r *http.Request) (*http.Response, error) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return nil, err
	}
	const stored = `{"FailedRecordCount":0,"Records":[` +
		`{"SequenceNumber":"49590338271490256608559692538361571095921575989136588898","ShardId":"shardId-000000000000"}]}`
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(stored))}, nil
}

// BenchmarkPut measures a call with one record, with the SDK, without the network.
func BenchmarkPut(b *testing.B) {
	client := kinesis.NewClient(aws.Config{
		Region: "eu-west-1", HTTPClient: storing{},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "AKID", SecretAccessKey: "a-test"}, nil
		}),
	})
	p, err := kinesis.NewProducer(kinesis.Config{Client: client, Stream: "telemetry", Now: time.Now, Rand: rand.Float64})
	if err != nil {
		b.Fatal(err)
	}
	records := []kinesis.Record{{PartitionKey: "gw-1", Data: make([]byte, 16<<10)}}
	b.ReportAllocs()
	for b.Loop() {
		if err := p.Put(b.Context(), records); err != nil {
			b.Fatal(err)
		}
	}
}
