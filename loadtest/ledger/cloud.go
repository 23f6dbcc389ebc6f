package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/insighthub/insighthub/cdk/local/stackfile"
	"github.com/insighthub/insighthub/loadtest/bench"
	"github.com/insighthub/insighthub/loadtest/drive"
	"github.com/insighthub/insighthub/loadtest/fleet"
	"github.com/insighthub/insighthub/loadtest/kpicheck"
	"github.com/insighthub/insighthub/loadtest/localstack"
	"github.com/insighthub/insighthub/loadtest/storelog"
)

// CloudConfig configures Cloud.
type CloudConfig struct {
	Stack localstack.Config
	// Out is the folder of the stack's log and, during the run, its state.
	Out string
	// Rate is in events/s, of one gateway.
	Rate     float64
	Warm     time.Duration // before the measured Duration, not counted
	Duration time.Duration
	Fleet    fleet.Config // Gateways, Prefix, Start and Horizon are set
	Stdout   io.Writer
}

const (
	// pollInterval is the time between two reads of the API: what is visible is seen at
	// most that and a response later.
	pollInterval = 10 * time.Millisecond
	// catchUp is the time in which the last batch must be visible.
	catchUp = 30 * time.Second
	// flushed is a little more than the time after which a function's metrics are in Prometheus.
	flushed = 17 * time.Second
)

// AWS's published averages of the time from a put to a get, "propagation delay": with
// enhanced fan-out, and with shared throughput and one consumer.
const (
	enhancedFanOut   = 70
	sharedThroughput = 200
)

// Cloud starts a local stack, sends the events of one gateway through it and follows them.
func Cloud(ctx context.Context, cfg CloudConfig) (path Path, err error) {
	fmt.Fprintln(cfg.Stdout, "Starting the local stack on an empty state folder ...")
	proc, stack, err := cfg.Stack.Start(ctx, cfg.Out, "-without", "detect")
	if err != nil {
		return Path{}, err
	}
	defer func() { // after a failure the state stays, for its logs
		if err = errors.Join(err, proc.Stop()); err == nil {
			err = os.RemoveAll(localstack.State(cfg.Out))
		}
	}()
	return follow(ctx, cfg, stack)
}

// follow measures on a running stack.
func follow(ctx context.Context, cfg CloudConfig, stack stackfile.Info) (Path, error) {
	fc := cfg.Fleet
	fc.Gateways, fc.Prefix, fc.Start, fc.Horizon = 1, "ledger", time.Now(), cfg.Warm+cfg.Duration+time.Minute
	gateways, err := fleet.New(fc)
	if err != nil {
		return Path{}, err
	}
	tokens, err := bench.NewTokens(stack, fc.Site)
	if err != nil {
		return Path{}, err
	}
	viewer, err := tokens.Viewer(ctx)
	if err != nil {
		return Path{}, err
	}
	var mu sync.Mutex
	var sent []batch
	period := time.Duration(float64(fc.EventsPerBatch()) / cfg.Rate * float64(time.Second))
	load := drive.Config{
		URL: stack.HTTP + "/v1/telemetry", Token: tokens.Get, Rate: cfg.Rate, Grace: catchUp,
		Acknowledged: func(b *fleet.Batch, _, first, acknowledged time.Time) {
			mu.Lock()
			defer mu.Unlock()
			sent = append(sent, batch{
				newest: b.Newest, period: period / time.Duration(fc.Samples), samples: fc.Samples,
				series: b.Events / fc.Samples, sent: first, acked: acknowledged,
			})
		},
	}
	fmt.Fprintf(cfg.Stdout, "One gateway sends %.0f events/s for %v, after %v to warm up ...\n", cfg.Rate, cfg.Duration, cfg.Warm)
	first := gateways[0]
	reader := newReader(stack.HTTP, viewer, fc.Site, first.ID, first.Machines[0].Name(), fleet.MetricNames()[0])
	if load.Duration = cfg.Warm; cfg.Warm > 0 {
		if _, err := drive.Run(ctx, load, gateways, fc.EventsPerBatch()); err != nil {
			return Path{}, err
		}
	}
	mu.Lock()
	sent = nil
	mu.Unlock()
	if err := reader.start(ctx); err != nil {
		return Path{}, err
	}
	kpis := bench.WatchKPIs(ctx, kpicheck.Server(stack.Prometheus), gateways, time.Now())
	load.Duration = cfg.Duration
	result, err := drive.Run(ctx, load, gateways, fc.EventsPerBatch())
	if err == nil && (result.Rejected+result.Unknown > 0 || len(sent) == 0) {
		err = fmt.Errorf("%d events rejected, %d without a response: %s", result.Rejected, result.Unknown, result.FirstError)
	}
	var last time.Time
	for i := range sent {
		last = later(last, sent[i].newest)
	}
	seen, problem := reader.stop(ctx, last)
	window, _, kpiProblem := kpis.Stop()
	if err = errors.Join(err, problem, kpiProblem); err != nil {
		return Path{}, err
	}
	var lines []storelog.Line
	if _, err := storelog.Read(filepath.Join(stack.Logs, "store.log"), 0, func(l storelog.Line) { lines = append(lines, l) }); err != nil {
		return Path{}, err
	}
	stages, err := cloudStages(sent, lines, seen)
	if err != nil {
		return Path{}, err
	}
	exposed, err := exposedStages(ctx, kpicheck.Server(stack.Prometheus), cfg.Duration)
	if err != nil {
		return Path{}, err
	}
	return Path{
		Title: "Through the cloud",
		Load: fmt.Sprintf("%.0f events/s of one gateway for %v, %d samples of %d series in a batch, on the local stack",
			cfg.Rate, cfg.Duration, fc.Samples, fc.EventsPerBatch()/fc.Samples),
		Events: int(result.Accepted),
		Stages: append(modelled(stages), Stage{
			Name: "end of a window → its KPIs visible in Prometheus", By: "reader; the bridge waits 2 s for late events",
			Percentiles: window,
		}),
		Notes: append([]string{
			fmt.Sprintf("The API is read every %v or after the response before: visible is late by that at most.", pollInterval),
			"Acknowledged → taken is below zero where the store begins before the gateway has the response.",
			"The modelled lines are AWS's published averages of Kinesis's propagation, which the local emulator does not have.",
		}, exposed...),
	}, nil
}

