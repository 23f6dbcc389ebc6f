package s3_test

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/insighthub/insighthub/lib/aws/s3"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// TestDirectRequests checks the conditions and signatures of the requests that bypass the SDK's client.
func TestDirectRequests(t *testing.T) {
	var seen []*http.Request
	var status int
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = append(seen, r.Clone(t.Context()))
		w.Header().Set("ETag", `"2"`)
		w.WriteHeader(status)
	}))
	defer server.Close()
	at := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	const plain, odd = "shardstate/bridge-5s/telemetry/shardId-000000000000", "a b/ü+%25?x=1&y#(z)"
	for name, test := range map[string]struct {
		key  string
		wire *s3.Wire
	}{
		"plain": {key: plain}, "odd": {key: odd}, "plain, by wire": {plain, wire()}, "odd, by wire": {odd, wire()},
	} {
		t.Run(name, func(t *testing.T) {
			key := test.key
			cfg := configured(server.URL)
			cfg.Now = func() time.Time { return at }
			cfg.Wire = test.wire
			s := open(t, cfg)
			seen, status = nil, http.StatusOK
			if etag, err := s.PutIf(t.Context(), key, []byte("body"), `"1"`); err != nil || etag != `"2"` {
				t.Fatalf("got %q, %v", etag, err)
			}
			if _, err := s.PutIf(t.Context(), key, []byte("body"), ""); err != nil {
				t.Fatal(err)
			}
			status = http.StatusNotModified
			if body, etag, err := s.GetTagged(t.Context(), key, `"2"`); err != nil || body != nil || etag != `"2"` {
				t.Fatalf("got %q under %q, %v", body, etag, err)
			}
			want := []string{`PUT If-Match "1"`, "PUT If-None-Match *", `GET If-None-Match "2"`}
			if len(seen) != len(want) {
				t.Fatalf("got %d requests, want %d", len(seen), len(want))
			}
			for i, r := range seen {
				method, condition, _ := strings.Cut(want[i], " ")
				header, value, _ := strings.Cut(condition, " ")
				if r.Method != method || r.Header.Get(header) != value || r.URL.Path != "/"+bucket+"/"+key {
					t.Errorf("got %s %s %v, want %s", r.Method, r.URL.Path, r.Header, want[i])
				}
				if got, want := r.Header.Get("Authorization"), signed(t, r, at); got != want {
					t.Errorf("signed\n%s, want\n%s", got, want)
				}
			}
		})
	}
}

// wire makes connections for direct requests.
func wire() *s3.Wire { return &s3.Wire{Dial: new(net.Dialer).DialContext} }

// signed returns the Authorization header that the request must have.
func signed(t *testing.T, r *http.Request, at time.Time) string {
	t.Helper()
	unsigned := r.Clone(t.Context())
	unsigned.URL.Host, unsigned.URL.Scheme = r.Host, "http"
	for _, name := range []string{"Authorization", "Accept-Encoding", "User-Agent", "Content-Length"} {
		unsigned.Header.Del(name)
	}
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
	credentials := aws.Credentials{AccessKeyID: "AKID", SecretAccessKey: "a-test"}
	if err := signer.SignHTTP(t.Context(), credentials, unsigned, "UNSIGNED-PAYLOAD", "s3", "eu-west-1", at); err != nil {
		t.Fatal(err)
	}
	return unsigned.Header.Get("Authorization")
}

// TestDirectFailuresAreRetried: after a failed direct request the SDK's response decides.
func TestDirectFailuresAreRetried(t *testing.T) {
	const aborted = 0
	for _, first := range []int{403, 412, 500, 503, aborted} {
		for _, second := range []int{http.StatusOK, http.StatusPreconditionFailed} {
			for _, over := range []*s3.Wire{nil, wire()} {
				t.Run(fmt.Sprintf("%d, %d, by wire %t", first, second, over != nil), func(t *testing.T) {
					calls := 0
					server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
						calls++
						status := second
						if calls == 1 {
							status = first
						}
						if status == aborted {
							panic(http.ErrAbortHandler)
						}
						w.Header().Set("ETag", `"2"`)
						w.WriteHeader(status)
					}))
					defer server.Close()
					cfg := configured(server.URL)
					cfg.Wire = over
					etag, err := open(t, cfg).PutIf(t.Context(), "k", []byte("x"), `"1"`)
					if calls != 2 {
						t.Errorf("got %d requests, want 2", calls)
					}
					if second == http.StatusOK && (err != nil || etag != `"2"`) {
						t.Errorf("got %q, %v; want the new ETag", etag, err)
					} else if second != http.StatusOK && !errors.Is(err, telemetry.ErrConflict) {
						t.Errorf("got %q, %v; want a conflict", etag, err)
					}
				})
			}
		}
	}
}
