package main

import (
	"context"
	"flag"
	"io"
	"time"

	"github.com/insighthub/insighthub/loadtest/outage"
)

// testOutage runs a stack whose Prometheus is stopped for a while.
func testOutage(ctx context.Context, args []string, stdout io.Writer) error {
	fs := flag.NewFlagSet("outage", flag.ContinueOnError)
	cfg := outage.Config{Stdout: stdout}
	cfg.Stack.Flags(fs)
	fs.Lookup("prometheus").Usage = "folder of the Prometheus that is stopped; .local/prometheus3 after make prometheus3"
	fs.StringVar(&cfg.Out, "out", "build/outage", "folder for outage.json")
	fs.Float64Var(&cfg.Rate, "rate", 1000, "events per second of the whole fleet")
	fs.DurationVar(&cfg.Before, "before", 40*time.Second, "time before the outage")
	fs.DurationVar(&cfg.Length, "length", 5*time.Minute, "length of the outage")
	fs.DurationVar(&cfg.CatchUp, "catch-up", time.Minute, "longest time in which Prometheus may catch up")
	fs.DurationVar(&cfg.After, "after", 15*time.Second, "time after Prometheus has caught up")
	fc := fleetFlags(fs, 2, 2)
	if err := fs.Parse(args); err != nil {
		return err
	}
	cfg.Fleet = *fc
	return outage.Run(ctx, cfg)
}
