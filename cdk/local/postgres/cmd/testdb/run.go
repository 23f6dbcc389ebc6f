package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/insighthub/insighthub/cdk/local/postgres"
)

// run runs the command with a database: that of dsn, or a temporary one.
func run(ctx context.Context, tree string, secure bool, dsn string, environment, command []string) (err error) {
	if len(command) == 0 {
		return errors.New("usage: testdb [-tree DIR] -- COMMAND [ARGUMENT...]")
	}
	if dsn == "" {
		server, remove, err := startTemporary(ctx, tree, secure)
		if err != nil {
			return err
		}
		defer remove()
		dsn = server.DSN()
	}
	cmd := exec.CommandContext(ctx, command[0], command[1:]...) //nolint:gosec // its purpose is to run the command
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(environment, variable+"="+dsn)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 30 * time.Second
	return cmd.Run()
}

// startTemporary starts a server on a folder that remove deletes.
func startTemporary(ctx context.Context, tree string, secure bool) (_ *postgres.Server, remove func(), err error) {
	dir, err := os.MkdirTemp("", "insighthub-testdb-")
	if err != nil {
		return nil, nil, err
	}
	if err := os.Chmod(dir, 0o711); err != nil { //nolint:gosec // the server's account has to enter it
		return nil, nil, err
	}
	log, err := os.Create(dir + "/log") //nolint:gosec // our own folder
	if err != nil {
		return nil, nil, err
	}
	server, err := postgres.Start(ctx, postgres.Config{Tree: tree, DataDir: dir + "/data", SharedBuffersMB: 256, TLS: secure, Logs: log})
	if err != nil {
		_ = log.Close()
		output, _ := os.ReadFile(dir + "/log") //nolint:gosec // our own folder
		_ = os.RemoveAll(dir)
		return nil, nil, fmt.Errorf("%w\n%s", err, output)
	}
	return server, func() {
		stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		_ = server.Stop(stopping)
		_ = log.Close()
		_ = os.RemoveAll(dir)
	}, nil
}
