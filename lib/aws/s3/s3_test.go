package s3_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"github.com/insighthub/insighthub/lib/aws/s3"
	"github.com/insighthub/insighthub/lib/telemetry"
)

const bucket = "failures"

// configured returns the configuration for a server, without the SDK's retries.
func configured(url string) s3.Config {
	return s3.Config{
		AWS: aws.Config{
			Region: "eu-west-1", BaseEndpoint: &url,
			Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
				return aws.Credentials{AccessKeyID: "AKID", SecretAccessKey: "a-test"}, nil
			}),
			Retryer: func() aws.Retryer { return aws.NopRetryer{} },
		},
		Bucket: bucket, PathStyle: true,
	}
}

func open(t *testing.T, cfg s3.Config) *s3.Store {
	t.Helper()
	s, err := s3.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// serve starts an S3 in memory with one bucket; seen is called for each request.
func serve(t *testing.T, seen func(*http.Request)) string {
	t.Helper()
	backend := s3mem.New()
	if err := backend.CreateBucket(bucket); err != nil {
		t.Fatal(err)
	}
	s3 := gofakes3.New(backend).Server()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if seen != nil {
			seen(r)
		}
		s3.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func TestPutAndGet(t *testing.T) {
	var types []string
	s := open(t, configured(serve(t, func(r *http.Request) {
		if r.Method == http.MethodPut {
			types = append(types, r.Header.Get("Content-Type"))
		}
	})))
	for name, body := range map[string][]byte{
		"plain.json":                  []byte(`{"a":1}`),
		"empty":                       {},
		"dir/with space/ü+%25?x=1":    []byte("odd"),
		"large":                       bytes.Repeat([]byte{0, 1, 2, 255}, 1<<18),
		"aws/lambda/shardId-000/1.gz": {0x1f, 0x8b},
	} {
		t.Run(name, func(t *testing.T) {
			if err := s.Put(t.Context(), name, []byte("older"), "text/plain"); err != nil {
				t.Fatal(err)
			}
			if err := s.Put(t.Context(), name, body, "application/json"); err != nil {
				t.Fatal(err)
			}
			got, err := s.Get(t.Context(), name)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, body) {
				t.Errorf("got %d bytes, want %d", len(got), len(body))
			}
		})
	}
	if len(types) != 10 || types[0] != "text/plain" || types[1] != "application/json" {
		t.Errorf("content types %q", types)
	}
}

func TestPutIfAbsent(t *testing.T) {
	s := open(t, configured(serve(t, nil)))
	if err := s.PutIfAbsent(t.Context(), "k", []byte("first"), "text/plain"); err != nil {
		t.Fatal(err)
	}
	err := s.PutIfAbsent(t.Context(), "k", []byte("second"), "text/plain")
	if !errors.Is(err, telemetry.ErrConflict) || errors.Is(err, telemetry.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
	if got, err := s.Get(t.Context(), "k"); err != nil || string(got) != "first" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestPutIfAbsentHasOneWinner(t *testing.T) {
	s := open(t, configured(serve(t, nil)))
	var mu sync.Mutex
	var group sync.WaitGroup
	won := 0
	for range 8 {
		group.Go(func() {
			err := s.PutIfAbsent(t.Context(), "k", []byte("x"), "text/plain")
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				won++
			} else if !errors.Is(err, telemetry.ErrConflict) {
				t.Errorf("got %v", err)
			}
		})
	}
	group.Wait()
	if won != 1 {
		t.Errorf("%d writers won", won)
	}
}

func TestGetNotFound(t *testing.T) {
	url := serve(t, nil)
	if _, err := open(t, configured(url)).Get(t.Context(), "none"); !errors.Is(err, telemetry.ErrNotFound) {
		t.Errorf("no such key: %v", err)
	}
	cfg := configured(url)
	cfg.Bucket = "another"
	if _, err := open(t, cfg).Get(t.Context(), "none"); !errors.Is(err, telemetry.ErrNotFound) {
		t.Errorf("no such bucket: %v", err)
	}
	if err := open(t, cfg).Put(t.Context(), "k", nil, "text/plain"); !errors.Is(err, telemetry.ErrNotFound) {
		t.Errorf("put: no such bucket: %v", err)
	}
}

func TestGetIsBounded(t *testing.T) {
	cfg := configured(serve(t, nil))
	cfg.MaxBytes = 10
	s := open(t, cfg)
	for size, fits := range map[int]bool{10: true, 11: false} {
		if err := s.Put(t.Context(), "k", make([]byte, size), "text/plain"); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Get(t.Context(), "k"); (err == nil) != fits || errors.Is(err, telemetry.ErrInvalid) == fits {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}

func TestInvalidArguments(t *testing.T) {
	if _, err := s3.New(s3.Config{}); !errors.Is(err, telemetry.ErrInvalid) {
		t.Errorf("no bucket: %v", err)
	}
	s := open(t, configured(serve(t, nil)))
	if err := s.Put(t.Context(), "", nil, "text/plain"); !errors.Is(err, telemetry.ErrInvalid) {
		t.Errorf("put without a key: %v", err)
	}
	if _, err := s.Get(t.Context(), ""); !errors.Is(err, telemetry.ErrInvalid) {
		t.Errorf("get without a key: %v", err)
	}
}

func TestClassifiesErrors(t *testing.T) {
	sentinels := []error{telemetry.ErrInvalid, telemetry.ErrNotFound, telemetry.ErrConflict, telemetry.ErrUnavailable}
	code := func(c string) string { return `<?xml version="1.0"?><Error><Code>` + c + `</Code></Error>` }
	for name, tc := range map[string]struct {
		status int
		body   string
		want   error // nil: none of the sentinels
	}{
		"internal error":     {500, code("InternalError"), telemetry.ErrUnavailable},
		"slow down":          {503, code("SlowDown"), telemetry.ErrUnavailable},
		"throttled":          {400, code("ThrottlingException"), telemetry.ErrUnavailable},
		"too many":           {429, ``, telemetry.ErrUnavailable},
		"concurrent write":   {409, code("ConditionalRequestConflict"), telemetry.ErrUnavailable},
		"precondition":       {412, code("PreconditionFailed"), telemetry.ErrConflict},
		"bare precondition":  {412, ``, telemetry.ErrConflict},
		"key too long":       {400, code("KeyTooLongError"), telemetry.ErrInvalid},
		"access denied":      {403, code("AccessDenied"), nil},
		"signature mismatch": {403, code("SignatureDoesNotMatch"), nil},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(tc.status)
				_, _ = w.Write([]byte(tc.body))
			}))
			defer server.Close()
			err := open(t, configured(server.URL)).PutIfAbsent(t.Context(), "dir/k", []byte("x"), "text/plain")
			if err == nil || !strings.Contains(err.Error(), "s3://failures/dir/k") {
				t.Fatalf("got %v", err)
			}
			for _, s := range sentinels {
				if want := errors.Is(tc.want, s); errors.Is(err, s) != want {
					t.Errorf("errors.Is(%v, %v) is not %t", err, s, want)
				}
			}
		})
	}
}

func TestConnectionRefused(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	s := open(t, configured(server.URL))
	if err := s.Put(t.Context(), "k", nil, "text/plain"); !errors.Is(err, telemetry.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Get(ctx, "k"); !errors.Is(err, context.Canceled) || errors.Is(err, telemetry.ErrUnavailable) {
		t.Errorf("cancelled: %v", err)
	}
}
