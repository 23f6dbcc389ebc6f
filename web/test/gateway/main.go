// Command gateway is what the browser's tests run against: the real signaling service, a gateway
// with the real publisher in a process of its own, the built pages, and enough of the API for a
// login.
//
//	gateway serve -signaling PROGRAM -pages FOLDER    prints one line of JSON and serves until it is interrupted
//	gateway publish                                   the gateway; serve starts it
//
// Under /test/ the tests kill and start the gateway and the service, and let the native detector
// score events.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Getenv, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "gateway:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, getenv func(string) string, out io.Writer) error {
	if len(args) > 0 {
		switch args[0] {
		case "serve":
			return serve(ctx, args[1:], out)
		case "publish":
			return publish(ctx, getenv)
		}
	}
	return errors.New("want serve or publish")
}
