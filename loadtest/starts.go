package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
)

// printStarts prints the init durations of each function, from the stack's logs.
func printStarts(_ context.Context, args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("starts", flag.ContinueOnError)
	state := flags.String("state", ".local", "state `folder` of the stack")
	if err := flags.Parse(args); err != nil {
		return err
	}
	files, err := filepath.Glob(filepath.Join(*state, "logs", "*.log"))
	if err != nil {
		return fmt.Errorf("logs: %w", err)
	}
	w := tabwriter.NewWriter(stdout, 0, 0, 1, ' ', tabwriter.AlignRight|tabwriter.Debug)
	_, _ = fmt.Fprintln(w, "function\tstarts\tmedian ms\tslowest ms\t")
	found := false
	for _, file := range files {
		starts, err := readStarts(file)
		if err != nil {
			return err
		}
		if len(starts) == 0 {
			continue
		}
		found = true
		slices.Sort(starts)
		name := strings.TrimSuffix(filepath.Base(file), ".log")
		_, _ = fmt.Fprintf(w, "%s\t%d\t%.1f\t%.1f\t\n", name, len(starts), starts[len(starts)/2], starts[len(starts)-1])
	}
	if !found {
		return fmt.Errorf("no logs of started functions in %s; make run starts a stack", *state)
	}
	return w.Flush()
}

// readStarts returns the init durations in a function's log, in milliseconds.
func readStarts(file string) ([]float64, error) {
	f, err := os.Open(file) //nolint:gosec // the stack's own log
	if err != nil {
		return nil, fmt.Errorf("logs: %w", err)
	}
	defer func() { _ = f.Close() }()
	var starts []float64
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if !bytes.Contains(lines.Bytes(), []byte("platform.initReport")) {
			continue
		}
		var line struct {
			Record struct{ Metrics struct{ DurationMs float64 } }
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		starts = append(starts, line.Record.Metrics.DurationMs)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return starts, nil
}
