// Package bench measures the local stack under the load of a simulated fleet, at a fixed
// rate and at the highest rate that it holds. It alternates with the yardstick, a plain
// server on the same database server.
package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/insighthub/insighthub/loadtest/benchfile"
	"github.com/insighthub/insighthub/loadtest/drive"
	"github.com/insighthub/insighthub/loadtest/fleet"
	"github.com/insighthub/insighthub/loadtest/localstack"
)

// Config of a run.
type Config struct {
	Stack     localstack.Config
	Yardstick string // program
	// Out is the folder of pipeline.json, the logs and, during the run, the stack's state.
	Out string
	// FixedRate is in events/s; Duration is that of the fixed and of the held phase.
	FixedRate float64
	Duration  time.Duration
	// StartRate is where the search for the held rate begins; zero finds it in a closed loop.
	StartRate float64
	// Fleet is the shape of the fleet; its Prefix, Start and Horizon are set for each phase.
	Fleet         fleet.Config
	SkipYardstick bool
	// KPIs also runs the bridge.
	KPIs bool
	// FixedOnly skips the search for the held rate.
	FixedOnly bool
	Stdout    io.Writer
}

// Phase is the result of one phase of load on one system.
type Phase struct {
	System      string  `json:"system"`
	Name        string  `json:"phase"`
	OfferedRate float64 `json:"offered_eps"`
	drive.Result
	Stored drive.Percentiles `json:"stored_ms"`
	// KPIVisible is from the end of a window to its KPIs being readable in Prometheus.
	KPIVisible *drive.Percentiles `json:"kpi_visible_ms,omitempty"`
	// KPIAfterEvent is from an event to the KPIs of its window being readable there.
	KPIAfterEvent *drive.Percentiles `json:"kpi_after_event_ms,omitempty"`
	// CPU is by part, in seconds per million accepted events, and "total".
	CPU map[string]float64 `json:"cpu_s_per_million"`
	// BytesPerEvent is the size on the stream.
	BytesPerEvent float64 `json:"bytes_per_event"`
	// DrainSeconds is from the last acknowledgement to the last row committed.
	DrainSeconds float64 `json:"drain_seconds"`
	Lost         int64   `json:"lost"`
	Doubled      int64   `json:"doubled"`
	Verified     bool    `json:"verified"`
	// NotHeld says why the offered rate was not held; empty when it was.
	NotHeld string `json:"not_held,omitempty"`
}

// Run measures and writes pipeline.json. It fails if an event was lost or duplicated.
func Run(ctx context.Context, cfg Config) error {
	if err := os.MkdirAll(cfg.Out, 0o755); err != nil { //nolint:gosec // the database's user must pass through
		return err
	}
	fmt.Fprintln(cfg.Stdout, "Starting the local stack on an empty state folder ...")
	started := time.Now()
	stackProc, stack, err := startStack(ctx, cfg)
	if err != nil {
		return err
	}
	stop := stackProc.Stop
	tokens, err := NewTokens(stack, cfg.Fleet.Site)
	if err != nil {
		return errors.Join(err, stop())
	}
	systems := []*system{newPipeline(cfg, stack, tokens)}
	if !cfg.SkipYardstick {
		proc, url, dsn, err := startYardstick(ctx, cfg, stack)
		if err != nil {
			return errors.Join(err, stop())
		}
		systems = append(systems, newYardstick(cfg, stack, url, dsn, proc.PID()))
		stop = func() error { return errors.Join(proc.Stop(), stackProc.Stop()) }
	}
	first, err := systems[0].firstStored(ctx)
	if err != nil {
		return errors.Join(err, stop())
	}
	report, err := measure(ctx, cfg, systems)
	err = errors.Join(err, stop())
	if err != nil {
		return err
	}
	if err := os.RemoveAll(localstack.State(cfg.Out)); err != nil {
		return err
	}
	report.StartSeconds = first.Sub(started).Seconds()
	path := filepath.Join(cfg.Out, "pipeline.json")
	if err := benchfile.Write(path, report); err != nil {
		return err
	}
	report.Print(cfg.Stdout)
	fmt.Fprintln(cfg.Stdout, "\nWritten to", path)
	if report.Lost+report.Doubled > 0 {
		return fmt.Errorf("%d events lost, %d duplicated", report.Lost, report.Doubled)
	}
	return nil
}

// measure runs the fixed rate on each system in turn, then the held rate.
func measure(ctx context.Context, cfg Config, systems []*system) (*Report, error) {
	report := &Report{
		Machine: benchfile.Machine(), Commit: benchfile.Commit(ctx), Cores: runtime.NumCPU(), Date: time.Now().UTC().Format(time.DateOnly),
		EventsPerBatch: cfg.Fleet.EventsPerBatch(), Gateways: cfg.Fleet.Gateways,
		SeriesPerGateway: cfg.Fleet.Machines * len(fleet.MetricNames()),
		Seconds:          cfg.Duration.Seconds(), KPIs: cfg.KPIs,
	}
	warm := 2 * time.Second
	if cfg.KPIs { // a window has closed, and Prometheus has all series
		warm = 2*kpiWindow + kpiLateness
	}
	for _, s := range systems {
		// Opens connections and fills caches.
		if _, err := s.phase(ctx, warmUp, cfg.FixedRate/2, warm, false); err != nil {
			return nil, err
		}
		p, err := s.phase(ctx, "fixed", cfg.FixedRate, cfg.Duration, true)
		if err != nil {
			return nil, err
		}
		report.add(p)
	}
	if cfg.FixedOnly {
		return report, nil
	}
	for _, s := range systems {
		p, err := s.hold(ctx)
		if err != nil {
			return nil, err
		}
		report.add(p)
	}
	return report, nil
}

// warmUp is the name of the first phase, which is not reported.
const warmUp = "warm-up"

// hold searches for the highest rate that the system holds for the whole duration: first
// with short trials, then with phases of full length, reducing the rate until it is held.
func (s *system) hold(ctx context.Context) (Phase, error) {
	trial := 15 * time.Second
	if s.cfg.KPIs { // at least two windows
		trial = 20 * time.Second
	}
	rate := s.cfg.StartRate
	if rate == 0 {
		p, err := s.phase(ctx, "closed loop", 0, 8*time.Second, false)
		if err != nil {
			return p, err
		}
		// The rate of storing, not of acknowledging: the stream buffers more than the database stores.
		rate = float64(p.Accepted) / (p.Seconds + p.DrainSeconds)
	}
	rate, err := search(rate, func(rate float64) (bool, error) {
		p, err := s.phase(ctx, "trial", rate, trial, false)
		return p.NotHeld == "" && p.Stored.P99 <= 1000, err // a backlog after seconds is a large one after a minute
	})
	if err != nil {
		return Phase{}, err
	}
	// A minute on a shared machine has slower seconds than a trial.
	for rate *= 0.95; ; rate *= 0.93 {
		p, err := s.phase(ctx, "held", rate, s.cfg.Duration, true)
		if err != nil || p.NotHeld == "" || rate < 1000 {
			return p, err
		}
	}
}

// search raises the rate while it is held, or lowers it until it is, and returns the highest
// rate that was held; after eight trials, the next one to try.
func search(rate float64, holds func(rate float64) (bool, error)) (float64, error) {
	const up, down = 1.1, 0.88
	held, failed := 0.0, false
	for range 8 {
		ok, err := holds(rate)
		switch {
		case err != nil:
			return 0, err
		case ok && failed:
			return rate, nil
		case ok:
			held, rate = rate, rate*up
		case held > 0:
			return held, nil
		default:
			failed, rate = true, rate*down
		}
	}
	return rate, nil
}
