package kinesis

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// fakeClock is a clock that moves by add.
type fakeClock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *fakeClock { return &fakeClock{now: time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)} }

func (c *fakeClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *fakeClock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// fataler is what testing.TB and rapid.T have in common.
type fataler interface {
	Helper()
	Fatal(args ...any)
}

// call sends one request to the handler and decodes the response into out.
func call(tb testing.TB, s *Server, operation string, in, out any) error {
	tb.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		tb.Fatal(err)
	}
	status, response := post(tb, s.Handler(), operation, string(body))
	if status != http.StatusOK {
		var e struct {
			Type    ErrorType `json:"__type"`
			Message string    `json:"message"`
		}
		if err := json.Unmarshal(response, &e); err != nil {
			tb.Fatalf("%s: status %d with %q: %v", operation, status, response, err)
		}
		return &Error{Type: e.Type, Message: e.Message}
	}
	if out != nil {
		if err := json.Unmarshal(response, out); err != nil {
			tb.Fatalf("%s: %q: %v", operation, response, err)
		}
	}
	return nil
}

func post(tb testing.TB, h http.Handler, operation, body string) (int, []byte) {
	tb.Helper()
	r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, "/", strings.NewReader(body))
	r.Header.Set("X-Amz-Target", targetPrefix+operation)
	r.Header.Set("Content-Type", contentType)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	response, err := io.ReadAll(w.Result().Body)
	if err != nil {
		tb.Fatal(err)
	}
	return w.Code, response
}

func wantType(tb testing.TB, err error, want ErrorType) {
	tb.Helper()
	if !IsType(err, want) {
		tb.Errorf("error %v, want %s", err, want)
	}
}

func must(t fataler, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// putOne writes one record to the stream st and returns its result.
func putOne(tb testing.TB, s *Server, key string, data []byte) PutResult {
	tb.Helper()
	r, err := s.PutRecords("st", []PutEntry{NewPutEntry(key, data)}, nil)
	must(tb, err)
	return r[0]
}

// readAll reads everything that the shard holds after a sequence number.
func readAll(t fataler, s *Server, stream, shardID, after string) (records []Record, end bool) {
	t.Helper()
	for {
		got, end, err := s.Read(stream, shardID, after, 7, 1<<20)
		must(t, err)
		records = append(records, got...)
		if end || len(got) == 0 {
			return records, end
		}
		after = got[len(got)-1].SequenceNumber
	}
}
