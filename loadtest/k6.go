package main

import (
	"context"
	"flag"
	"io"
	"os"
	"strings"
	"time"

	"github.com/insighthub/insighthub/loadtest/k6"
)

// runK6 runs the k6 scripts.
func runK6(ctx context.Context, args []string, stdout io.Writer, getenv func(string) string) error {
	fs := flag.NewFlagSet("k6", flag.ContinueOnError)
	cfg := k6.Config{
		Stdout: stdout, Stderr: os.Stderr,
		AdminName: getenv("INSIGHTHUB_ADMIN_NAME"), AdminPassword: getenv("INSIGHTHUB_ADMIN_PASSWORD"),
	}
	fs.StringVar(&cfg.Program, "k6", ".local/k6/bin/k6", "program of k6")
	fs.StringVar(&cfg.Folder, "folder", "loadtest/k6", "folder of the scripts")
	scripts := fs.String("scripts", "ingest,api", "names of the scripts to run in turn, separated by commas")
	fs.StringVar(&cfg.Out, "out", "build/load", "folder for the report; its content is removed first")
	fs.DurationVar(&cfg.Limit, "limit", 5*time.Minute, "timeout of all scripts together")
	fs.StringVar(&cfg.State, "state", ".local", "state folder of a running stack; if none runs, the command starts one")
	cfg.Stack.Flags(fs)
	fs.Int64Var(&cfg.Events, "events", 0, "events to store before the scripts run")
	fs.StringVar(&cfg.URL, "url", "", "URL of a deployed stage to use instead of a local stack; "+
		"its administrator comes from INSIGHTHUB_ADMIN_NAME and INSIGHTHUB_ADMIN_PASSWORD")
	fs.StringVar(&cfg.AllowHost, "allow-host", "", "host of -url, to confirm that load may be sent to another machine")
	fs.Func("set", "setting of the scripts as `NAME=value`, such as READS=100; may be repeated", func(s string) error {
		cfg.Settings = append(cfg.Settings, s)
		return nil
	})
	if err := fs.Parse(args); err != nil {
		return err
	}
	cfg.Scripts = strings.Split(*scripts, ",")
	return k6.Run(ctx, cfg)
}
