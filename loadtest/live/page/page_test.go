package page_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/insighthub/insighthub/loadtest/live/page"
)

func request(t *testing.T, method, url, body string) (status int, text string, header http.Header) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(raw), resp.Header
}

// The page gets its files isolated, the commands in turn, and its results reach those who
// wait for them, errors as errors.
func TestCommands(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "index.html"), []byte("<title>x</title>"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := page.Serve(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	status, text, header := request(t, http.MethodGet, s.Origin()+"/", "")
	if status != http.StatusOK || text != "<title>x</title>" || header.Get("Cross-Origin-Opener-Policy") != "same-origin" ||
		header.Get("Cross-Origin-Embedder-Policy") != "require-corp" {
		t.Errorf("got %d %q with %v, want the file with the headers that isolate", status, text, header)
	}
	type outcome struct {
		value int
		err   error
	}
	for _, c := range []struct {
		result string
		want   outcome
	}{
		{`{"value":{"n":7}}`, outcome{value: 7}},
		{`{"error":"no frame"}`, outcome{err: page.ErrPage}},
	} {
		done := make(chan outcome, 1)
		go func() {
			var got struct{ N int }
			err := s.Do(t.Context(), "view", map[string]int{"millis": 5}, &got)
			done <- outcome{got.N, err}
		}()
		status, text, _ := request(t, http.MethodGet, s.Origin()+"/command", "")
		var command struct {
			ID   int
			Name string
			Args struct{ Millis int }
		}
		if err := json.Unmarshal([]byte(text), &command); err != nil || status != http.StatusOK || command.Name != "view" ||
			command.Args.Millis != 5 {
			t.Fatalf("got %d %s, want the command", status, text)
		}
		result := s.Origin() + "/result/" + strconv.Itoa(command.ID)
		if status, _, _ := request(t, http.MethodPost, result, "no JSON"); status != http.StatusBadRequest {
			t.Errorf("a result that is not JSON: got status %d, want %d", status, http.StatusBadRequest)
		}
		if status, _, _ := request(t, http.MethodPost, result, c.result); status != http.StatusNoContent {
			t.Errorf("got status %d, want %d", status, http.StatusNoContent)
		}
		if got := <-done; got.value != c.want.value || !errors.Is(got.err, c.want.err) {
			t.Errorf("%s: got %+v, want %+v", c.result, got, c.want)
		}
		if status, _, _ := request(t, http.MethodPost, result, c.result); status != http.StatusNotFound {
			t.Errorf("a second result: got status %d, want %d", status, http.StatusNotFound)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := s.Do(ctx, "view", nil, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("without a page: got error %v, want that of the timeout", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
