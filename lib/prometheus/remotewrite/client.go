package remotewrite

import (
	"context"
	"time"
)

// Client writes to one receiver. It is safe for concurrent use; calls are serialized, so
// that samples stay in order.
type Client struct {
	cfg Config

	// lock has one element while a Write owns the fields below.
	lock      chan struct{}
	protocol  Protocol
	confirmed bool // the receiver has responded with the headers of 2.0
	enc       *encoder
	parts     []part
	described map[string]time.Time // when a receiver of 1.0 last received a family's metadata
}

// New returns a Client. The error names every problem of cfg and wraps telemetry.ErrInvalid.
func New(cfg Config) (*Client, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	c := &Client{
		cfg: cfg, lock: make(chan struct{}, 1), protocol: cfg.Protocol,
		enc: newEncoder(), described: make(map[string]time.Time),
	}
	if c.protocol == Auto {
		c.protocol = V2
	}
	return c, nil
}

// Write writes the series, in their order, in as many requests as the limits require. A time
// series should be in the input once.
//
// Without an error everything is settled: written, or in Result.Rejected. A *RetryError says
// that a retry of the rest may succeed; a *StatusError, that none will before the
// configuration or the access changes; another error comes from ctx, from the credentials,
// or from building the request. Result is valid in each case.
//
// A receiver may have stored a request whose response was lost. Sending it again is
// harmless; the package comment says which order this requires.
func (c *Client) Write(ctx context.Context, series []Series) (Result, error) {
	select {
	case c.lock <- struct{}{}:
	case <-ctx.Done():
		return Result{Protocol: c.cfg.Protocol}, ctx.Err()
	}
	defer func() { <-c.lock }()
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline.Add(-c.cfg.Margin))
		defer cancel()
	}
	w := &write{client: c, series: series, budget: c.cfg.MaxBisections}
	err := w.run(ctx)
	w.result.Protocol = c.protocol
	return w.result, err
}

// write is one call of Write.
type write struct {
	client *Client
	series []Series
	result Result
	budget int // requests left for bisection
}

func (w *write) run(ctx context.Context) error {
	c := w.client
	parts := c.parts[:0]
	defer func() { c.parts = parts }()
	for i := range w.series {
		s := &w.series[i]
		if reason := c.enc.validate(s); reason != "" {
			w.reject(part{i, 0, s.length()}, 0, reason, true)
			continue
		}
		s.sortByTime()
		parts = c.split(parts, i, s)
	}
	for done := 0; done < len(parts); {
		n := c.fit(w.series, parts[done:])
		if err := w.send(ctx, parts[done:done+n], true); err != nil {
			w.result.Settled = w.firstUnsettled(parts[done].series)
			return err
		}
		done += n
	}
	w.result.Settled = len(w.series)
	return nil
}

// firstUnsettled removes the rejections that will be repeated when the caller continues at
// the given series.
func (w *write) firstUnsettled(series int) int {
	kept := w.result.Rejected[:0]
	for _, r := range w.result.Rejected {
		if r.Series < series {
			kept = append(kept, r)
		}
	}
	w.result.Rejected = kept
	return series
}

// send writes the parts in one request or, when that is rejected because of its samples, in
// several.
func (w *write) send(ctx context.Context, parts []part, whole bool) error {
	r, err := w.client.deliver(ctx, w, parts, whole)
	if err != nil {
		return err
	}
	written := r.written
	w.result.Samples += written.samples
	w.result.Histograms += written.histograms
	w.result.Exemplars += written.exemplars
	missing := r.sent.samples + r.sent.histograms - written.samples - written.histograms
	switch {
	case r.rejected && r.partial():
		w.rejectNamed(parts, &r, missing)
		return nil
	case r.rejected:
		return w.bisect(ctx, parts, &r)
	case missing > 0:
		// 2xx, and the receiver says that it did not write everything.
		w.rejectNamed(parts, &r, missing)
	}
	return nil
}

// bisect sends the halves of a request that was rejected as a whole, to write what is valid
// and to find the rejected samples.
func (w *write) bisect(ctx context.Context, parts []part, r *response) error {
	if len(parts) == 1 && parts[0].to-parts[0].from == 1 {
		w.reject(parts[0], r.status, r.message, true)
		return nil
	}
	if w.budget < 2 {
		for _, p := range parts {
			w.reject(p, r.status, r.message, false)
		}
		return nil
	}
	w.budget -= 2
	left, right := halve(parts)
	if err := w.send(ctx, left, false); err != nil {
		return err
	}
	return w.send(ctx, right, false)
}

// halve splits between series or, when there is one only, between its samples. It does not
// change parts.
func halve(parts []part) (left, right []part) {
	if n := len(parts); n > 1 {
		return parts[:n/2], parts[n/2:]
	}
	p := parts[0]
	middle := (p.from + p.to) / 2
	return []part{{p.series, p.from, middle}}, []part{{p.series, middle, p.to}}
}

// reject records that a part will not be written.
func (w *write) reject(p part, status int, reason string, isolated bool) {
	s := &w.series[p.series]
	r := Rejection{Series: p.series, Labels: s.String(), Samples: p.to - p.from, Status: status, Reason: reason, Isolated: isolated}
	r.Duplicate = status != 0 && duplicate(reason)
	if p.to > p.from {
		r.First, r.Last = s.timeAt(p.from), s.timeAt(p.to-1)
	}
	w.result.Rejected = append(w.result.Rejected, r)
}

func (s *Series) length() int { return max(len(s.Samples), len(s.Histograms)) }

func (s *Series) timeAt(i int) int64 {
	if len(s.Histograms) > 0 {
		return s.Histograms[i].Timestamp
	}
	return s.Samples[i].Timestamp
}
