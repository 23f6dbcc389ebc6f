package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/insighthub/insighthub/loadtest/fleet"
	"github.com/insighthub/insighthub/loadtest/ledger"
	"github.com/insighthub/insighthub/loadtest/live"
)

// printLedger follows events through the cloud and straight to a browser.
func printLedger(ctx context.Context, args []string, stdout io.Writer) error {
	fs := flag.NewFlagSet("ledger", flag.ContinueOnError)
	cfg := ledger.CloudConfig{Stdout: stdout}
	browser := live.Config{Stdout: stdout}
	liveFlags(fs, &browser)
	cfg.Stack.Flags(fs)
	fs.StringVar(&cfg.Out, "out", "build/bench/ledger", "folder for ledger.json and ledger.md")
	warm := fs.Duration("warm", 15*time.Second, "time to warm up before each measurement")
	fs.DurationVar(&cfg.Duration, "duration", time.Minute, "length of the measurement")
	site := fs.String("site", "plant-1", "site of the gateway")
	samples := fs.Int("samples", 10, "samples of each series in one batch to the cloud")
	if err := fs.Parse(args); err != nil {
		return err
	}
	cfg.Warm, browser.Warm, browser.Phase = *warm, *warm, cfg.Duration
	cfg.Rate, browser.Out, browser.Logs = float64(browser.Rate), cfg.Out, cfg.Out
	cfg.Fleet = fleet.Config{Site: *site, Seed: browser.Seed, Machines: browser.Machines, Samples: *samples}
	if err := os.MkdirAll(cfg.Out, 0o755); err != nil { //nolint:gosec // the database's user must pass through
		return err
	}
	cloud, err := ledger.Cloud(ctx, cfg)
	if err != nil {
		return err
	}
	direct, err := live.Ledger(ctx, browser)
	if err != nil {
		return err
	}
	report := ledger.NewReport(ctx, direct, cloud)
	if err := report.Write(cfg.Out); err != nil {
		return err
	}
	fmt.Fprintln(stdout)
	report.Print(stdout)
	return nil
}
