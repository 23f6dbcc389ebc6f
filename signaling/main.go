// Command signaling is the service that introduces peers to each other for the live path: it
// relays the descriptions and candidates with which gateways and browsers connect directly.
//
// The protocol is docs/SIGNALING_PROTOCOL.md, the environment is listed in
// signaling/README.md.
package main

import (
	"context"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	lambdahost "github.com/insighthub/insighthub/lib/lambda/host"
)

func main() {
	log := lambdahost.Logger(os.Getenv)
	if os.Getenv("GOGC") == "" {
		// Most of the heap is idle sessions, and memory is what limits their number.
		const percent = 60
		debug.SetGCPercent(percent)
	}
	// The first signal drains; a second one ends the process.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	err := run(ctx, stop, os.Getenv, log)
	stop()
	if err != nil {
		log.Error("signaling ended", "error", err.Error())
		os.Exit(1)
	}
}
