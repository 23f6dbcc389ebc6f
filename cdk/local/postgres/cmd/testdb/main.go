// Command testdb runs a command with a temporary TimescaleDB server, whose superuser DSN
// it passes in INSIGHTHUB_TEST_DATABASE, and exits with the command's status:
//
//	go run ./cdk/local/postgres/cmd/testdb -- go test ./...
//
// If the environment has that variable, no server is started. With -tls the DSN verifies the
// certificate of the server.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
)

const variable = "INSIGHTHUB_TEST_DATABASE"

func main() {
	tree := flag.String("tree", ".local/timescale", "`folder` that install.sh created")
	secure := flag.Bool("tls", false, "the DSN verifies the server's certificate")
	flag.Parse()
	// The command gets the terminal's Ctrl-C too; the server ends after it. The signal is
	// caught rather than ignored: the command would inherit the latter.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGINT)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	err := run(ctx, *tree, *secure, os.Getenv(variable), os.Environ(), flag.Args())
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit) && exit.Exited():
		os.Exit(exit.ExitCode()) //nolint:gocritic // stop() only detaches the signal
	case err != nil:
		fmt.Fprintln(os.Stderr, "testdb:", err)
		os.Exit(1)
	}
}
