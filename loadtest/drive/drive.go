package drive

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/insighthub/insighthub/loadtest/fleet"
)

// Config configures Run.
type Config struct {
	// URL to which batches are posted.
	URL string
	// Token returns the bearer token of a gateway. Several goroutines call it, before each
	// request, because tokens expire during the run.
	Token func(ctx context.Context, gateway string) (string, error)
	// Rate is the events per second of the whole fleet, for the open loop; zero
	// means a closed loop, in which each gateway sends its next batch after a response.
	Rate float64
	// Duration is the time in which batches become due. Batches in flight at its end have
	// Grace to finish.
	Duration, Grace time.Duration
	// Live, if not nil, gets each gateway's samples at the time at which they are read, whatever
	// becomes of the requests. It needs a Rate, and is called by one goroutine per gateway; the values
	// are those of Gateway.Sample, and are not to be retained.
	Live func(g *fleet.Gateway, at time.Time, values []int64)
	// Progress, if not nil, is called once a second.
	Progress func(elapsed time.Duration, sofar Counts)
	// Acknowledged, if not nil, is called by several goroutines for each batch that was
	// accepted: it was due, sent for the first time, and acknowledged then.
	Acknowledged func(b *fleet.Batch, due, sent, acknowledged time.Time)
}

// Counts of events and requests.
type Counts struct {
	Sent     int64 `json:"sent_events"`     // events in batches that became due and were sent
	Accepted int64 `json:"accepted_events"` // events accepted by a response of status 202
	Rejected int64 `json:"rejected_events"` // events rejected permanently
	Unknown  int64 `json:"unknown_events"`  // events without a response
	Requests int64 `json:"requests"`
	Retries  int64 `json:"retries"`
}

func (c *Counts) add(o Counts) {
	c.Sent += o.Sent
	c.Accepted += o.Accepted
	c.Rejected += o.Rejected
	c.Unknown += o.Unknown
	c.Requests += o.Requests
	c.Retries += o.Retries
}

// Result of a run.
type Result struct {
	Counts
	Seconds float64 `json:"seconds"` // from the first batch due to the last response
	// EventsPerSecond is Accepted over Seconds.
	EventsPerSecond float64     `json:"events_per_second"`
	Ack             Percentiles `json:"ack_ms"`
	// FirstError is the first error that was not retried, if any.
	FirstError string `json:"first_error,omitempty"`
}

// Run sends the fleet's batches and returns when every batch has a response, Grace is over
// or ctx ends. Each gateway has one request in flight at a time, as a real one that sends
// its events in order.
func Run(ctx context.Context, cfg Config, gateways []*fleet.Gateway, eventsPerBatch int) (Result, error) {
	transport := &http.Transport{
		MaxIdleConnsPerHost: len(gateways), MaxConnsPerHost: len(gateways),
		WriteBufferSize: 128 << 10, DisableCompression: true,
	}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: 30 * time.Second}

	period := time.Duration(0)
	if cfg.Rate > 0 {
		period = time.Duration(float64(len(gateways)*eventsPerBatch) / cfg.Rate * float64(time.Second))
	}
	start := time.Now()
	limit, cancel := context.WithDeadline(ctx, start.Add(cfg.Duration+cfg.Grace))
	defer cancel()
	senders := make([]*sender, len(gateways))
	var wg sync.WaitGroup
	for i, g := range gateways {
		if _, err := cfg.Token(ctx, g.ID); err != nil {
			return Result{}, fmt.Errorf("token of %s: %w", g.ID, err)
		}
		s := &sender{
			cfg: &cfg, client: client, gateway: g, period: period,
			// The gateways start evenly over a period, so that the load is even.
			first: start.Add(period * time.Duration(i) / time.Duration(len(gateways))),
			end:   start.Add(cfg.Duration),
		}
		senders[i] = s
		if cfg.Live != nil && period > 0 {
			s.sampled = make(chan sampled, maxUnsent)
			wg.Go(func() { s.sample(limit) })
		}
		wg.Go(func() { s.run(limit) })
	}
	stopProgress := progress(&cfg, start, senders)
	wg.Wait()
	stopProgress()

	res := Result{Seconds: time.Since(start).Seconds()}
	var samples []Sample
	for _, s := range senders {
		counts, firstError := s.snapshot()
		res.add(counts)
		samples = append(samples, s.samples...)
		if res.FirstError == "" {
			res.FirstError = firstError
		}
	}
	res.EventsPerSecond = float64(res.Accepted) / res.Seconds
	res.Ack = PercentilesOf(samples)
	return res, ctx.Err()
}

