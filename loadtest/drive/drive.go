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

// Config says where and how to send.
type Config struct {
	// URL takes the batches by POST.
	URL string
	// Token returns the bearer token of a gateway. It is asked before each request,
	// by several goroutines: a token lapses while the fleet goes on.
	Token func(ctx context.Context, gateway string) (string, error)
	// Rate is the events per second of the whole fleet, for the open loop; zero
	// means the closed loop, in which each gateway sends when it was answered.
	Rate float64
	// Duration is how long batches become due. Batches under way then are
	// finished, for at most Grace more.
	Duration, Grace time.Duration
	// Progress is called about once a second; nil for none.
	Progress func(elapsed time.Duration, sofar Counts)
}

// Counts of events and requests.
type Counts struct {
	Sent     int64 `json:"sent_events"`     // events in batches that became due and were sent
	Accepted int64 `json:"accepted_events"` // events answered with 202 as accepted
	Rejected int64 `json:"rejected_events"` // events refused for good
	Unknown  int64 `json:"unknown_events"`  // events that never got an answer
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
	Seconds float64 `json:"seconds"` // from the first batch due to the last answer
	// EventsPerSecond is Accepted over Seconds.
	EventsPerSecond float64     `json:"events_per_second"`
	Ack             Percentiles `json:"ack_ms"`
	// FirstError is the first answer that was neither an acceptance nor a retry, if any.
	FirstError string `json:"first_error,omitempty"`
}

// Run drives the fleet and returns when every batch has its answer, or when
// Grace is over, or when ctx ends. Each gateway has one request under way at a
// time, as a real one that keeps its events in order.
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
			// Gateways take turns, so that the load is even within a period.
			first: start.Add(period * time.Duration(i) / time.Duration(len(gateways))),
			end:   start.Add(cfg.Duration),
		}
		senders[i] = s
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

// sender is one gateway with its connection.
type sender struct {
	cfg        *Config
	client     *http.Client
	gateway    *fleet.Gateway
	period     time.Duration
	first, end time.Time
	samples    []Sample // of acknowledged batches

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
		// A batch holds what was sampled since the one before it.
		samplePeriod := s.period / time.Duration(s.gateway.Samples())
		if s.period == 0 {
			samplePeriod = time.Microsecond
		}
		s.gateway.Fill(&b, due, samplePeriod)
		s.send(ctx, &b, due)
		if s.period > 0 {
			due = due.Add(s.period)
		} else {
			due = later(time.Now(), due.Add(samplePeriod*time.Duration(s.gateway.Samples())))
		}
	}
}

// send posts one batch until it is accepted, refused for good, or ctx ends.
func (s *sender) send(ctx context.Context, b *fleet.Batch, due time.Time) {
	s.count(func(c *Counts) { c.Sent += int64(b.Events) })
	backoff := 20 * time.Millisecond
	for {
		s.count(func(c *Counts) { c.Requests++ })
		ans, err := s.post(ctx, b)
		switch {
		case err == nil:
			s.samples = append(s.samples, Sample{Latency: time.Since(due), Weight: ans.Accepted})
			if ans.Rejected == 0 {
				s.gateway.Acknowledge(b)
			}
			s.count(func(c *Counts) { c.Accepted += int64(ans.Accepted); c.Rejected += int64(ans.Rejected) })
			return
		case errors.Is(err, errRefused):
			s.fail(err)
			s.count(func(c *Counts) { c.Rejected += int64(b.Events) })
			return
		}
		wait := later(time.Now().Add(ans.retryAfter), time.Now().Add(time.Duration(rand.Int64N(int64(backoff))))) //nolint:gosec // jitter
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

// errRefused marks an answer that a repetition would not change.
var errRefused = errors.New("refused")

type answer struct {
	Accepted, Rejected int
	retryAfter         time.Duration
}

func (s *sender) post(ctx context.Context, b *fleet.Batch) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.cfg.URL, bytes.NewReader(b.Body))
	if err != nil {
		return answer{}, fmt.Errorf("%w: %w", errRefused, err)
	}
	req.Header.Set("Content-Type", "application/json")
	token, err := s.cfg.Token(ctx, s.gateway.ID)
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := s.client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end below
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return answer{}, err
	}
	var ans answer
	switch {
	case resp.StatusCode == http.StatusAccepted:
		if err := json.Unmarshal(body, &ans); err != nil {
			return answer{}, fmt.Errorf("%w: 202 with a body that is not understood: %w", errRefused, err)
		}
		return ans, nil
	case resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode >= 500:
		if n, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil {
			ans.retryAfter = time.Duration(n) * time.Second
		}
		return ans, fmt.Errorf("status %d: %.200s", resp.StatusCode, body)
	default:
		return answer{}, fmt.Errorf("%w: status %d: %.300s", errRefused, resp.StatusCode, body)
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// sleepUntil reports whether the time came before ctx ended.
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
