package drive

import (
	"context"
	"time"
)

// maxUnsent bounds the batches that wait while ingest is slow or unavailable. Beyond it the live
// samples wait too: an hour of them at one batch a second.
const maxUnsent = 3600

// sampled is a batch that was read and shown live, and is to be sent.
type sampled struct {
	times  []time.Time
	values []int64
}

// sample reads the gateway's series, each sample when it is due, hands it to Live and collects the
// batches for run. So the live view does not wait for ingest.
func (s *sender) sample(ctx context.Context) {
	defer close(s.sampled)
	period := s.period / time.Duration(s.gateway.Samples())
	for due := s.first; due.Before(s.end); due = due.Add(s.period) {
		batch := sampled{times: s.gateway.Times(due, period)}
		for _, at := range batch.times {
			if !sleepUntil(ctx, at) {
				return
			}
			from := len(batch.values)
			batch.values = s.gateway.Sample(batch.values, at)
			s.cfg.Live(s.gateway, at, batch.values[from:])
		}
		select {
		case s.sampled <- batch:
		case <-ctx.Done():
			return
		}
	}
}