func progress(cfg *Config, start time.Time, senders []*sender) (stop func()) {
	if cfg.Progress == nil {
		return func() {}
	}
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				var sum Counts
				for _, s := range senders {
					c, _ := s.snapshot()
					sum.add(c)
				}
				cfg.Progress(time.Since(start), sum)
			}
		}
	})
	return func() { close(done); wg.Wait() }
}

// sender sends the batches of one gateway.
type sender struct {
	cfg        *Config
	client     *http.Client
	gateway    *fleet.Gateway
	period     time.Duration
	first, end time.Time
	samples    []Sample     // of acknowledged batches
	sampled    chan sampled // what sample has read; nil without Live

	mu         sync.Mutex
	counts     Counts
	firstError string
}

func (s *sender) snapshot() (Counts, string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts, s.firstError
}

func (s *sender) count(f func(*Counts)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.counts)
}

func (s *sender) run(ctx context.Context) {
	var b fleet.Batch
	due := s.first
	for due.Before(s.end) {
		if !sleepUntil(ctx, due) {
			return
		}
		// A batch holds the samples since the batch before it.
		samplePeriod := s.period / time.Duration(s.gateway.Samples())
		if s.period == 0 {
			samplePeriod = time.Microsecond
		}
		if s.sampled == nil {
			s.gateway.Fill(&b, due, samplePeriod)
		} else {
			batch, ok := <-s.sampled
			if !ok {
				return
			}
			s.gateway.FillSamples(&b, batch.times, batch.values)
		}
		s.send(ctx, &b, due)
		if s.period > 0 {
			due = due.Add(s.period)
		} else {
			due = later(time.Now(), due.Add(samplePeriod*time.Duration(s.gateway.Samples())))
		}
	}
}

// send posts one batch until it is accepted or rejected permanently, or ctx ends.
func (s *sender) send(ctx context.Context, b *fleet.Batch, due time.Time) {
	s.count(func(c *Counts) { c.Sent += int64(b.Events) })
	backoff := 20 * time.Millisecond
	sent := time.Now()
	for {
		s.count(func(c *Counts) { c.Requests++ })
		res, err := s.post(ctx, b)
		switch {
		case err == nil:
			now := time.Now()
			s.samples = append(s.samples, Sample{Latency: now.Sub(due), Weight: res.Accepted})
			if s.cfg.Acknowledged != nil {
				s.cfg.Acknowledged(b, due, sent, now)
			}
			if res.Rejected == 0 {
				s.gateway.Acknowledge(b)
			}
			s.count(func(c *Counts) { c.Accepted += int64(res.Accepted); c.Rejected += int64(res.Rejected) })
			return
		case errors.Is(err, errRejected):
			s.fail(err)
			s.count(func(c *Counts) { c.Rejected += int64(b.Events) })
			return
		}
		wait := later(time.Now().Add(res.retryAfter), time.Now().Add(time.Duration(rand.Int64N(int64(backoff))))) //nolint:gosec // jitter
		backoff = min(2*backoff, time.Second)
		if !sleepUntil(ctx, wait) {
			s.fail(err)
			s.count(func(c *Counts) { c.Unknown += int64(b.Events) })
			return
		}
		s.count(func(c *Counts) { c.Retries++ })
	}
}

func (s *sender) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.firstError == "" {
		s.firstError = s.gateway.ID + ": " + err.Error()
	}
}

// errRejected marks a response that a retry would not change.
var errRejected = errors.New("rejected")

type response struct {
	Accepted, Rejected int
	retryAfter         time.Duration
}

func (s *sender) post(ctx context.Context, b *fleet.Batch) (response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.cfg.URL, bytes.NewReader(b.Body))
	if err != nil {
		return response{}, fmt.Errorf("%w: %w", errRejected, err)
	}
	req.Header.Set("Content-Type", "application/json")
	token, err := s.cfg.Token(ctx, s.gateway.ID)
	if err != nil {
		return response{}, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := s.client.Do(req)
	if err != nil {
		return response{}, err
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end below
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return response{}, err
	}
	var res response
	switch {
	case resp.StatusCode == http.StatusAccepted:
		if err := json.Unmarshal(body, &res); err != nil {
			return response{}, fmt.Errorf("%w: decode response of status 202: %w", errRejected, err)
		}
		return res, nil
	case resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode >= 500:
		if n, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil {
			res.retryAfter = time.Duration(n) * time.Second
		}
		return res, fmt.Errorf("status %d: %.200s", resp.StatusCode, body)
	default:
		return response{}, fmt.Errorf("%w: status %d: %.300s", errRejected, resp.StatusCode, body)
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// sleepUntil reports whether it slept until the time: false if ctx ended first.
func sleepUntil(ctx context.Context, at time.Time) bool {
	d := time.Until(at)
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
