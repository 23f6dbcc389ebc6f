// Package promquery asks Prometheus, or Amazon's managed service for it, what an
// expression is at one time, over its HTTP API.
package promquery

import (
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
	"github.com/insighthub/insighthub/lib/telemetry"
)

// HTTPClient is the part of *http.Client that is needed. It should not follow redirects.
type HTTPClient interface {
	Do(*http.Request) (*http.Response, error)
}

var _ HTTPClient = (*http.Client)(nil)

// Config says which server, and how to reach it. URL, HTTP and Now are required.
type Config struct {
	// URL is the server's address, or the workspace's endpoint; the API is below it.
	URL  string
	HTTP HTTPClient
	// SigV4 is nil for a server that wants no signature.
	SigV4 *awsconfig.SigV4
	Now   func() time.Time
}

// Client asks one server. It is safe for concurrent use.
type Client struct{ config Config }

// New returns a Client; the error wraps telemetry.ErrInvalid.
func New(config Config) (*Client, error) {
	u, err := url.Parse(config.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("prometheus: %w: address %q: want http(s)://host", telemetry.ErrInvalid, config.URL)
	}
	if config.HTTP == nil || config.Now == nil || config.SigV4.Validate() != nil {
		return nil, fmt.Errorf("prometheus: %w: want a client, a clock, and a region and credentials to sign with", telemetry.ErrInvalid)
	}
	config.URL = strings.TrimRight(config.URL, "/")
	return &Client{config}, nil
}

// Sample is one series of an answer. Its value may be NaN or infinite.
type Sample struct {
	Labels map[string]string
	Value  float64
}

// Query evaluates an expression at the server's own now: clocks differ. Errors wrap
// telemetry.ErrUnavailable when the server can not be asked or fails, and
// telemetry.ErrInvalid when it does not understand the expression.
func (c *Client) Query(ctx context.Context, expression string) ([]Sample, error) {
	const maxAnswerBytes = 4 << 20 // 10,000 series of some labels
	body, err := c.post(ctx, maxAnswerBytes, url.Values{"query": {expression}})
	var samples []Sample
	if err == nil {
		samples, err = parse(body)
	}
	var refused *refusal
	switch {
	case err == nil:
		return samples, nil
	case errors.As(err, &refused) && (refused.status == http.StatusBadRequest || refused.status == http.StatusUnprocessableEntity),
		errors.Is(err, errTooLong), errors.Is(err, errType):
		err = fmt.Errorf("%w: %w", telemetry.ErrInvalid, err)
	case refused != nil, errors.Is(err, errAnswer):
		err = fmt.Errorf("%w: %w", telemetry.ErrUnavailable, err)
	}
	return nil, fmt.Errorf("query %q: %w", expression, err)
}

// refusal is an answer of another status than 200.
type refusal struct {
	status int
	body   []byte
}

// Error implements error.
func (r *refusal) Error() string {
	return fmt.Sprintf("prometheus: status %d: %.300s", r.status, r.body)
}

// What may be wrong with an answer. What it means is for who has asked.
var (
	errAnswer  = errors.New("prometheus: no answer to a query")
	errType    = errors.New("prometheus: an answer of another type")
	errTooLong = errors.New("prometheus: the answer is too long")
)

// post asks the API and returns its answer, of most bytes or errTooLong. The error is
// a refusal when the server says no, and wraps telemetry.ErrUnavailable when it says nothing.
func (c *Client) post(ctx context.Context, most int64, form url.Values) ([]byte, error) {
	text := form.Encode()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.config.URL+"/api/v1/query", strings.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("prometheus: %w", err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if err := c.config.SigV4.Sign(ctx, request, []byte(text), c.config.Now()); err != nil {
		return nil, fmt.Errorf("prometheus: %w", err)
	}
	response, err := c.config.HTTP.Do(request)
	if err != nil {
		return nil, fmt.Errorf("prometheus: %w: %w", telemetry.ErrUnavailable, err)
	}
	defer func() { _ = response.Body.Close() }() // read as far as is needed
	body, err := io.ReadAll(io.LimitReader(response.Body, most+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("prometheus: %w: %w", telemetry.ErrUnavailable, err)
	case response.StatusCode != http.StatusOK:
		return nil, &refusal{response.StatusCode, body}
	case int64(len(body)) > most:
		return nil, fmt.Errorf("%w: more than %d bytes", errTooLong, most)
	}
	return body, nil
}

// parse reads an answer with a vector, or a scalar as one series without labels. The
// error is errAnswer or errType.
func parse(raw []byte) ([]Sample, error) {
	var answer struct {
		Status string
		Data   struct {
			Type   string          `json:"resultType"`
			Result json.RawMessage `json:"result"`
		}
	}
	if err := json.Unmarshal(raw, &answer); err != nil || answer.Status != "success" {
		return nil, errors.Join(errAnswer, err)
	}
	switch answer.Data.Type {
	case "vector":
		var series []struct {
			Metric map[string]string
			Value  *point
		}
		if err := json.Unmarshal(answer.Data.Result, &series); err != nil {
			return nil, fmt.Errorf("%w: %w", errAnswer, err)
		}
		samples := make([]Sample, len(series))
		for i, s := range series {
			if s.Value == nil {
				return nil, fmt.Errorf("%w: series %d has no value", errAnswer, i)
			}
			samples[i] = Sample{s.Metric, float64(*s.Value)}
		}
		return samples, nil
	case "scalar":
		var p point
		if err := json.Unmarshal(answer.Data.Result, &p); err != nil {
			return nil, fmt.Errorf("%w: %w", errAnswer, err)
		}
		return []Sample{{Value: float64(p)}}, nil
	default:
		return nil, fmt.Errorf("%w: it is a %.20q, want a vector", errType, answer.Data.Type)
	}
}

// point is [time, "value"], of which the value is kept.
type point float64

// UnmarshalJSON implements json.Unmarshaler.
func (p *point) UnmarshalJSON(raw []byte) error {
	var pair []json.RawMessage
	var text string
	if err := json.Unmarshal(raw, &pair); err != nil {
		return err
	}
	if len(pair) != 2 {
		return fmt.Errorf("a point of %d parts, want 2", len(pair))
	}
	if err := json.Unmarshal(pair[1], &text); err != nil {
		return err
	}
	v, err := strconv.ParseFloat(text, 64) // NaN and +Inf too
	*p = point(v)
	return err
}
