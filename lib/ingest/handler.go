package ingest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/insighthub/insighthub/lib/denylist"
	"github.com/insighthub/insighthub/lib/lambda/deadline"
	lambdahttp "github.com/insighthub/insighthub/lib/lambda/http"
	"github.com/insighthub/insighthub/lib/problem"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// Publisher publishes accepted events for the platform's consumers.
type Publisher interface {
	// Publish returns nil once every event of the batch is durable. After an
	// error some may not be; a retry of the same batch is safe. The error wraps
	// telemetry.ErrUnavailable if a retry may succeed, and may then have a method
	// RetryAfter() time.Duration; it wraps telemetry.ErrInvalid if a retry cannot
	// succeed. Publish does not use the batch after it returns. It is not called
	// concurrently.
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

// Config configures a Handler. A zero number or duration means the default.
type Config struct {
	Publisher Publisher
	// Names is AnyNames by default.
	Names Names
	// Denials are none by default. While it is not known which tokens are denied, all are
	// accepted: events are not lost for it, and a gateway can only add to its own machines.
	Denials denylist.Denials
	Metrics prometheus.Registerer
	Log     *slog.Logger
	Now     func() time.Time

	// MaxBodyBytes bounds a body as it is sent.
	MaxBodyBytes int
	// MaxInflatedBytes bounds a decompressed body. At least 1 KiB, the smallest window of zstd.
	MaxInflatedBytes int
	// RetentionDays bounds how far back an event's time may lie.
	RetentionDays int
	// MaxFuture bounds how far an event's time may lie ahead of Now.
	MaxFuture time.Duration
	// RetryAfter is the Retry-After of a 503 if the Publisher's error has no method
	// RetryAfter() time.Duration.
	RetryAfter time.Duration
	// DevicesPerGateway and MetricsPerGateway bound the names of a gateway; they are those
	// of the store.
	DevicesPerGateway, MetricsPerGateway int
}

// withDefaults returns c with defaults in place of zeros, or every value that is not valid.
func (c Config) withDefaults() (Config, error) {
	c.MaxBodyBytes = cmp.Or(c.MaxBodyBytes, DefaultMaxBodyBytes)
	c.MaxInflatedBytes = cmp.Or(c.MaxInflatedBytes, DefaultMaxInflatedBytes)
	c.RetentionDays = cmp.Or(c.RetentionDays, DefaultRetentionDays)
	c.MaxFuture = cmp.Or(c.MaxFuture, DefaultMaxFuture)
	c.RetryAfter = cmp.Or(c.RetryAfter, DefaultRetryAfter)
	c.Names = cmp.Or[Names](c.Names, AnyNames{})
	c.Denials = cmp.Or[denylist.Denials](c.Denials, denylist.Nothing{})
	c.DevicesPerGateway = cmp.Or(c.DevicesPerGateway, telemetry.MaxDevices)
	c.MetricsPerGateway = cmp.Or(c.MetricsPerGateway, telemetry.MaxMetrics)
	var problems []error
	if c.MaxBodyBytes < 0 {
		problems = append(problems, fmt.Errorf("MaxBodyBytes: want at least 1, got %d", c.MaxBodyBytes))
	}
	if c.MaxInflatedBytes < 1<<10 {
		problems = append(problems, fmt.Errorf("MaxInflatedBytes: want at least %d, got %d", 1<<10, c.MaxInflatedBytes))
	}
	if c.RetentionDays < 0 {
		problems = append(problems, fmt.Errorf("RetentionDays: want at least 1, got %d", c.RetentionDays))
	}
	if c.MaxFuture < 0 {
		problems = append(problems, fmt.Errorf("MaxFuture: want a positive duration, got %v", c.MaxFuture))
	}
	if c.RetryAfter < 0 {
		problems = append(problems, fmt.Errorf("RetryAfter: want a positive duration, got %v", c.RetryAfter))
	}
	if len(problems) > 0 {
		return c, fmt.Errorf("ingest: %w: %w", telemetry.ErrInvalid, errors.Join(problems...))
	}
	return c, nil
}

// Handler serves POST /v1/telemetry. It is a lambda.Handler over bytes.
// Requests are served one at a time; the memory of one serves the next.
type Handler struct {
	config Config
	// beforeCount is the response to a request without rejected events, up to the
	// number of its events.
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
	known     knownNames
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
	limits.RecordBytes = max(config.MaxBodyBytes, config.MaxInflatedBytes) // bodyReader has checked it, with a status of its own
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
		known:     newKnownNames(config),
	}
	if err := config.Metrics.Register(h.known.failed); err != nil {
		return nil, fmt.Errorf("metrics of ingest: %w", err)
	}
	if h.beforeCount, err = beforeCount(); err != nil {
		return nil, err
	}
	h.collector.batch = &h.batch
	h.parser = newParser(&h.collector)
	h.envelope.parse = h.parseEscaped
	return h, nil
}

