package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/insighthub/insighthub/cdk/local/stackfile"
	"github.com/insighthub/insighthub/lib/audit"
	lambdahost "github.com/insighthub/insighthub/lib/lambda/host"
)

// Exit codes.
const (
	exitGood   = 0 // every check passed or warned
	exitFailed = 1 // a check failed, or the chain is broken
	exitNotRun = 2 // the self-check could not run
)

// terminal is where a command runs.
type terminal struct {
	out, errors io.Writer
	getenv      func(string) string
}

// command runs the command that args name and returns its exit code.
func command(ctx context.Context, args []string, t terminal) int {
	var code int
	var err error
	switch args[0] {
	case "run":
		code, err = t.run(ctx, args[1:])
	case "verify":
		code, err = t.verify(args[1:])
	default:
		err = fmt.Errorf("unknown command %q: want run or verify", args[0])
	}
	if err == nil {
		return code
	}
	if !errors.Is(err, flag.ErrHelp) {
		_, _ = fmt.Fprintln(t.errors, "audit:", err)
	}
	return exitNotRun
}

// run checks a local stack, or the platform that the environment names.
func (t terminal) run(ctx context.Context, args []string) (int, error) {
	flags := flag.NewFlagSet("audit run", flag.ContinueOnError)
	flags.SetOutput(t.errors)
	state := flags.String("state", ".local", "state folder of a running local stack")
	environment := flags.Bool("environment", false, "check the platform that the environment names, as the function does")
	asJSON := flags.Bool("json", false, "print the report as JSON")
	signed := flags.Bool("signed", false, "sign tokens, as the function does, instead of creating accounts")
	reads := flags.Int("reads", 50, "number of reads that measure each latency")
	months := flags.Int("trail-months", 0, "move months of the audit trail that are older than this to the archive; 0: none")
	budget := flags.Duration("budget", 25*time.Millisecond, "limit of the 99th percentile of read latencies")
	if err := flags.Parse(args); err != nil {
		return exitNotRun, err
	}
	if flags.NArg() > 0 || *reads < 1 || *budget <= 0 || *months < 0 {
		return exitNotRun, errors.New("run: want no arguments, -reads and -budget above 0, and -trail-months not below 0")
	}
	a, err := t.setUp(*state, *environment, *signed)
	if err != nil {
		return exitNotRun, err
	}
	if !*environment {
		a.settings.reads, a.settings.budget, a.settings.trailMonths = *reads, *budget, *months
	}
	report := a.run(ctx)
	if *asJSON {
		encoder := json.NewEncoder(t.out)
		encoder.SetIndent("", "  ")
		err = encoder.Encode(report)
	} else {
		err = report.WriteTable(t.out)
	}
	if err != nil {
		return exitNotRun, err
	}
	if report.Result == audit.Fail {
		return exitFailed, nil
	}
	return exitGood, nil
}

func (t terminal) setUp(state string, environment, signed bool) (*selfCheck, error) {
	getenv := t.getenv
	var info stackfile.Info
	if !environment {
		var err error
		if info, err = stackfile.Read(state); err != nil {
			return nil, err
		}
		getenv = info.Getenv
	}
	a, err := wire(lambdahost.NewHost(getenv, slog.New(slog.DiscardHandler)))
	if err != nil {
		return nil, err
	}
	if !signed {
		a.settings.name, a.settings.password = info.AdminName, info.AdminPassword
	}
	return a, nil
}
