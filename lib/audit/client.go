package audit

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/insighthub/insighthub/lib/release"
)

// HTTPClient is the part of *http.Client that an API uses. It must not follow redirects:
// the check is of the response itself.
type HTTPClient interface {
	Do(*http.Request) (*http.Response, error)
}

var _ HTTPClient = (*http.Client)(nil)

// API is the platform's HTTP API.
type API struct {
	// Base is its URL, without a slash at its end.
	Base string
	HTTP HTTPClient
	Now  func() time.Time
}

// maxResponseBytes limits what is read of a response body.
const maxResponseBytes = 8 << 20

type request struct {
	method, path string // the path with its query
	token        string
	body         string // JSON; empty for none
	header       map[string]string
}

type response struct {
	status int
	header http.Header
	body   []byte
	took   time.Duration // until its last byte
}

func (r response) String() string {
	text := strings.TrimSpace(string(r.body))
	if len(text) > 100 {
		text = text[:100] + "…"
	}
	return fmt.Sprintf("%d %s", r.status, text)
}

// do sends a request. An error means that there was no complete response.
func (a API) do(ctx context.Context, r request) (response, error) {
	var body io.Reader
	if r.body != "" {
		body = strings.NewReader(r.body)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, a.Base+r.path, body)
	if err != nil {
		return response{}, fmt.Errorf("%s %s: %w", r.method, r.path, err)
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
	req.Header.Set("User-Agent", release.UserAgent("insighthub-audit"))
	start := a.Now()
	resp, err := a.HTTP.Do(req)
	if err != nil {
		return response{}, fmt.Errorf("%s %s: %w", r.method, r.path, err)
	}
	defer func() { _ = resp.Body.Close() }() // read as far as is needed
	out := response{status: resp.StatusCode, header: resp.Header}
	out.body, err = io.ReadAll(io.LimitReader(resp.Body, maxResponseBytes))
	out.took = a.Now().Sub(start)
	if err != nil {
		return response{}, fmt.Errorf("%s %s: %w", r.method, r.path, err)
	}
	return out, nil
}

func (a API) get(ctx context.Context, path, token string) (response, error) {
	return a.do(ctx, request{method: http.MethodGet, path: path, token: token})
}

// noResponse is the finding of a check whose request failed.
func noResponse(check string, err error) Finding {
	return Finding{check, Fail, "no response: " + err.Error(), "check that the platform runs and that its URL is right"}
}