// modelled inserts the stream's propagation, and the sums with it.
func modelled(stages []Stage) []Stage {
	whole := stages[len(stages)-1]
	out := stages
	for _, m := range []struct {
		name string
		ms   float64
	}{{"with enhanced fan-out", enhancedFanOut}, {"with shared throughput", sharedThroughput}} {
		out = append(out,
			Stage{
				Name: "Kinesis's propagation " + m.name, By: "AWS, published mean", Modelled: true,
				Percentiles: drive.Percentiles{P50: m.ms},
			},
			Stage{
				Name: "read → visible in the API, " + m.name, By: "measured p50 + published mean", Modelled: true,
				Percentiles: drive.Percentiles{P50: whole.P50 + m.ms},
			})
	}
	return out
}

// exposedStages reads the store's own histogram of its stages, which it has written to Prometheus.
func exposedStages(ctx context.Context, server kpicheck.Server, d time.Duration) ([]string, error) {
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(flushed):
	}
	span := fmt.Sprintf("%ds", int(math.Ceil((d + 2*flushed).Seconds())))
	var out []string
	for _, stage := range []string{"streamed", "taken", "committed", "stored"} {
		var text strings.Builder
		fmt.Fprintf(&text, "`insighthub_store_stage_seconds{stage=%q}` in Prometheus:", stage)
		buckets := fmt.Sprintf("sum by (le) (increase(insighthub_store_stage_seconds_bucket{stage=%q}[%s]))", stage, span)
		for _, q := range []float64{0.5, 0.95, 0.99} {
			all, err := server.Query(ctx, fmt.Sprintf("1000 * histogram_quantile(%g, %s)", q, buckets))
			if err != nil {
				return nil, err
			}
			if len(all) != 1 {
				return nil, fmt.Errorf("prometheus has %d results for the store's stage %s, want 1", len(all), stage)
			}
			for _, value := range all[0].Samples {
				fmt.Fprintf(&text, " p%g %.1f ms", 100*q, value)
			}
		}
		out = append(out, text.String()+" (interpolated in its buckets, with the warm-up).")
	}
	return out, nil
}

// reader reads the latest reading of a series until it is stopped.
type reader struct {
	client *http.Client
	target string
	token  string

	cancel context.CancelFunc
	ended  chan struct{}

	mu   sync.Mutex
	seen []sighting // where the reading was newer than before
	err  error      // of the last failed read
}

func newReader(api, token, site, gateway, device, metric string) *reader {
	query := url.Values{"gateway": {gateway}, "device": {device}, "metric": {metric}}
	return &reader{
		client: &http.Client{Timeout: catchUp}, token: token, ended: make(chan struct{}),
		target: api + "/v1/sites/" + url.PathEscape(site) + "/latest?" + query.Encode(),
	}
}

// start reads once and then at the interval.
func (r *reader) start(ctx context.Context) error {
	if err := r.read(ctx); err != nil {
		return err
	}
	ctx, r.cancel = context.WithCancel(ctx)
	go func() {
		defer close(r.ended)
		tick := time.NewTicker(pollInterval)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if err := r.read(ctx); err != nil && ctx.Err() == nil {
				r.mu.Lock()
				r.err = err
				r.mu.Unlock()
			}
		}
	}()
	return nil
}

// stop waits until the reading of the time last was seen, ends the reads and returns what
// was seen.
func (r *reader) stop(ctx context.Context, last time.Time) ([]sighting, error) {
	defer func() { r.cancel(); <-r.ended; r.client.CloseIdleConnections() }()
	for deadline := time.Now().Add(catchUp); ; {
		r.mu.Lock()
		seen, err := r.seen, r.err
		r.mu.Unlock()
		if n := len(seen); n > 0 && !seen[n-1].newest.Before(last) {
			return seen, nil
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("the API does not have the reading of %v after %v (last error: %w)", last, catchUp, err)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(pollInterval):
		}
	}
}

func (r *reader) read(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.target, http.NoBody)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+r.token)
	resp, err := r.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end
	body, err := io.ReadAll(resp.Body)
	at := time.Now()
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: status %d: %.200s", r.target, resp.StatusCode, body)
	}
	var page struct {
		Items []struct {
			Time int64 `json:"time"` // µs
		} `json:"items"`
	}
	if err := json.Unmarshal(body, &page); err != nil {
		return fmt.Errorf("GET %s: %w", r.target, err)
	}
	if len(page.Items) == 0 {
		return nil
	}
	newest := time.UnixMicro(page.Items[0].Time)
	r.mu.Lock()
	defer r.mu.Unlock()
	if n := len(r.seen); n == 0 || newest.After(r.seen[n-1].newest) {
		r.seen = append(r.seen, sighting{newest, at})
	}
	return nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
