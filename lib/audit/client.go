package audit

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// HTTPClient is the part of *http.Client that is needed. It must not follow redirects:
// where they lead is not what is looked at.
type HTTPClient interface {
	Do(*http.Request) (*http.Response, error)
}

var _ HTTPClient = (*http.Client)(nil)

// API is the platform's HTTP API.
type API struct {
	// Base is its address, without a slash at its end.
	Base string
	HTTP HTTPClient
	Now  func() time.Time
}

// maxAnswerBytes bounds what is read of an answer.
const maxAnswerBytes = 8 << 20

type request struct {
	method, path string // the path with its query
	token        string
	body         string // JSON; empty for none
	header       map[string]string
}

type answer struct {
	status int
	header http.Header
	body   []byte
	took   time.Duration // to its last byte
}

func (a answer) String() string {
	text := strings.TrimSpace(string(a.body))
	if len(text) > 100 {
		text = text[:100] + "…"
	}
	return fmt.Sprintf("%d %s", a.status, text)
}

// ask makes a request. An error means that there was no whole answer.
func (a API) ask(ctx context.Context, r request) (answer, error) {
	var body io.Reader
	if r.body != "" {
		body = strings.NewReader(r.body)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, a.Base+r.path, body)
	if err != nil {
		return answer{}, fmt.Errorf("%s %s: %w", r.method, r.path, err)
	}
	if r.body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if r.token != "" {
		req.Header.Set("Authorization", "Bearer "+r.token)
	}
	for name, value := range r.header {
		req.Header.Set(name, value)
	}
	req.Header.Set("User-Agent", "insighthub-audit")
	start := a.Now()
	resp, err := a.HTTP.Do(req)
	if err != nil {
		return answer{}, fmt.Errorf("%s %s: %w", r.method, r.path, err)
	}
	defer func() { _ = resp.Body.Close() }() // nothing of it is needed any more
	out := answer{status: resp.StatusCode, header: resp.Header}
	out.body, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswerBytes))
	out.took = a.Now().Sub(start)
	if err != nil {
		return answer{}, fmt.Errorf("%s %s: %w", r.method, r.path, err)
	}
	return out, nil
}

func (a API) get(ctx context.Context, path, token string) (answer, error) {
	return a.ask(ctx, request{method: http.MethodGet, path: path, token: token})
}

// notAsked is the finding of a check that got no answer.
func notAsked(check string, err error) Finding {
	return Finding{check, Fail, "no answer: " + err.Error(), "see that the platform runs and that its address is right"}
}
