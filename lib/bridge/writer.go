package bridge

import (
	"context"
	"log/slog"

	"github.com/insighthub/insighthub/lib/kpi"
	"github.com/insighthub/insighthub/lib/stream"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// maxSamples limits the samples of one write, whatever the size of a window: a request
// of about 100 KB once it is compressed, and a few megabytes of memory.
const maxSamples = 4000

// maxLogged limits the rejections that one invocation logs.
const maxLogged = 20

// writer collects the samples of one attempt and writes them in parts, each of
// one window.
type writer struct {
	receiver Receiver
	log      *slog.Logger

	// ctx and attempt are those of the current call of Fold.
	ctx     context.Context
	attempt *stream.Attempt[*State]
	// settled is the end of the last window that is written completely.
	settled telemetry.Micros

	samples []kpi.Sample
	lags    []*kpi.Lags // memory for the samples' histograms
	used    int

	err        error
	written    int
	requests   int
	rejected   int
	duplicates int
	logged     int
}

// reset drops what the previous attempt has left; samples up to settled are written already.
func (w *writer) reset(settled telemetry.Micros) {
	*w = writer{receiver: w.receiver, log: w.log, settled: settled, samples: w.samples[:0], lags: w.lags}
}

func (w *writer) begin(ctx context.Context, a *stream.Attempt[*State]) { w.ctx, w.attempt = ctx, a }

// add adds a sample; samples come in order of their windows. After an error those
// that follow are dropped: their records are delivered again.
func (w *writer) add(s *kpi.Sample) {
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

// finish writes the samples that are left, which completes the last window.
func (w *writer) finish() error {
	if n := len(w.samples); w.err == nil && n > 0 {
		last := w.samples[n-1].Time
		if w.flush(); w.err == nil {
			w.settled = last
		}
	}
	return w.err
}

func (w *writer) flush() { w.err = w.attempt.Perform(w.ctx, w.write) }

func (w *writer) write(ctx context.Context) error {
	out, err := w.receiver.Write(ctx, w.samples)
	w.samples, w.used = w.samples[:0], 0
	w.written += out.Samples
	w.requests += out.Requests
	for i := range out.Rejected {
		w.reject(&out.Rejected[i])
	}
	return err
}

func (w *writer) reject(r *Rejection) {
	if r.Duplicate {
		w.duplicates += r.Samples
		return
	}
	w.rejected += r.Samples
	if w.logged++; w.logged <= maxLogged {
		w.log.LogAttrs(w.ctx, slog.LevelWarn, "sample rejected",
			slog.String("series", r.Series), slog.Int("samples", r.Samples), slog.String("reason", r.Reason))
	}
}
