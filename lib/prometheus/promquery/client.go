// Package promquery evaluates PromQL expressions at one time over the HTTP API of Prometheus
// or of Amazon Managed Service for Prometheus.
package promquery

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	awsconfig "github.com/insighthub/insighthub/lib/aws/config"
	"github.com/insighthub/insighthub/lib/breaker"
	"github.com/insighthub/insighthub/lib/release"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// HTTPClient is the part of *http.Client that a Client uses. It should not follow redirects.
type HTTPClient interface {
	Do(*http.Request) (*http.Response, error)
}

var _ HTTPClient = (*http.Client)(nil)

// Config names a server. URL, HTTP and Now are required.
type Config struct {
	// URL is the server's or the workspace's endpoint; /api/v1/query is appended.
	URL  string
	HTTP HTTPClient
	// SigV4 is nil for a server that requires no signature.
	SigV4 *awsconfig.SigV4
	// UserAgent is "insighthub/" and the version by default.
	UserAgent string
	Now       func() time.Time
}

// Client sends queries to one server. It is safe for concurrent use. While the server does not
// respond its queries fail at once, but for a short probe each second (lib/breaker).
type Client struct {
	config  Config
	breaker *breaker.Breaker
}

// New returns a Client; the error wraps telemetry.ErrInvalid.
func New(config Config) (*Client, error) {
	var problems []error
	if u, err := url.Parse(config.URL); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		problems = append(problems, fmt.Errorf("url: %q: want http(s)://host", config.URL))
	}
	problems = append(problems, config.SigV4.Validate())
	if err := errors.Join(problems...); err != nil {
		return nil, fmt.Errorf("prometheus: %w: %w", telemetry.ErrInvalid, err)
	}
	config.URL = strings.TrimRight(config.URL, "/")
	config.UserAgent = cmp.Or(config.UserAgent, release.UserAgent("insighthub"))
	return &Client{config, breaker.New(breaker.Config{Now: config.Now})}, nil
}

// Sample is one series of a result. Its value may be NaN or infinite.
type Sample struct {
	Labels map[string]string
	Value  float64
}

// Query evaluates an expression at the server's current time, since clocks differ. Errors
// wrap telemetry.ErrUnavailable when the server is unavailable or fails, and
// telemetry.ErrInvalid when it rejects the expression.
func (c *Client) Query(ctx context.Context, expression string) ([]Sample, error) {
	const maxResponseBytes = 4 << 20 // 10,000 series of some labels
	body, err := c.post(ctx, maxResponseBytes, url.Values{"query": {expression}})
	var samples []Sample
	if err == nil {
		samples, err = parse(body)
	}
	var status *statusError
	switch {
	case err == nil:
		return samples, nil
	case errors.As(err, &status) && (status.code == http.StatusBadRequest || status.code == http.StatusUnprocessableEntity),
		errors.Is(err, errTooLarge), errors.Is(err, errType):
		err = fmt.Errorf("%w: %w", telemetry.ErrInvalid, err)
	case status != nil, errors.Is(err, errResponse):
		err = fmt.Errorf("%w: %w", telemetry.ErrUnavailable, err)
	}
	return nil, fmt.Errorf("query %q: %w", expression, err)
}

// statusError is a response with another status than 200.
type statusError struct {
	code int
	body []byte
}

// Error implements error.
func (e *statusError) Error() string {
	return fmt.Sprintf("prometheus: status %d: %.300s", e.code, e.body)
}

// Faults of a response. The caller of post decides which sentinel they are.
var (
	errResponse = errors.New("prometheus: not a valid query response")
	errType     = errors.New("prometheus: unexpected result type")
	errTooLarge = errors.New("prometheus: response too large")
)

// probeTimeout limits the probe of a server that did not respond.
const probeTimeout = 500 * time.Millisecond

// post sends a query and returns the response body, or errTooLarge above limit bytes. The
// error is a *statusError when the status is not 200, and wraps telemetry.ErrUnavailable when
// there is no complete response, or the server is not asked since it did not respond before.
func (c *Client) post(ctx context.Context, limit int64, form url.Values) ([]byte, error) {
	probe, err := c.breaker.Allow()
	if err != nil {
		return nil, fmt.Errorf("prometheus: %w: %w", telemetry.ErrUnavailable, err)
	}
	if probe {
		short, cancel := context.WithTimeout(ctx, probeTimeout)
		_, err := c.send(short, limit, url.Values{"query": {"1"}})
		outcome := outcomeOf(short, err)
		cancel()
		c.breaker.Probed(outcome)
		if outcome != breaker.Responded {
			return nil, fmt.Errorf("prometheus: %w: %w: %w", telemetry.ErrUnavailable, breaker.ErrOpen, err)
		}
	}
	body, err := c.send(ctx, limit, form)
	c.breaker.Record(outcomeOf(ctx, err))
	return body, err
}

