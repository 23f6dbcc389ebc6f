// Package instantquery asks Prometheus, or Amazon's managed service for it, what an
// expression is now, over its HTTP API.
package instantquery

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// HTTPClient is the part of *http.Client that is needed.
type HTTPClient interface {
	Do(*http.Request) (*http.Response, error)
}

var _ HTTPClient = (*http.Client)(nil)

// SigV4 signs requests for the managed service.
type SigV4 struct {
	Region      string
	Credentials aws.CredentialsProvider
}

// Config is a Client's. URL, HTTP and Now are required.
type Config struct {
	// URL is the server's address, or the workspace's endpoint; the API is below it.
	URL  string
	HTTP HTTPClient
	// SigV4 is nil for a server that wants no signature.
	SigV4 *SigV4
	Now   func() time.Time
}

// Client asks one server. It is safe for concurrent use.
type Client struct {
	config Config
	signer *v4.Signer
}

// New returns a Client; the error wraps telemetry.ErrInvalid.
func New(config Config) (*Client, error) {
	u, err := url.Parse(config.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("prometheus: %w: address %q: want http(s)://host", telemetry.ErrInvalid, config.URL)
	}
	if config.HTTP == nil || config.Now == nil {
		return nil, fmt.Errorf("prometheus: %w: want a client and a clock", telemetry.ErrInvalid)
	}
	config.URL = strings.TrimRight(config.URL, "/")
	return &Client{config, v4.NewSigner()}, nil
}

// Sample is one series of an answer. Its value may be NaN or infinite.
type Sample struct {
	Labels map[string]string
	Value  float64
}

// maxAnswerBytes bounds an answer: 10,000 series of some labels.
const maxAnswerBytes = 4 << 20

// Query evaluates an expression at the server's own now: clocks differ. Errors wrap
// telemetry.ErrUnavailable when the server can not be asked or fails, and
// telemetry.ErrInvalid when it does not understand the expression.
func (c *Client) Query(ctx context.Context, expression string) ([]Sample, error) {
	body := []byte(url.Values{"query": {expression}}.Encode())
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.config.URL+"/api/v1/query", bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("prometheus: %w", err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if err := c.sign(ctx, req, body); err != nil {
		return nil, err
	}
	resp, err := c.config.HTTP.Do(req)
	if err != nil {
		return nil, fmt.Errorf("prometheus: %w: %w", telemetry.ErrUnavailable, err)
	}
	defer func() { _ = resp.Body.Close() }() // nothing of it is needed any more
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswerBytes+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("prometheus: %w: %w", telemetry.ErrUnavailable, err)
	case len(raw) > maxAnswerBytes:
		return nil, fmt.Errorf("prometheus: query %q: %w: the answer exceeds %d bytes", expression, telemetry.ErrInvalid, maxAnswerBytes)
	case resp.StatusCode == http.StatusBadRequest || resp.StatusCode == http.StatusUnprocessableEntity:
		return nil, fmt.Errorf("prometheus: query %q: %w: %d: %.200s", expression, telemetry.ErrInvalid, resp.StatusCode, raw)
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("prometheus: query %q: %w: it answers %d", expression, telemetry.ErrUnavailable, resp.StatusCode)
	}
	samples, err := parse(raw)
	if err != nil {
		return nil, fmt.Errorf("prometheus: query %q: %w", expression, err)
	}
	return samples, nil
}

func (c *Client) sign(ctx context.Context, req *http.Request, body []byte) error {
	s := c.config.SigV4
	if s == nil {
		return nil
	}
	credentials, err := s.Credentials.Retrieve(ctx)
	if err != nil {
		return fmt.Errorf("prometheus: credentials: %w", err)
	}
	sum := sha256.Sum256(body)
	if err := c.signer.SignHTTP(ctx, credentials, req, hex.EncodeToString(sum[:]), "aps", s.Region, c.config.Now()); err != nil {
		return fmt.Errorf("prometheus: sign: %w", err)
	}
	return nil
}

// parse reads an answer with a vector, or a scalar as one series without labels.
func parse(raw []byte) ([]Sample, error) {
	var answer struct {
		Status string
		Data   struct {
			Type   string          `json:"resultType"`
			Result json.RawMessage `json:"result"`
		}
	}
	if err := json.Unmarshal(raw, &answer); err != nil || answer.Status != "success" {
		return nil, errors.Join(fmt.Errorf("%w: no answer of Prometheus", telemetry.ErrUnavailable), err)
	}
	switch answer.Data.Type {
	case "vector":
		var series []struct {
			Metric map[string]string
			Value  point
		}
		if err := json.Unmarshal(answer.Data.Result, &series); err != nil {
			return nil, fmt.Errorf("%w: %w", telemetry.ErrUnavailable, err)
		}
		samples := make([]Sample, len(series))
		for i, s := range series {
			samples[i] = Sample{s.Metric, float64(s.Value)}
		}
		return samples, nil
	case "scalar":
		var p point
		if err := json.Unmarshal(answer.Data.Result, &p); err != nil {
			return nil, fmt.Errorf("%w: %w", telemetry.ErrUnavailable, err)
		}
		return []Sample{{Value: float64(p)}}, nil
	default:
		return nil, fmt.Errorf("%w: it is a %.20q, want a vector", telemetry.ErrInvalid, answer.Data.Type)
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
