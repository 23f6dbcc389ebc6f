package main

import (
	"context"
	"flag"
	"io"
	"strings"
	"time"

	"github.com/insighthub/insighthub/loadtest/k6"
)

// underLoad runs the k6 scripts.
func underLoad(ctx context.Context, args []string, stdout, stderr io.Writer, getenv func(string) string) error {
	fs := flag.NewFlagSet("k6", flag.ContinueOnError)
	cfg := k6.Config{
		Stdout: stdout, Stderr: stderr,
		AdminName: getenv("INSIGHTHUB_ADMIN_NAME"), AdminPassword: getenv("INSIGHTHUB_ADMIN_PASSWORD"),
	}
	fs.StringVar(&cfg.Program, "k6", ".local/k6/bin/k6", "k6 itself")
	fs.StringVar(&cfg.Folder, "folder", "loadtest/k6", "folder of the scripts")
	scripts := fs.String("scripts", "ingest,api", "scripts to run, one after the other")
	fs.StringVar(&cfg.Out, "out", "build/load", "folder for the report; what is in it is removed")
	fs.DurationVar(&cfg.Limit, "limit", 5*time.Minute, "most that the scripts may take together")
	fs.StringVar(&cfg.State, "state", ".local", "state folder of a running stack; when none runs one is started")
	cfg.Stack.Flags(fs)
	fs.Int64Var(&cfg.Events, "events", 0, "events to store beforehand")
	fs.StringVar(&cfg.URL, "url", "", "another stage than the local stack; its administrator comes from INSIGHTHUB_ADMIN_NAME and INSIGHTHUB_ADMIN_PASSWORD")
	fs.StringVar(&cfg.AllowHost, "allow-host", "", "host of -url once more, when it is not this machine")
	fs.Func("set", "`NAME=value`, a setting of the scripts such as READS=100; may be repeated", func(s string) error {
		cfg.Settings = append(cfg.Settings, s)
		return nil
	})
	if err := fs.Parse(args); err != nil {
		return err
	}
	cfg.Scripts = strings.Split(*scripts, ",")
	return k6.Run(ctx, cfg)
}
