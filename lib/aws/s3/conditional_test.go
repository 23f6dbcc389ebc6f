package s3_test

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	locals3 "github.com/insighthub/insighthub/cdk/local/s3"
	"github.com/insighthub/insighthub/lib/aws/s3"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// local opens a store over the emulator of S3.
func local(t *testing.T, seen func(*http.Request)) *s3.Store {
	t.Helper()
	return localBy(t, nil, seen)
}

func localBy(t *testing.T, wire *s3.Wire, seen func(*http.Request)) *s3.Store {
	t.Helper()
	cfg := configured(localURL(t, seen))
	cfg.Wire = wire
	return open(t, cfg)
}

func localURL(t *testing.T, seen func(*http.Request)) string {
	t.Helper()
	objects, err := locals3.New(locals3.Config{Dir: t.TempDir(), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	if err := objects.CreateBucket(bucket); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if seen != nil {
			seen(r)
		}
		objects.Handler().ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		server.Close()
		if err := objects.Close(); err != nil {
			t.Error(err)
		}
	})
	return server.URL
}

func TestPutIf(t *testing.T) {
	t.Run("transport", func(t *testing.T) { testPutIf(t, nil) })
	t.Run("wire", func(t *testing.T) { testPutIf(t, wire()) })
}

func testPutIf(t *testing.T, wire *s3.Wire) {
	t.Helper()
	s := localBy(t, wire, nil)
	_, err := s.PutIf(t.Context(), "k", []byte("x"), `"0123"`)
	if !errors.Is(err, telemetry.ErrConflict) || errors.Is(err, telemetry.ErrNotFound) {
		t.Errorf("replace an object that does not exist: got %v, want a conflict", err)
	}
	first, err := s.PutIf(t.Context(), "k", []byte("one"), "")
	if err != nil || first == "" {
		t.Fatalf("got %q, %v", first, err)
	}
	if _, err := s.PutIf(t.Context(), "k", []byte("again"), ""); !errors.Is(err, telemetry.ErrConflict) {
		t.Errorf("create an object that exists: got %v, want a conflict", err)
	}
	second, err := s.PutIf(t.Context(), "k", []byte("two"), first)
	if err != nil || second == first {
		t.Fatalf("got %q, %v", second, err)
	}
	if _, err := s.PutIf(t.Context(), "k", []byte("late"), first); !errors.Is(err, telemetry.ErrConflict) {
		t.Errorf("replace an object that has changed: got %v, want a conflict", err)
	}
	body, etag, err := s.GetTagged(t.Context(), "k", first)
	if err != nil || string(body) != "two" || etag != second {
		t.Errorf("got %q under %q, %v; want it under %q", body, etag, err, second)
	}
	if _, err := s.PutIf(t.Context(), "", nil, ""); !errors.Is(err, telemetry.ErrInvalid) {
		t.Errorf("no key: %v", err)
	}
}

func TestGetTaggedUnchanged(t *testing.T) {
	s := local(t, nil)
	content := bytes.Repeat([]byte("0123456789"), 100_000)
	etag, err := s.PutIf(t.Context(), "k", content, "")
	if err != nil {
		t.Fatal(err)
	}
	body, got, err := s.GetTagged(t.Context(), "k", "")
	if err != nil || got != etag || !bytes.Equal(body, content) {
		t.Errorf("got %d bytes under %q, %v", len(body), got, err)
	}
	body, got, err = s.GetTagged(t.Context(), "k", etag)
	if err != nil || got != etag || body != nil {
		t.Errorf("unchanged: got %d bytes under %q, %v", len(body), got, err)
	}
	if _, _, err := s.GetTagged(t.Context(), "none", etag); !errors.Is(err, telemetry.ErrNotFound) {
		t.Errorf("no such key: got %v, want not found", err)
	}
}

func TestPutIfHasOneWinner(t *testing.T) {
	s := local(t, nil)
	etag, err := s.PutIf(t.Context(), "k", []byte("start"), "")
	if err != nil {
		t.Fatal(err)
	}
	start := make(chan struct{})
	var group sync.WaitGroup
	errs := make([]error, 2)
	for i := range errs {
		group.Go(func() {
			<-start
			_, errs[i] = s.PutIf(t.Context(), "k", []byte{byte(i)}, etag)
		})
	}
	close(start)
	group.Wait()
	if (errs[0] == nil) == (errs[1] == nil) {
		t.Fatalf("got %v and %v, want one winner", errs[0], errs[1])
	}
	for i, err := range errs {
		if err != nil {
			if !errors.Is(err, telemetry.ErrConflict) {
				t.Errorf("writer %d: %v", i, err)
			}
			continue
		}
		if body, _, err := s.GetTagged(t.Context(), "k", ""); err != nil || !bytes.Equal(body, []byte{byte(i)}) {
			t.Errorf("writer %d won, the object is %q, %v", i, body, err)
		}
	}
}
