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
	size      requestSize
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
		return Result{Protocol: c.cfg.Protocol, NotSent: length(series)}, ctx.Err()
	}
	defer func() { <-c.lock }()
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline.Add(-c.cfg.Margin))
		defer cancel()
	}
	c.size.begin(c.cfg.Now())
	w := &write{client: c, series: series}
	err := w.run(ctx)
	w.result.Protocol = c.protocol
	return w.result, err
}

// write is one call of Write.
type write struct {
	client *Client
	series []Series
	result Result
	parts  []part // scratch of try
}

func (w *write) run(ctx context.Context) error {
	c := w.client
	parts := c.parts[:0]
	defer func() { c.parts = parts }()
	for i := range w.series {
		s := &w.series[i]
		if reason := c.enc.validate(s); reason != "" {
			w.reject(part{series: i, to: s.length()}, &response{message: reason})
			continue
		}
		for j := range s.Exemplars {
			if reason := c.enc.validExemplar(&s.Exemplars[j]); reason != "" {
				w.rejectExemplar(i, &s.Exemplars[j], reason)
			}
		}
		s.sortByTime()
		parts = c.split(parts, i, s)
	}
	for done := 0; done < len(parts); {
		n := c.fit(w.series, parts[done:])
		r, err := c.deliver(ctx, w, parts[done:done+n], true)
		if err != nil {
			w.unsettled(parts[done].series, unitsOf(parts[done:]))
			return err
		}
		if r.whole() {
			units, left, err := w.search(ctx, unitsOf(parts[done:]), unitCount(parts[done:done+n]), &r)
			if err != nil {
				w.unsettled(units[left].series, units[left:])
				return err
			}
			break
		}
		w.written(parts[done:done+n], &r)
		done += n
	}
	w.result.Settled = len(w.series)
	return nil
}

// unsettled sets what is left for a later write, and removes the rejections that will be
// repeated when the caller continues at the given series.
func (w *write) unsettled(series int, units []unit) {
	kept := w.result.Rejected[:0]
	for _, r := range w.result.Rejected {
		if r.Series < series {
			kept = append(kept, r)
		}
	}
	w.result.Rejected = kept
	w.result.Settled, w.result.NotSent = series, len(units)
}

// written counts what a receiver wrote of the parts, and records what it reports not to
// have written.
func (w *write) written(parts []part, r *response) {
	w.result.Samples += r.written.samples
	w.result.Histograms += r.written.histograms
	w.result.Exemplars += r.written.exemplars
	w.client.size.accepted(r.sent.total())
	if missing := r.sent.total() - r.written.total(); missing > 0 {
		w.rejectNamed(parts, r, missing)
	}
}

// reject records that a part will not be written, for a reason that is about it alone.
// Without a status the client rejects it.
func (w *write) reject(p part, r *response) {
	s := &w.series[p.series]
	j := Rejection{
		Series: p.series, Labels: s.String(), Samples: p.to - p.from, Status: r.status, Reason: shorten(r.message),
		Cause: causeOf(r.status, r.message), Isolated: true,
	}
	if p.hi > 0 {
		j.Labels = w.client.enc.classicLabels(s, &s.Histograms[p.from], p.lo)
	}
	j.Duplicate = j.Cause.duplicate()
	if p.to > p.from {
		j.First, j.Last = s.timeAt(p.from), s.timeAt(p.to-1)
	}
	w.result.Rejected = append(w.result.Rejected, j)
}

// rejectExemplar records that an exemplar of a series will not be written.
func (w *write) rejectExemplar(series int, x *Exemplar, reason string) {
	w.result.Rejected = append(w.result.Rejected, Rejection{
		Series: series, Labels: w.series[series].String(), First: x.Timestamp, Last: x.Timestamp,
		Reason: reason, Cause: Invalid, Isolated: true,
	})
}

// length is the number of samples and histograms of the series.
func length(series []Series) int {
	n := 0
	for i := range series {
		n += series[i].length()
	}
	return n
}

func (s *Series) length() int { return max(len(s.Samples), len(s.Histograms)) }

func (s *Series) timeAt(i int) int64 {
	if len(s.Histograms) > 0 {
		return s.Histograms[i].Timestamp
	}
	return s.Samples[i].Timestamp
}
