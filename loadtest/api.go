package main

import (
	"context"
	"flag"
	"io"
	"time"

	"github.com/insighthub/insighthub/loadtest/bench"
)

// readAPI puts reads on the API over a database of many events.
func readAPI(ctx context.Context, args []string, stdout io.Writer) error {
	fs := flag.NewFlagSet("api", flag.ContinueOnError)
	cfg := bench.APIConfig{Config: bench.Config{Stdout: stdout}}
	fs.StringVar(&cfg.State, "state", "", "state folder of a running stack; empty starts one")
	cfg.Stack.Flags(fs)
	fs.StringVar(&cfg.Out, "out", "build/bench/api", "folder for api.json")
	fs.IntVar(&cfg.Events, "events", 10_000_000, "events to read from, at one a second in each of 100 series")
	fs.Float64Var(&cfg.Rate, "rate", 200, "requests per second")
	fs.DurationVar(&cfg.Duration, "duration", 30*time.Second, "how long to read; 0 fills the database only")
	if err := fs.Parse(args); err != nil {
		return err
	}
	return bench.RunAPI(ctx, cfg)
}
