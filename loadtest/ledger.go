package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/insighthub/insighthub/loadtest/ledger"
)

// printLedger follows events through the cloud and straight to a browser.
func printLedger(ctx context.Context, args []string, stdout io.Writer) error {
	fs := flag.NewFlagSet("ledger", flag.ContinueOnError)
	cfg := ledger.CloudConfig{Stdout: stdout}
	cfg.Stack.Flags(fs)
	fs.StringVar(&cfg.Out, "out", "build/bench/ledger", "folder for ledger.json and ledger.md")
	fs.Float64Var(&cfg.Rate, "rate", 10_000, "events per second of the gateway")
	fs.DurationVar(&cfg.Warm, "warm", 15*time.Second, "time to warm up before the measurement")
	fs.DurationVar(&cfg.Duration, "duration", time.Minute, "length of the measurement")
	fc := fleetFlags(fs, 1, 10)
	if err := fs.Parse(args); err != nil {
		return err
	}
	cfg.Fleet = *fc
	if err := os.MkdirAll(cfg.Out, 0o755); err != nil { //nolint:gosec // the database's user must pass through
		return err
	}
	cloud, err := ledger.Cloud(ctx, cfg)
	if err != nil {
		return err
	}
	report := ledger.NewReport(ctx, cloud)
	if err := report.Write(cfg.Out); err != nil {
		return err
	}
	fmt.Fprintln(stdout)
	report.Print(stdout)
	return nil
}
