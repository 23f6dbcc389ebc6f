package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/insighthub/insighthub/lib/lambda/deadline"
	"github.com/insighthub/insighthub/lib/problem"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// Publisher puts accepted events where the platform's consumers read them.
type Publisher interface {
	// Publish returns nil once every event of the batch is durable. An error
	// says that some may not be: publishing the same batch again is safe. It
	// wraps telemetry.ErrUnavailable when a repetition may succeed (and may say
	// when by a method RetryAfter() time.Duration) and
	// telemetry.ErrInvalid when it can not. The batch is the caller's again
	// after the return. Publish is not called concurrently.
	Publish(ctx context.Context, batch *telemetry.Batch) error
}

// Defaults of Config.
const (
	// DefaultMaxBodyBytes is what fits as base64, envelope included, in the
	// 6 MiB of a Lambda payload.
	DefaultMaxBodyBytes     = 4 << 20
	DefaultMaxInflatedBytes = 16 << 20
	DefaultRetentionDays    = 3653
	DefaultMaxFuture        = 5 * time.Minute
	DefaultRetryAfter       = time.Second
)

// Config sets a Handler up. Zero numbers and durations mean the defaults.
type Config struct {
	Publisher Publisher             // required
	Metrics   prometheus.Registerer // required
	Log       *slog.Logger          // required
	Now       func() time.Time

	// MaxBodyBytes bounds a body as it was sent.
	MaxBodyBytes int
	// MaxInflatedBytes bounds a body after its content encoding is undone.
	MaxInflatedBytes int
	// RetentionDays bounds how far back an event's time may lie.
	RetentionDays int
	// MaxFuture bounds how far an event's time may lie ahead of Now.
	MaxFuture time.Duration
	// RetryAfter is what a client is asked to wait when the stream refuses and
	// the Publisher's error has no method RetryAfter() time.Duration that says
	// otherwise.
	RetryAfter time.Duration
}

// withDefaults returns c complete, or every problem that it has.
func (c Config) withDefaults() (Config, error) {
	var problems []error
	if c.Publisher == nil {
		problems = append(problems, errors.New("no publisher"))
	}
	if c.Metrics == nil {
		problems = append(problems, errors.New("no registerer for metrics"))
	}
	if c.Log == nil {
		problems = append(problems, errors.New("no log"))
	}
	if c.Now == nil {
		problems = append(problems, errors.New("no clock"))
	}
	orDefault(&c.MaxBodyBytes, DefaultMaxBodyBytes)
	orDefault(&c.MaxInflatedBytes, DefaultMaxInflatedBytes)
	orDefault(&c.RetentionDays, DefaultRetentionDays)
	orDefault(&c.MaxFuture, DefaultMaxFuture)
	orDefault(&c.RetryAfter, DefaultRetryAfter)
	const leastInflated = 1 << 10 // the smallest window of zstd
	if c.MaxBodyBytes < 0 || c.MaxInflatedBytes < leastInflated || c.RetentionDays < 0 || c.MaxFuture < 0 || c.RetryAfter < 0 {
		problems = append(problems, fmt.Errorf("a bound is negative, or MaxInflatedBytes under %d", leastInflated))
	}
	if len(problems) > 0 {
		return c, fmt.Errorf("ingest: %w: %w", telemetry.ErrInvalid, errors.Join(problems...))
	}
	return c, nil
}

func orDefault[T comparable](v *T, fallback T) {
	var zero T
	if *v == zero {
		*v = fallback
	}
}

// Handler serves POST /v1/telemetry. It is a lambda.Handler over bytes.
// Requests are served one at a time; the memory of one serves the next.
type Handler struct {
	config Config
	// beforeCount begins the usual answer.
	beforeCount []byte
	metrics     *metrics
	retention   time.Duration

	mu        sync.Mutex
	envelope  envelope
	request   request
	body      *bodyReader
	parser    parser
	decoder   *telemetry.Decoder
	batch     telemetry.Batch
	collector collector
}

// New returns a Handler.
func New(config Config) (*Handler, error) {
	config, err := config.withDefaults()
	if err != nil {
		return nil, err
	}
	body, err := newBodyReader(config.MaxBodyBytes, config.MaxInflatedBytes)
	if err != nil {
		return nil, err
	}
	limits := telemetry.DefaultLimits()
	limits.RecordBytes = max(config.MaxBodyBytes, config.MaxInflatedBytes) // judged before, with a status of its own
	decoder, err := telemetry.NewDecoder(limits)
	if err != nil {
		return nil, fmt.Errorf("record decoder: %w", err)
	}
	m, err := newMetrics(config.Metrics)
	if err != nil {
		return nil, err
	}
	h := &Handler{
		config:    config,
		metrics:   m,
		retention: time.Duration(config.RetentionDays) * 24 * time.Hour,
		body:      body,
		decoder:   decoder,
	}
	if h.beforeCount, err = beforeCount(); err != nil {
		return nil, err
	}
	h.collector.batch = &h.batch
	h.parser = newParser(&h.collector)
	h.envelope.parse = h.parseEscaped
	return h, nil
}