// Invoke serves one API Gateway HTTP API event of payload format 2.0 and returns the
// response in the same format. It returns an error only if the payload is not such an
// event. It does not use the payload after it returns.
func (h *Handler) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.config.Now()
	status, response, err := h.serve(ctx, payload, now)
	h.metrics.add(status, h.config.Now().Sub(now))
	h.metrics.addRejected(h.collector.byReason[:])
	return response, err
}

// serve returns the response and its status, which is 500 if there is an error.
func (h *Handler) serve(ctx context.Context, payload []byte, now time.Time) (int, []byte, error) {
	r := &h.request
	h.collector.reset(
		telemetry.MicrosOf(now.Add(-h.retention)),
		telemetry.MicrosOf(now.Add(h.config.MaxFuture)),
	)
	if err := h.envelope.read(payload, r); err != nil {
		return http.StatusInternalServerError, nil, fmt.Errorf("ingest: %w", err)
	}
	if rejected := h.accept(ctx, r, now); rejected != nil {
		h.config.Log.InfoContext(ctx, "request rejected",
			"request_id", r.requestID, "gateway", r.gateway, "status", rejected.status, "detail", rejected.detail)
		return h.rejected(r, rejected)
	}
	h.known.check(ctx, &h.collector, now)
	if h.batch.Len() > 0 {
		ctx, cancel := deadline.WithMargin(ctx, now, 0)
		defer cancel()
		if err := h.config.Publisher.Publish(ctx, &h.batch); err != nil {
			h.config.Log.ErrorContext(ctx, "batch not published",
				"request_id", r.requestID, "gateway", r.gateway, "trace", r.trace, "events", h.batch.Len(), "error", err)
			return h.failed(r, err)
		}
	}
	h.config.Log.DebugContext(ctx, "batch published",
		"request_id", r.requestID, "gateway", r.gateway, "trace", r.trace,
		"accepted", h.batch.Len(), "rejected", h.collector.rejected)
	return h.accepted(r)
}

// gatewayRole is the role that may send events.
const gatewayRole = "gateway"

// accept fills the batch with the valid events of r. It returns why the request as a
// whole is rejected, or nil.
func (h *Handler) accept(ctx context.Context, r *request, now time.Time) *bodyError {
	if telemetry.ValidName(r.gateway) != nil || telemetry.ValidName(r.site) != nil {
		return reject(http.StatusForbidden, "no-gateway", "The token does not name a gateway and a site.")
	}
	// API Gateway caches the authorizer's response, possibly for longer than the token is valid.
	if now.Unix() >= r.expires {
		return reject(http.StatusUnauthorized, "token-expired", "The token has expired.")
	}
	if r.role != gatewayRole {
		return reject(http.StatusForbidden, "not-a-gateway", "Only a gateway may send events.")
	}
	denied, err := h.config.Denials.Denied(ctx, denylist.Token{Subject: r.gateway, Version: r.tokenVersion, Issued: r.issued})
	if denied && err == nil {
		return reject(http.StatusUnauthorized, "token-revoked", "The token was revoked.")
	}
	if _, err := lambdahttp.ParseQuery(r.query); err != nil { // there are no parameters
		return reject(http.StatusBadRequest, "unknown-parameter", "%s", err.Error())
	}
	if !r.parsed {
		if err := h.readBody(r); err != nil {
			return err
		}
	}
	if h.collector.index == 0 {
		return badEnvelope("The request has no events.")
	}
	h.batch.Gateway = telemetry.GatewayID(r.gateway)
	h.batch.Site = telemetry.SiteID(r.site)
	h.batch.Trace = traceOf(r)
	h.batch.Received = telemetry.MicrosOf(now)
	return nil
}

// parseEscaped reads a JSON body in place in the payload.
func (h *Handler) parseEscaped(payload []byte, start int) (end int) {
	end = h.parser.parseEscaped(payload, start)
	if end-start > h.config.MaxBodyBytes {
		return -1 // perhaps only its escaped form is too long
	}
	return end
}

// readBody fills the collector from the body of r.
func (h *Handler) readBody(r *request) *bodyError {
	form, err := formOf(r.contentType)
	if err != nil {
		return err
	}
	body, err := h.body.read(r)
	if err != nil {
		return err
	}
	h.collector.restart()
	if form == recordForm {
		return h.readRecord(body)
	}
	return h.parser.parse(body[:len(body)+padding], len(body))
}

func (h *Handler) readRecord(body []byte) *bodyError {
	if err := h.decoder.Decode(body, &h.batch); err != nil {
		return &bodyError{http.StatusBadRequest, problem.TypeOf("bad-record"), "The record cannot be decoded: " + err.Error() + "."}
	}
	if h.batch.Len() > telemetry.MaxBatchEvents {
		return tooManyEvents(telemetry.MaxBatchEvents)
	}
	h.collector.validateBatch(h.decoder.Rejected())
	return nil
}

// traceOf returns the request's trace header if a record can carry it. The client sets
// the header, and it is no reason to reject a batch.
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
