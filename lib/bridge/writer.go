package bridge

import (
	"context"
	"log/slog"
	"slices"

	"github.com/insighthub/insighthub/lib/kpi"
	"github.com/insighthub/insighthub/lib/stream"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// maxSamples limits the samples of one write, whatever the size of a window: a request
// of about 100 KB once it is compressed, and a few megabytes of memory.
const maxSamples = 4000

// maxLogged limits the rejections that one invocation logs, and the duplicates.
const maxLogged = 20

// progress is what of a shard's samples is settled: written, or rejected for good.
type progress struct {
	// until is the end of the last window that is settled completely. Of the one that ends at
	// open, keys are.
	until, open telemetry.Micros
	keys        []sampleKey
}

// sampleKey identifies a sample.
type sampleKey struct {
	name    kpi.Name
	site    telemetry.SiteID
	gateway telemetry.GatewayID
	device  telemetry.DeviceName
	metric  telemetry.MetricName
	reason  string
}

func keyOf(s *kpi.Sample) sampleKey {
	return sampleKey{s.Name, s.Site, s.Gateway, s.Device, s.Metric, s.Reason}
}

func (p *progress) clone() progress { return progress{p.until, p.open, slices.Clone(p.keys)} }

// writer collects the samples of one attempt and writes them in parts, each of
// one window.
type writer struct {
	receiver Receiver
	log      *slog.Logger

	// ctx and attempt are those of the current call of Fold.
	ctx     context.Context
	attempt *stream.Attempt[*State]
	settled progress
	// omitted are the samples of the window that ends at omittedOf that an earlier attempt settled.
	omitted   map[sampleKey]struct{}
	omittedOf telemetry.Micros

	samples []kpi.Sample
	lags    []*kpi.Lags // memory for the samples' histograms
	used    int

	err        error
	written    int
	requests   int
	rejected   int
	duplicates int
	notSent    int
	reasons    map[string]int // samples not accepted, by cause
	logged     map[slog.Level]int
}

// reset drops what the previous attempt has left; what it has settled is not written again.
func (w *writer) reset(settled progress) {
	*w = writer{receiver: w.receiver, log: w.log, settled: settled, samples: w.samples[:0], lags: w.lags}
	if len(settled.keys) > 0 {
		w.omitted, w.omittedOf = make(map[sampleKey]struct{}, len(settled.keys)), settled.open
		for _, k := range settled.keys {
			w.omitted[k] = struct{}{}
		}
	}
}

func (w *writer) begin(ctx context.Context, a *stream.Attempt[*State]) { w.ctx, w.attempt = ctx, a }

// add adds a sample; samples come in order of their windows. After an error those
// that follow are dropped: their records are delivered again.
func (w *writer) add(s *kpi.Sample) {
	if w.err != nil || s.Time <= w.settled.until || w.omits(s) {
		return
	}
	if n := len(w.samples); n > 0 {
		if open := w.samples[n-1].Time; open != s.Time {
			if w.flush(); w.err != nil {
				return
			}
			w.settle(open)
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

// omits reports whether an earlier attempt settled the sample.
func (w *writer) omits(s *kpi.Sample) bool {
	if s.Time != w.omittedOf {
		return false
	}
	_, ok := w.omitted[keyOf(s)]
	return ok
}

// settle says that the window that ends at open is settled.
func (w *writer) settle(open telemetry.Micros) {
	w.settled = progress{until: open, keys: w.settled.keys[:0]}
}

// finish writes the samples that are left, which completes the last window.
func (w *writer) finish() error {
	if n := len(w.samples); w.err == nil && n > 0 {
		last := w.samples[n-1].Time
		if w.flush(); w.err == nil {
			w.settle(last)
		}
	}
	return w.err
}

func (w *writer) flush() { w.err = w.attempt.Perform(w.ctx, w.write) }

func (w *writer) write(ctx context.Context) error {
	out, err := w.receiver.Write(ctx, w.samples)
	settled := len(w.samples)
	if err != nil {
		settled = out.Settled
	}
	if err != nil || len(w.samples) == maxSamples { // the window may have more
		w.settled.open = w.samples[0].Time
		for i := range w.samples[:settled] {
			w.settled.keys = append(w.settled.keys, keyOf(&w.samples[i]))
		}
	}
	w.samples, w.used = w.samples[:0], 0
	w.written += out.Samples
	w.requests += out.Requests
	w.notSent += out.NotSent
	for i := range out.Rejected {
		w.reject(&out.Rejected[i])
	}
	return err
}

func (w *writer) reject(r *Rejection) {
	if w.reasons == nil {
		w.reasons, w.logged = make(map[string]int), make(map[slog.Level]int)
	}
	w.reasons[r.Cause] += r.Samples
	level, message := slog.LevelWarn, "sample rejected"
	if r.Duplicate {
		w.duplicates += r.Samples
		level, message = slog.LevelDebug, "duplicate sample"
	} else {
		w.rejected += r.Samples
	}
	if w.logged[level]++; w.logged[level] <= maxLogged {
		w.log.LogAttrs(w.ctx, level, message,
			slog.String("series", r.Series), slog.Int("samples", r.Samples), slog.String("reason", r.Reason))
	}
}
