package bridge

import (
	"context"
	"log/slog"
	"time"

	"github.com/insighthub/insighthub/lib/kpi"
	"github.com/insighthub/insighthub/lib/shardstate"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// maxSamples is how many samples are written at once: a request of about 100 KB
// once it is compressed, and a few megabytes of memory, however much a window holds.
const maxSamples = 4000

// maxNamed bounds the rejections that one invocation names in the log.
const maxNamed = 20

// writer collects the samples of one invocation and writes them in parts, each
// of one window.
type writer struct {
	handler *Handler
	ctx     context.Context // of the invocation, which the writer does not outlive
	lease   *shardstate.Lease[*State]
	settled telemetry.Micros

	samples []kpi.Sample
	lags    []*kpi.Lags // memory for the samples' histograms
	used    int

	err      error
	written  int
	requests int
	rejected int // for good
	known    int
	named    int
	spent    time.Duration
	// confirming is the time it took to ask whether the lease's state is the stored one.
	confirming time.Duration
}

func (w *writer) reset(ctx context.Context, lease *shardstate.Lease[*State], settled telemetry.Micros) {
	samples, lags := w.samples[:0], w.lags
	*w = writer{handler: w.handler, ctx: ctx, lease: lease, settled: settled, samples: samples, lags: lags}
}

// take takes a sample; samples come in order of their windows. After an error
// those that follow are dropped: they come again.
func (w *writer) take(s *kpi.Sample) {
	if w.err != nil || s.Time <= w.settled {
		return
	}
	if n := len(w.samples); n > 0 {
		if open := w.samples[n-1].Time; open != s.Time {
			if w.flush(); w.err != nil {
				return
			}
			w.settled = open
		} else if n == maxSamples {
			if w.flush(); w.err != nil {
				return
			}
		}
	}
	w.samples = append(w.samples, *s)
	if s.Lags != nil {
		if w.used == len(w.lags) {
			w.lags = append(w.lags, new(kpi.Lags))
		}
		*w.lags[w.used] = *s.Lags
		w.samples[len(w.samples)-1].Lags = w.lags[w.used]
		w.used++
	}
}

// finish writes what is left; with it the last window is complete.
func (w *writer) finish() error {
	if n := len(w.samples); w.err == nil && n > 0 {
		last := w.samples[n-1].Time
		if w.flush(); w.err == nil {
			w.settled = last
		}
	}
	return w.err
}

func (w *writer) flush() {
	h := w.handler
	start := h.config.Now()
	w.err = w.lease.Confirm(w.ctx)
	confirmed := h.config.Now()
	w.confirming += confirmed.Sub(start)
	if w.err != nil {
		return
	}
	start = confirmed
	out, err := h.config.Receiver.Write(w.ctx, w.samples)
	w.spent += h.config.Now().Sub(start)
	w.samples, w.used = w.samples[:0], 0
	w.written += out.Samples
	w.requests += out.Requests
	w.err = err
	for i := range out.Rejected {
		w.refused(&out.Rejected[i])
	}
}

func (w *writer) refused(r *Rejection) {
	if r.Known {
		w.known += r.Samples
		return
	}
	w.rejected += r.Samples
	if w.named++; w.named <= maxNamed {
		w.handler.config.Log.LogAttrs(w.ctx, slog.LevelWarn, "sample refused",
			slog.String("series", r.Series), slog.Int("samples", r.Samples), slog.String("reason", r.Reason))
	}
}
