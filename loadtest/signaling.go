package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/insighthub/insighthub/loadtest/benchfile"
	"github.com/insighthub/insighthub/loadtest/signaling"
)

// measureSignaling measures the signaling service with many connections.
func measureSignaling(ctx context.Context, args []string, stdout io.Writer) error {
	fs := flag.NewFlagSet("signaling", flag.ContinueOnError)
	c := signaling.Config{Stdout: stdout}
	fs.StringVar(&c.Binary, "binary", "build/local/bin/signaling", "program of the service")
	fs.IntVar(&c.Connections, "connections", 20_000, "peers that are connected at the same time")
	fs.IntVar(&c.PerSite, "per-site", 20, "peers of each room: a gateway and people")
	fs.IntVar(&c.Rate, "rate", 2000, "messages a second that are relayed")
	fs.DurationVar(&c.Duration, "duration", 30*time.Second, "how long messages are relayed")
	fs.DurationVar(&c.Settle, "settle", 45*time.Second, "how long nothing happens before the memory is read")
	fs.StringVar(&c.Redis, "redis", "", "`URL` of a Redis over which two tasks relay; by default there is one task")
	out := fs.String("out", "build/bench", "folder for signaling.json; with Redis: signaling-redis.json")
	logs := fs.Bool("logs", false, "print the service's log")
	check := fs.Bool("check", false, "fail if a requirement is not met")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if c.PerSite < 2 {
		return fmt.Errorf("-per-site: got %d, want at least 2: a gateway and a person", c.PerSite)
	}
	if *logs {
		c.Logs = os.Stderr
	}
	result, err := signaling.Measure(ctx, c)
	if err != nil {
		return err
	}
	name := "signaling.json"
	if c.Redis != "" {
		name = "signaling-redis.json"
	}
	if err := os.MkdirAll(*out, 0o755); err != nil { //nolint:gosec // not a secret
		return err
	}
	if err := benchfile.Write(filepath.Join(*out, name), struct {
		Machine string `json:"machine"`
		Commit  string `json:"commit"`
		signaling.Result
	}{benchfile.Machine(), benchfile.Commit(ctx), result}); err != nil {
		return err
	}
	err = result.Check()
	if err != nil && !*check {
		fmt.Fprintln(stdout, "not met:", err)
		return nil
	}
	return err
}
