// Command loadtest puts load on a running stack and measures it.
//
//	loadtest simulate   a simulated fleet sends until it is stopped (or -duration)
//	loadtest replay     sends recorded sensor files
//	loadtest bench      runs the whole stack and the yardstick, and compares
//	loadtest api        reads from the API over a database of ten million events
//	loadtest outage     runs the whole stack, without its Prometheus for five minutes
//	loadtest starts     prints how long the running stack's functions took to start
//	loadtest k6         runs the k6 scripts against the stack, and reports
//	loadtest token      prints a development token of a gateway
//
// Each has its own flags: loadtest <command> -h.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "loadtest:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout io.Writer) error {
	underLoad := func(ctx context.Context, args []string, stdout io.Writer) error {
		return underLoad(ctx, args, stdout, os.Stderr, os.Getenv)
	}
	commands := map[string]func(context.Context, []string, io.Writer) error{
		"simulate": simulate, "replay": replayFiles, "bench": benchmark, "api": readAPI, "outage": withoutPrometheus, "k6": underLoad, "token": printToken, "starts": printStarts,
	}
	if len(args) == 0 || commands[args[0]] == nil {
		return fmt.Errorf("want a command: simulate, replay, bench, api, outage, k6, starts or token; have %q", args)
	}
	return commands[args[0]](ctx, args[1:], stdout)
}
