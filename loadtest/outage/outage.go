package outage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/insighthub/insighthub/cdk/local/stackfile"
	"github.com/insighthub/insighthub/loadtest/bench"
	"github.com/insighthub/insighthub/loadtest/drive"
	"github.com/insighthub/insighthub/loadtest/fleet"
	"github.com/insighthub/insighthub/loadtest/kpicheck"
	"github.com/insighthub/insighthub/loadtest/localstack"
)

// Config of a run.
type Config struct {
	Stack localstack.Config
	// Out is the folder of outage.json, the logs and, during the run, the stack's state.
	Out  string
	Rate float64 // events/s
	// Before, Length and After are the times before, in and after the outage. Prometheus
	// must catch up within CatchUp.
	Before, Length, After, CatchUp time.Duration
	// Fleet is the shape of the fleet; its Prefix, Start and Horizon are set.
	Fleet  fleet.Config
	Stdout io.Writer
}

// pollInterval is the resolution of the measured times.
const pollInterval = 100 * time.Millisecond

// run is the state of Run.
type run struct {
	cfg      Config
	link     serverLink
	stack    stackfile.Info
	server   kpicheck.Server
	gateways []string
	report   Report
}

// Run runs the test, prints the report and writes outage.json. It fails if a sample is
// missing, different or out of order.
func Run(ctx context.Context, cfg Config) (err error) {
	state := localstack.State(cfg.Out)
	if err := os.MkdirAll(cfg.Out, 0o755); err != nil { //nolint:gosec // the database's user must pass through
		return err
	}
	r := &run{cfg: cfg}
	if r.link, err = newServerLink(cfg.Stack.Prometheus, filepath.Join(cfg.Out, "prometheus")); err != nil {
		return err
	}
	fmt.Fprintln(cfg.Stdout, "Starting the local stack on an empty state folder ...")
	cfg.Stack.Prometheus = r.link.dir
	local, stack, err := cfg.Stack.Start(ctx, cfg.Out)
	if err != nil {
		return err
	}
	r.stack = stack
	if err = r.underLoad(ctx, state); err == nil {
		err = r.compare(ctx)
	}
	if err = errors.Join(err, local.Stop()); err != nil {
		return err
	}
	if code := local.ExitCode(); code != 0 {
		return fmt.Errorf("the local stack ended with exit code %d", code)
	}
	if err := r.report.readLog(filepath.Join(state, "logs", "bridge.log")); err != nil {
		return err
	}
	if err := r.report.write(ctx, cfg); err != nil {
		return err
	}
	if err := r.report.problem(); err != nil {
		return fmt.Errorf("%w; the stack's state and logs are in %s", err, state)
	}
	return os.RemoveAll(state)
}

// underLoad runs the fleet and the outage.
func (r *run) underLoad(ctx context.Context, state string) error {
	r.server = kpicheck.Server(r.stack.Prometheus)
	fc := r.cfg.Fleet
	fc.Prefix, fc.Start, fc.Horizon = "outage", time.Now(), 24*time.Hour
	gateways, err := fleet.New(fc)
	if err != nil {
		return err
	}
	for _, g := range gateways {
		r.gateways = append(r.gateways, g.ID)
	}
	tokens, err := bench.NewTokens(r.stack, fc.Site)
	if err != nil {
		return err
	}
	load, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() {
		result, err := drive.Run(load, drive.Config{
			URL: r.stack.HTTP + "/v1/telemetry", Rate: r.cfg.Rate, Duration: fc.Horizon,
			Token: tokens.Get,
		}, gateways, fc.EventsPerBatch())
		r.report.Accepted, r.report.Repeated = result.Accepted, result.Retries
		ended <- err
	}()
	err = r.outage(ctx, state)
	stop()
	if e := <-ended; err == nil && !errors.Is(e, context.Canceled) {
		err = fmt.Errorf("the fleet ended: %w", e)
	}
	return err
}

