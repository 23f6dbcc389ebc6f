package main

import (
	"context"
	"flag"
	"io"
	"time"

	"github.com/insighthub/insighthub/loadtest/flood"
)

// benchFlood measures what a flood of garbage costs those who use the platform.
func benchFlood(ctx context.Context, args []string, stdout io.Writer) error {
	fs := flag.NewFlagSet("flood", flag.ContinueOnError)
	cfg := flood.Config{Stdout: stdout}
	cfg.Stack.Flags(fs)
	fs.StringVar(&cfg.Out, "out", "build/bench/flood", "folder for flood.json and flood.md")
	fs.Float64Var(&cfg.Rate, "rate", 1000, "requests per second of a flood")
	fs.IntVar(&cfg.Sources, "sources", 256, "source addresses of a flood, one connection each")
	fs.DurationVar(&cfg.Duration, "duration", 25*time.Second, "length of a flood, and of the quiet phases before and after it")
	fs.StringVar(&cfg.Only, "only", "", "part of the name of the endpoints that are flooded; empty floods all")
	fs.IntVar(&cfg.Gateways, "gateways", 40, "gateways that send telemetry")
	fs.Float64Var(&cfg.IngestRate, "ingest", 200, "batches per second of all gateways, ten events each")
	fs.DurationVar(&cfg.ChangeEvery, "change-every", 100*time.Millisecond, "time between two changes")
	if err := fs.Parse(args); err != nil {
		return err
	}
	return flood.Run(ctx, cfg)
}
