package live

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/insighthub/insighthub/loadtest/glass"
	"github.com/insighthub/insighthub/loadtest/live/page"
)

// connectTimeout is the longest that an attempt may take.
const connectTimeout = 20 * time.Second

// connect measures the time from the start of signaling to the first live frame, with any
// candidates and through TURN alone, in turn.
func (b *bench) connect(ctx context.Context) error {
	if b.cfg.Connects == 0 {
		return nil
	}
	b.source.direct(b.publisher.Publish)
	defer b.source.direct(nil)
	r := &b.report
	r.Paths = make(map[string]int)
	var host, relay []time.Duration
	for i := range b.cfg.Connects {
		for _, relayOnly := range []bool{false, true} {
			d, path, err := b.connectOnce(ctx, relayOnly)
			r.ConnectsTried++
			switch {
			case errors.Is(err, page.ErrPage):
				r.Problems = append(r.Problems, fmt.Sprintf("attempt %d, relay only %t: %v", i+1, relayOnly, err))
				continue
			case err != nil:
				return err
			}
			r.ConnectsOK++
			r.Paths[path]++
			if relayOnly {
				relay = append(relay, d)
			} else {
				host = append(host, d)
			}
		}
	}
	r.Connect = Connect{half(host), half(relay)}
	b.logf("connects: %d of %d; host p95 %.0f ms, relay only p95 %.0f ms; %s", r.ConnectsOK, r.ConnectsTried,
		r.Connect.Host.P95, r.Connect.Relay.P95, counted(r.Paths))
	return nil
}

func (b *bench) connectOnce(ctx context.Context, relayOnly bool) (d time.Duration, path string, err error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout+time.Minute)
	defer cancel()
	t, err := b.peer(ctx, gatewayName)
	if err != nil {
		return 0, "", err
	}
	t.RelayOnly = relayOnly
	var got struct {
		Millis float64
		Path   string
	}
	err = b.page.Do(ctx, "connect", map[string]any{"transport": t, "timeoutMillis": connectTimeout.Milliseconds()}, &got)
	return time.Duration(got.Millis * float64(time.Millisecond)), got.Path, err
}

// video measures what the platform adds to a picture, with a camera and a browser of its own.
func (b *bench) video(ctx context.Context) error {
	if b.cfg.Video == 0 {
		return nil
	}
	result, err := glass.Measure(ctx, glass.Config{Chromium: b.cfg.Chromium, Duration: b.cfg.Video})
	if err != nil {
		return fmt.Errorf("video: %w", err)
	}
	b.report.VideoAdded = &result.Added
	b.report.note("Video: %d frames of %d × %d, %s; %d not decoded, error of the clock %.2f ms; "+
		"p50 %.2f, p95 %.2f, p99 %.2f, maximum %.2f ms.",
		result.Frames, result.Width, result.Height, result.Codec, result.Missing, result.ClockError,
		result.Added.P50, result.Added.P95, result.Added.P99, result.Added.Max)
	b.logf("video: p99 %.2f ms", result.Added.P99)
	return nil
}

// drift views once for long.
func (b *bench) drift(ctx context.Context) error {
	if b.cfg.Drift == 0 {
		return nil
	}
	b.logf("one view of %v ...", b.cfg.Drift)
	t, err := b.peer(ctx, gatewayName)
	if err != nil {
		return err
	}
	b.source.direct(b.publisher.Publish)
	report, err := b.view(ctx, t, b.cfg.Warm, b.cfg.Drift)
	if _, _, problem := b.source.end(); err == nil {
		err = problem
	}
	if err != nil {
		return err
	}
	b.report.Minutes = report.Minutes
	return newTotals().add(report)
}