// outage waits, stops the server, waits, starts it again and waits.
func (r *run) outage(ctx context.Context, state string) error {
	r.logf("%.0f events/s for %v ...", r.cfg.Rate, r.cfg.Before)
	normal, err := r.normalAge(ctx)
	if err != nil {
		return err
	}
	running, err := stackfile.Read(state) // the stack may have restarted the server
	if err != nil {
		return err
	}
	if err := r.link.stopServer(ctx, running.PIDs.Prometheus, r.server); err != nil {
		return err
	}
	down := time.Now()
	r.report.Down = down.Unix()
	r.logf("Prometheus is down for %v ...", r.cfg.Length)
	for time.Since(down) < r.cfg.Length {
		if err := sleep(ctx, min(time.Second, r.cfg.Length)); err != nil {
			return err
		}
		if isReady(ctx, r.server) {
			return errors.New("prometheus is ready while it should be down")
		}
	}
	if err := r.link.restore(); err != nil {
		return err
	}
	for !isReady(ctx, r.server) {
		if err := sleep(ctx, pollInterval); err != nil {
			return err
		}
	}
	up := time.Now()
	r.report.Up, r.report.OutageSeconds = up.Unix(), up.Sub(down).Seconds()
	r.logf("Prometheus is ready after %.1f s ...", r.report.OutageSeconds)
	for {
		age, err := r.age(ctx)
		if err == nil && age <= normal {
			break
		}
		if time.Since(up) > r.cfg.CatchUp {
			return fmt.Errorf("not caught up %v after the outage: the newest window ended %v ago (%w)", r.cfg.CatchUp, age, err)
		}
		if err := sleep(ctx, pollInterval); err != nil {
			return err
		}
	}
	r.report.CaughtUpSeconds = time.Since(up).Seconds()
	r.logf("Caught up after %.1f s; continuing for %v ...", r.report.CaughtUpSeconds, r.cfg.After)
	return sleep(ctx, r.cfg.After)
}

// normalAge returns the greatest age of the newest windows before the outage.
func (r *run) normalAge(ctx context.Context) (time.Duration, error) {
	var most time.Duration
	// Without the first half, in which no window may have closed yet.
	begin := time.Now()
	for half := begin.Add(r.cfg.Before / 2); time.Since(begin) < r.cfg.Before; {
		if err := sleep(ctx, pollInterval); err != nil {
			return 0, err
		}
		if time.Now().Before(half) {
			continue
		}
		age, err := r.age(ctx)
		if err != nil {
			return 0, fmt.Errorf("before the outage: %w", err)
		}
		most = max(most, age)
	}
	return most, nil
}

// age returns the time since the end of the newest window, of the gateway with the
// greatest delay.
func (r *run) age(ctx context.Context) (time.Duration, error) {
	newest, err := r.newest(ctx)
	return time.Since(time.Unix(newest, 0)), err
}

// newest returns the end (s) of the newest window that every gateway has.
func (r *run) newest(ctx context.Context) (int64, error) {
	all, err := kpicheck.Newest(ctx, r.server, r.gateways)
	if err != nil {
		return 0, err
	}
	if len(all) < len(r.gateways) {
		return 0, fmt.Errorf("prometheus has windows of %d gateways of %d", len(all), len(r.gateways))
	}
	least := int64(0)
	for _, end := range all {
		if least == 0 || end < least {
			least = end
		}
	}
	return least, nil
}

// compare compares the samples in Prometheus with those computed by the database.
func (r *run) compare(ctx context.Context) error {
	until, err := r.newest(ctx)
	if err != nil {
		return err
	}
	window, err := r.window(ctx)
	if err != nil {
		return err
	}
	conn, err := pgx.Connect(ctx, r.stack.Database)
	if err != nil {
		return err
	}
	defer conn.Close(ctx) //nolint:errcheck // nothing to lose
	if err := waitStored(ctx, conn); err != nil {
		return err
	}
	r.logf("Recomputing the KPIs of the windows of %v ...", window)
	database, err := kpicheck.FromDatabase(ctx, conn, r.gateways, window, until)
	if err != nil {
		return err
	}
	prometheus, err := kpicheck.FromPrometheus(ctx, r.server, r.gateways, until)
	if err != nil {
		return err
	}
	r.report.Window = window.Seconds()
	r.report.count(database, prometheus)
	return r.report.readServer(ctx, r.server)
}

// window returns the length of the windows.
func (r *run) window(ctx context.Context) (time.Duration, error) {
	all, err := r.server.Query(ctx, "max(insighthub_window_calendar_seconds)")
	if err != nil {
		return 0, err
	}
	for _, one := range all {
		for _, seconds := range one.Samples {
			return time.Duration(seconds * float64(time.Second)), nil
		}
	}
	return 0, errors.New("prometheus has no sample of insighthub_window_calendar_seconds")
}

// waitStored waits until the number of stored events no longer grows.
func waitStored(ctx context.Context, conn *pgx.Conn) error {
	for before := int64(-1); ; {
		var events int64
		if err := conn.QueryRow(ctx, "SELECT count(*) FROM event").Scan(&events); err != nil {
			return fmt.Errorf("count the events: %w", err)
		}
		if events == before {
			return nil
		}
		before = events
		if err := sleep(ctx, 2*time.Second); err != nil {
			return err
		}
	}
}

func (r *run) logf(format string, args ...any) { fmt.Fprintf(r.cfg.Stdout, format+"\n", args...) }

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