// Invoke serves one API Gateway HTTP API event of payload format 2.0 and
// returns the response in the form that API Gateway wants. The error is not
// nil only when the payload is no such event. Neither payload nor any part of
// it is kept.
func (h *Handler) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.config.Now()
	status, answer, err := h.serve(ctx, payload, now)
	h.metrics.add(status, h.config.Now().Sub(now))
	return answer, err
}

// serve returns the answer and its status, which is 500 beside an error.
func (h *Handler) serve(ctx context.Context, payload []byte, now time.Time) (int, []byte, error) {
	r := &h.request
	h.collector.reset(
		telemetry.MicrosOf(now.Add(-h.retention)),
		telemetry.MicrosOf(now.Add(h.config.MaxFuture)),
	)
	if err := h.envelope.read(payload, r); err != nil {
		return http.StatusInternalServerError, nil, fmt.Errorf("ingest: %w", err)
	}
	if refusal := h.accept(r, now); refusal != nil {
		h.config.Log.InfoContext(ctx, "refused",
			"request_id", r.requestID, "gateway", r.gateway, "status", refusal.status, "detail", refusal.detail)
		return h.refused(r, refusal)
	}
	if h.batch.Len() > 0 {
		ctx, cancel := deadline.WithMargin(ctx, now, 0)
		defer cancel()
		if err := h.config.Publisher.Publish(ctx, &h.batch); err != nil {
			h.config.Log.ErrorContext(ctx, "not published",
				"request_id", r.requestID, "gateway", r.gateway, "trace", r.trace, "events", h.batch.Len(), "error", err)
			return h.failed(r, err)
		}
	}
	h.config.Log.DebugContext(ctx, "accepted",
		"request_id", r.requestID, "gateway", r.gateway, "trace", r.trace,
		"accepted", h.batch.Len(), "rejected", h.collector.rejected)
	return h.answer(r)
}

// gatewayRole is the role that may send events.
const gatewayRole = "gateway"

// accept fills the batch with the acceptable events of r. It returns why the
// request as a whole is refused, or nil.
func (h *Handler) accept(r *request, now time.Time) *bodyError {
	if telemetry.ValidName(r.gateway) != nil || telemetry.ValidName(r.site) != nil {
		return refuse(http.StatusForbidden, "no-gateway", "the token names no gateway and site")
	}
	// API Gateway keeps the authorizer's answer, which thus may outlive the token.
	if now.Unix() >= r.expires {
		return refuse(http.StatusUnauthorized, "token-expired", "the token has expired")
	}
	if r.role != gatewayRole {
		return refuse(http.StatusForbidden, "not-a-gateway", "only a gateway may send events")
	}
	if !r.parsed {
		if refusal := h.readBody(r); refusal != nil {
			return refusal
		}
	}
	if h.collector.index == 0 {
		return badEnvelope("the request holds no event")
	}
	h.batch.Gateway = telemetry.GatewayID(r.gateway)
	h.batch.Site = telemetry.SiteID(r.site)
	h.batch.Trace = traceOf(r)
	h.batch.Received = telemetry.MicrosOf(now)
	return nil
}

// parseEscaped reads a JSON body where it stands in the payload.
func (h *Handler) parseEscaped(payload []byte, start int) (end int) {
	end = h.parser.parseEscaped(payload, start)
	if end-start > h.config.MaxBodyBytes {
		return -1 // perhaps for its escapes alone
	}
	return end
}

// readBody fills the collector from the body of r.
func (h *Handler) readBody(r *request) *bodyError {
	form, refusal := formOf(r.contentType)
	if refusal != nil {
		return refusal
	}
	body, refusal := h.body.read(r)
	if refusal != nil {
		return refusal
	}
	h.collector.restart()
	if form == recordForm {
		return h.readRecord(body)
	}
	return h.parser.parse(body[:len(body)+padding], len(body))
}

func (h *Handler) readRecord(body []byte) *bodyError {
	if err := h.decoder.Decode(body, &h.batch); err != nil {
		return &bodyError{http.StatusBadRequest, problem.TypeOf("bad-record"), err.Error()}
	}
	if h.batch.Len() > telemetry.MaxBatchEvents {
		return tooManyEvents(telemetry.MaxBatchEvents)
	}
	h.collector.review()
	return nil
}

// traceOf returns the request's trace header if a record can carry it: the
// header is the client's, and not worth refusing a batch for.
func traceOf(r *request) string {
	if len(r.trace) > telemetry.MaxTraceBytes {
		return ""
	}
	for _, c := range []byte(r.trace) {
		if c < ' ' || c > '~' {
			return ""
		}
	}
	return r.trace
}