// outcomeOf says what the error of send means for the circuit breaker.
func outcomeOf(ctx context.Context, err error) breaker.Outcome {
	status, responded := errors.AsType[*statusError](err)
	switch {
	case err == nil, errors.Is(err, errTooLarge):
		return breaker.Responded
	case responded && status.code >= http.StatusInternalServerError:
		return breaker.Failed
	case responded:
		return breaker.Responded
	case errors.Is(ctx.Err(), context.Canceled):
		return breaker.Unknown
	case errors.Is(err, context.DeadlineExceeded):
		return breaker.TimedOut
	case errors.Is(err, telemetry.ErrUnavailable):
		return breaker.Failed
	default: // the request could not be made or signed
		return breaker.Unknown
	}
}

func (c *Client) send(ctx context.Context, limit int64, form url.Values) ([]byte, error) {
	text := form.Encode()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.config.URL+"/api/v1/query", strings.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("prometheus: %w", err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("User-Agent", c.config.UserAgent)
	if err := c.config.SigV4.Sign(ctx, request, []byte(text), c.config.Now()); err != nil {
		return nil, fmt.Errorf("prometheus: %w", err)
	}
	response, err := c.config.HTTP.Do(request)
	if err != nil {
		return nil, fmt.Errorf("prometheus: %w: %w", telemetry.ErrUnavailable, err)
	}
	defer func() { _ = response.Body.Close() }() // read as far as is needed
	body, err := io.ReadAll(io.LimitReader(response.Body, limit+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("prometheus: %w: %w", telemetry.ErrUnavailable, err)
	case response.StatusCode != http.StatusOK:
		return nil, &statusError{response.StatusCode, body}
	case int64(len(body)) > limit:
		return nil, fmt.Errorf("%w: more than %d bytes", errTooLarge, limit)
	}
	return body, nil
}

// parse reads a response with a vector, or a scalar as one series without labels. The error
// is errResponse or errType.
func parse(raw []byte) ([]Sample, error) {
	var response struct {
		Status string
		Data   struct {
			Type   string          `json:"resultType"`
			Result json.RawMessage `json:"result"`
		}
	}
	if err := json.Unmarshal(raw, &response); err != nil || response.Status != "success" {
		return nil, errors.Join(errResponse, err)
	}
	switch response.Data.Type {
	case "vector":
		var series []struct {
			Metric map[string]string
			Value  *point
		}
		if err := json.Unmarshal(response.Data.Result, &series); err != nil {
			return nil, fmt.Errorf("%w: %w", errResponse, err)
		}
		samples := make([]Sample, len(series))
		for i, s := range series {
			if s.Value == nil {
				return nil, fmt.Errorf("%w: series %d has no value", errResponse, i)
			}
			samples[i] = Sample{s.Metric, float64(*s.Value)}
		}
		return samples, nil
	case "scalar":
		var p point
		if err := json.Unmarshal(response.Data.Result, &p); err != nil {
			return nil, fmt.Errorf("%w: %w", errResponse, err)
		}
		return []Sample{{Value: float64(p)}}, nil
	default:
		return nil, fmt.Errorf("%w: got %.20q, want a vector", errType, response.Data.Type)
	}
}

// point is the value of a pair [time, "value"].
type point float64

// UnmarshalJSON implements json.Unmarshaler.
func (p *point) UnmarshalJSON(raw []byte) error {
	var pair []json.RawMessage
	var text string
	if err := json.Unmarshal(raw, &pair); err != nil {
		return err
	}
	if len(pair) != 2 {
		return fmt.Errorf("got a point of %d elements, want 2", len(pair))
	}
	if err := json.Unmarshal(pair[1], &text); err != nil {
		return err
	}
	v, err := strconv.ParseFloat(text, 64) // NaN and +Inf too
	*p = point(v)
	return err
}
