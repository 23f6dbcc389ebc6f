// Command testdb runs a command with a throw-away TimescaleDB server, whose
// superuser DSN it passes in INSIGHTHUB_TEST_DATABASE, and exits as it did:
//
//	go run ./cdk/local/postgres/cmd/testdb -- go test ./...
//
// A server that is already named in the environment is used as it is.
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
	"time"

	"github.com/insighthub/insighthub/cdk/local/postgres"
)

const variable = "INSIGHTHUB_TEST_DATABASE"

func main() {
	tree := flag.String("tree", ".local/timescale", "the `folder` that install.sh made")
	flag.Parse()
	// The command hears the terminal's Ctrl-C itself; the server ends after it.
	// Caught and dropped rather than ignored: the command would inherit the latter.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGINT)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	err := run(ctx, *tree, os.Getenv(variable), flag.Args())
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit) && exit.Exited():
		os.Exit(exit.ExitCode()) //nolint:gocritic // stop() only detaches the signal
	case err != nil:
		fmt.Fprintln(os.Stderr, "testdb:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, tree, dsn string, command []string) (err error) {
	if len(command) == 0 {
		return errors.New("usage: testdb [-tree DIR] -- COMMAND [ARGUMENT...]")
	}
	if dsn == "" {
		server, remove, err := throwAway(ctx, tree)
		if err != nil {
			return err
		}
		defer remove()
		dsn = server.DSN()
	}
	cmd := exec.CommandContext(ctx, command[0], command[1:]...) //nolint:gosec // running what it is told is its purpose
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), variable+"="+dsn)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 30 * time.Second
	return cmd.Run()
}

func throwAway(ctx context.Context, tree string) (*postgres.Server, func(), error) {
	dir, err := os.MkdirTemp("", "insighthub-testdb-")
	if err != nil {
		return nil, nil, err
	}
	if err := os.Chmod(dir, 0o711); err != nil { //nolint:gosec // the server's account has to pass
		return nil, nil, err
	}
	log, err := os.Create(dir + "/log") //nolint:gosec // the folder is ours
	if err != nil {
		return nil, nil, err
	}
	server, err := postgres.Start(ctx, postgres.Config{Tree: tree, DataDir: dir + "/data", SharedBuffersMB: 256, Logs: log})
	if err != nil {
		_ = log.Close()
		said, _ := os.ReadFile(dir + "/log") //nolint:gosec // the folder is ours
		_ = os.RemoveAll(dir)
		return nil, nil, fmt.Errorf("%w\n%s", err, said)
	}
	return server, func() {
		stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		_ = server.Stop(stopping)
		_ = log.Close()
		_ = os.RemoveAll(dir)
	}, nil
}
