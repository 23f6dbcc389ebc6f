package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/insighthub/insighthub/loadtest/rtcfacts"
)

// printFacts prints what Chromium and pion do with data channels, as JSON.
func printFacts(ctx context.Context, args []string, stdout io.Writer) error {
	fs := flag.NewFlagSet("rtc-facts", flag.ContinueOnError)
	binary := fs.String("chromium", ".local/chromium/bin/chromium", "program of Chromium")
	if err := fs.Parse(args); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "rtc-facts")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary folder
	raw, err := rtcfacts.Measure(ctx, rtcfacts.Config{Chromium: *binary, Dir: dir})
	if err != nil {
		return err
	}
	var out bytes.Buffer
	if err := json.Indent(&out, raw, "", "  "); err != nil {
		return err
	}
	fmt.Fprintln(stdout, out.String())
	return nil
}
