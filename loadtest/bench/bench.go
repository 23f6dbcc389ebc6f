// Package bench runs the whole local stack under a fleet and says what it did:
// at a fixed rate, and at the highest rate that it holds, in alternation with
// the yardstick, a plain server on the same database server.
package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/insighthub/insighthub/loadtest/drive"
	"github.com/insighthub/insighthub/loadtest/fleet"
)

// Config of a run.
type Config struct {
	// Local, Yardstick: the programs. Assembly: the synthesised CDK app.
	// Timescale, Prometheus: the unpacked servers.
	Local, Yardstick, Assembly, Timescale, Prometheus string
	// Out takes pipeline.json, the logs and, while it runs, the stack's state.
	Out string
	// FixedRate in events/s; Duration of the fixed and the held phase.
	FixedRate float64
	Duration  time.Duration
	// StartRate is where the search for the held rate begins; zero measures it first.
	StartRate float64
	// Fleet is the shape; its Prefix and Start are set for each phase.
	Fleet         fleet.Config
	SkipYardstick bool
	// KPIs lets the bridge run beside the store.
	KPIs bool
	// FixedOnly leaves out the search for the held rate.
	FixedOnly bool
	Stdout    io.Writer
}

// Phase is one measured stretch of load on one system.
type Phase struct {
	System      string  `json:"system"`
	Name        string  `json:"phase"`
	OfferedRate float64 `json:"offered_eps"`
	drive.Result
	Stored drive.Percentiles `json:"stored_ms"`
	// KPIVisible is from the end of a window to its figures being read in Prometheus.
	KPIVisible *drive.Percentiles `json:"kpi_visible_ms,omitempty"`
	// CPU is by part, in seconds per million accepted events, and "total".
	CPU map[string]float64 `json:"cpu_s_per_million"`
	// BytesPerEvent on the stream.
	BytesPerEvent float64 `json:"bytes_per_event"`
	// DrainSeconds is from the last acknowledgement to the last row committed.
	DrainSeconds float64 `json:"drain_seconds"`
	Lost         int64   `json:"lost"`
	Doubled      int64   `json:"doubled"`
	Verified     bool    `json:"verified"`
	// NotHeld says why the offered rate was not held; empty when it was.
	NotHeld string `json:"not_held,omitempty"`
}

// Run measures and writes pipeline.json. It fails when an event was lost or doubled.
func Run(ctx context.Context, cfg Config) error {
	if err := os.MkdirAll(cfg.Out, 0o755); err != nil { //nolint:gosec // the database's user must pass through
		return err
	}
	state := filepath.Join(cfg.Out, "state")
	if err := os.RemoveAll(state); err != nil {
		return err
	}
	fmt.Fprintln(cfg.Stdout, "Starting the local stack on an empty state folder ...")
	started := time.Now()
	stackProc, stack, err := startStack(ctx, cfg, state)
	if err != nil {
		return err
	}
	stop := stackProc.stop
	tokens, err := stack.Tokens(cfg.Fleet.Site)
	if err != nil {
		return errors.Join(err, stop())
	}
	systems := []*system{newPipeline(cfg, stack, tokens)}
	if !cfg.SkipYardstick {
		proc, url, dsn, err := startYardstick(ctx, cfg, stack)
		if err != nil {
			return errors.Join(err, stackProc.stop())
		}
		systems = append(systems, newYardstick(cfg, stack, url, dsn, proc.cmd.Process.Pid))
		stop = func() error { return errors.Join(proc.stop(), stackProc.stop()) }
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
	if err := os.RemoveAll(state); err != nil {
		return err
	}
	report.StartSeconds = first.Sub(started).Seconds()
	raw, err := json.MarshalIndent(report, "", "  ")
	if err != nil {
		return err
	}
	path := filepath.Join(cfg.Out, "pipeline.json")
	if err := os.WriteFile(path, append(raw, '\n'), 0o644); err != nil { //nolint:gosec // a report
		return err
	}
	report.Print(cfg.Stdout)
	fmt.Fprintln(cfg.Stdout, "\nWritten to", path)
	if report.Lost+report.Doubled > 0 {
		return fmt.Errorf("%d events lost, %d doubled", report.Lost, report.Doubled)
	}
	return nil
}

// measure runs the fixed rate on each system in turn, then the held rate.
func measure(ctx context.Context, cfg Config, systems []*system) (*Report, error) {
	report := &Report{
		Machine: machine(), Commit: commit(ctx), Cores: runtime.NumCPU(), Date: time.Now().UTC().Format(time.DateOnly),
		EventsPerBatch: cfg.Fleet.EventsPerBatch(), Gateways: cfg.Fleet.Gateways, SeriesPerGateway: cfg.Fleet.Machines * len(fleet.MetricNames()),
		Seconds: cfg.Duration.Seconds(), KPIs: cfg.KPIs,
	}
	for _, s := range systems {
		// A first second fills dictionaries, connections and caches.
		if _, err := s.phase(ctx, "warm-up", cfg.FixedRate/2, 2*time.Second, false); err != nil {
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

// hold searches for the highest rate that the system holds for the whole
// duration: short trials first, then the full length, stepping down until it holds.
func (s *system) hold(ctx context.Context) (Phase, error) {
	const trial = 15 * time.Second
	rate := s.cfg.StartRate
	if rate == 0 {
		p, err := s.phase(ctx, "closed loop", 0, 8*time.Second, false)
		if err != nil {
			return p, err
		}
		// What was stored by the end, not only acknowledged: the stream takes more than the database for a while.
		rate = float64(p.Accepted) / (p.Seconds + p.DrainSeconds)
	}
	for step, grow := 0, true; step < 8; step++ {
		p, err := s.phase(ctx, "trial", rate, trial, false)
		if err != nil {
			return p, err
		}
		switch {
		case p.NotHeld != "" || p.Stored.P99 > 1000: // behind after a few seconds is far behind after a minute
			rate *= 0.93
			grow = false
			continue
		case grow:
			rate *= 1.07
			continue
		}
		break
	}
	// On a shared machine a minute has slower seconds than a trial.
	for rate *= 0.97; ; rate *= 0.95 {
		p, err := s.phase(ctx, "held", rate, s.cfg.Duration, true)
		if err != nil || p.NotHeld == "" || rate < 1000 {
			return p, err
		}
	}
}
