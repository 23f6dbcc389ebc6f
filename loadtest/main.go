// Command loadtest sends load to a stack and measures the response.
//
//	loadtest simulate   sends the events of a simulated fleet, until interrupted or for -duration
//	loadtest replay     sends recorded sensor files
//	loadtest bench      measures a stack of its own against the yardstick
//	loadtest api        measures reads of the API with ten million stored events
//	loadtest ledger     follows events through the cloud and to a browser, and prints where the time goes
//	loadtest live       measures the live path from a gateway to a browser, and a WebSocket relay beside it
//	loadtest live-relay, live-gateway  run that relay, and a gateway that can be killed
//	loadtest flood      measures what a flood of garbage costs those who use the platform
//	loadtest outage     stops the Prometheus of a stack of its own for five minutes
//	loadtest camera     serves cameras by WHEP and takes them by WHIP, to try players and encoders
//	loadtest video      measures the time from a frame of a camera to the frame decoded in Chromium
//	loadtest signaling  measures the signaling service with 20,000 connections
//	loadtest rtc-facts  prints what Chromium and pion do with data channels
//	loadtest starts     prints the start times of the running stack's functions
//	loadtest k6         runs the k6 scripts against a stack
//	loadtest token      prints a development token of a gateway
//	loadtest fuzz-api   checks the API against its contract
//
// Each has its own flags: loadtest <command> -h.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strings"
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
	commands := map[string]func(context.Context, []string, io.Writer) error{
		"simulate": simulate, "replay": replayFiles, "bench": benchPipeline, "api": benchAPI, "flood": benchFlood, "outage": testOutage,
		"ledger": printLedger, "live": benchLive, "live-relay": runRelay, "live-gateway": runGateway, "camera": serveCameras,
		"video": measureVideo, "starts": printStarts, "token": printToken, "fuzz-api": fuzzAPI, "signaling": measureSignaling,
		"rtc-facts": printFacts,
		"k6": func(ctx context.Context, args []string, stdout io.Writer) error {
			return runK6(ctx, args, stdout, os.Getenv)
		},
	}
	if len(args) == 0 || commands[args[0]] == nil {
		return fmt.Errorf("got arguments %q, want a command: %s", args, strings.Join(slices.Sorted(maps.Keys(commands)), ", "))
	}
	return commands[args[0]](ctx, args[1:], stdout)
}
