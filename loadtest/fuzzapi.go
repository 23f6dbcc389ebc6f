package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/insighthub/insighthub/cdk/local/stackfile"
	"github.com/insighthub/insighthub/loadtest/apifuzz"
	"github.com/insighthub/insighthub/loadtest/localstack"
)

// fuzzAPI sends mutated requests to every operation of the contract, and each operation as
// each caller.
func fuzzAPI(ctx context.Context, args []string, stdout io.Writer) (err error) {
	fs := flag.NewFlagSet("fuzz-api", flag.ContinueOnError)
	var stack localstack.Config
	stack.Flags(fs)
	state := fs.String("state", "", "state folder of a running stack, started with -unthrottled; if empty, the command starts one")
	out := fs.String("out", "build/fuzz-api", "folder of the stack that it starts")
	requests := fs.Int("requests", 400, "requests for each operation")
	seed := fs.Uint64("seed", 1, "seed of the mutations")
	workers := fs.Int("workers", 4, "operations at the same time")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if *state == "" {
		if err := os.MkdirAll(*out, 0o755); err != nil { //nolint:gosec // the database's user enters it
			return err
		}
		p, _, err := stack.Start(ctx, *out, "-unthrottled")
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, p.Stop()) }()
	}
	info, err := stackfile.Read(cmp.Or(*state, localstack.State(*out)))
	if err != nil {
		return err
	}
	target, err := apifuzz.OpenStack(ctx, info)
	if err != nil {
		return err
	}
	cfg := apifuzz.Config{
		Target: target, World: target.World, Fresh: target.Fresh, Requests: *requests, Seed: *seed, Workers: *workers, Now: time.Now,
	}
	start := time.Now()
	report, err := apifuzz.Fuzz(ctx, cfg)
	if err != nil {
		return err
	}
	report.Print(stdout)
	matrix, err := apifuzz.Matrix(ctx, cfg, apifuzz.Callers())
	if err != nil {
		return err
	}
	matrix.Print(stdout)
	bodies, wrong, err := apifuzz.Bodies(ctx, cfg)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "%d bodies without a member or with null in its place, %d not rejected\n", bodies, len(wrong))
	for _, c := range wrong {
		fmt.Fprintf(stdout, "%s %s: got %s\n", c.Operation, c.Way, c.Got)
	}
	fmt.Fprintf(stdout, "seed %d, %.0f s\n", *seed, time.Since(start).Seconds())
	if n := len(report.Faults) + len(matrix.Wrong) + len(matrix.Leaks) + len(wrong); n > 0 {
		return fmt.Errorf("the API differs from its contract: %d faults", n)
	}
	return nil
}
