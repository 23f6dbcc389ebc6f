package s3_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// fetch reads a URL without any credentials.
func fetch(t *testing.T, url string) ([]byte, *http.Response) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return body, response
}

// TestUpload uploads objects of no, one and several parts and reads them from the emulator
// of S3 by a presigned URL.
func TestUpload(t *testing.T) {
	var parts atomic.Int32
	s := local(t, func(r *http.Request) {
		if r.URL.Query().Has("partNumber") {
			parts.Add(1)
		}
	})
	for name, c := range map[string]struct{ bytes, parts int }{
		"empty": {0, 0}, "small": {1000, 0}, "one part": {8 << 20, 1}, "one byte more": {8<<20 + 1, 2}, "parts": {20<<20 + 7, 3},
	} {
		t.Run(name, func(t *testing.T) {
			parts.Store(0)
			content := bytes.Repeat([]byte("0123456789abcdefg"), c.bytes/17+1)[:c.bytes]
			key := "exports/plant-1/" + name + ".csv"
			u, err := s.Create(t.Context(), key, "text/csv")
			if err != nil {
				t.Fatal(err)
			}
			if n, err := io.Copy(struct{ io.Writer }{u}, bytes.NewReader(content)); err != nil || n != int64(c.bytes) {
				t.Fatalf("wrote %d, %v", n, err)
			}
			if _, err := s.Get(t.Context(), key); !errors.Is(err, telemetry.ErrNotFound) {
				t.Errorf("before Complete: got %v, want not found", err)
			}
			if err := u.Complete(); err != nil {
				t.Fatal(err)
			}
			if err := u.Abort(); err != nil {
				t.Errorf("abort after Complete: %v", err)
			}
			url, err := s.PresignGet(t.Context(), key, "readings.csv", 15*time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(url, "X-Amz-Expires=900") || !strings.Contains(url, "X-Amz-Signature=") {
				t.Errorf("got the URL %s, want it signed for 900 s", url)
			}
			body, response := fetch(t, url)
			if response.StatusCode != http.StatusOK || !bytes.Equal(body, content) || u.Bytes() != int64(c.bytes) {
				t.Errorf("status %d, %d bytes, want %d", response.StatusCode, len(body), c.bytes)
			}
			if int(parts.Load()) != c.parts {
				t.Errorf("%d parts, want %d", parts.Load(), c.parts)
			}
		})
	}
}

// TestUploadAborted: an upload that was aborted or whose context ended creates no object.
func TestUploadAborted(t *testing.T) {
	var aborted atomic.Int32
	s := local(t, func(r *http.Request) {
		if r.Method == http.MethodDelete {
			aborted.Add(1)
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	for i, end := range []func(){func() {}, cancel} {
		u, err := s.Create(ctx, "k", "text/csv")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := u.Write(make([]byte, 9<<20)); err != nil {
			t.Fatal(err)
		}
		if end(); i == 0 {
			err = u.Abort()
		} else if _, werr := u.Write(make([]byte, 9<<20)); werr == nil {
			t.Error("wrote after the context ended")
		} else if u.Complete() == nil {
			t.Error("completed after the context ended")
		}
		if err != nil || int(aborted.Load()) != i+1 {
			t.Errorf("%v, %d uploads aborted", err, aborted.Load())
		}
		if _, err := s.Get(t.Context(), "k"); !errors.Is(err, telemetry.ErrNotFound) {
			t.Errorf("got %v, want not found", err)
		}
	}
	if _, err := s.Create(t.Context(), "", "text/csv"); !errors.Is(err, telemetry.ErrInvalid) {
		t.Errorf("no key: %v", err)
	}
}
