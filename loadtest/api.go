package main

import (
	"context"
	"flag"
	"io"
	"time"

	"github.com/insighthub/insighthub/loadtest/bench"
)

// benchAPI measures reads of the API with many stored events.
func benchAPI(ctx context.Context, args []string, stdout io.Writer) error {
	fs := flag.NewFlagSet("api", flag.ContinueOnError)
	cfg := bench.APIConfig{Config: bench.Config{Stdout: stdout}}
	fs.StringVar(&cfg.State, "state", "", "state folder of a running stack; if empty, the command starts one")
	cfg.Stack.Flags(fs)
	fs.StringVar(&cfg.Out, "out", "build/bench/api", "folder for api.json")
	fs.IntVar(&cfg.Events, "events", 10_000_000, "events to store first, one per second in each of 100 series")
	fs.Float64Var(&cfg.Rate, "rate", 200, "requests per second")
	fs.DurationVar(&cfg.Duration, "duration", 30*time.Second, "how long to read; 0 only fills the database")
	if err := fs.Parse(args); err != nil {
		return err
	}
	return bench.RunAPI(ctx, cfg)
}
