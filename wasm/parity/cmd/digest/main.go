// Command digest scores series on the processor that it was compiled for and prints their
// digests, which package parity documents.
//
//	digest FILE...        prints the digest of each file
//	digest -write DIR     writes the generated series, one file each
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/insighthub/insighthub/wasm/parity"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "digest:", err)
		os.Exit(1)
	}
}

func run(args []string, out io.Writer) error {
	switch {
	case len(args) == 2 && args[0] == "-write":
		return parity.WriteFiles(args[1], parity.Generated())
	case len(args) == 0:
		return errors.New("want FILE..., or -write DIR")
	}
	for _, path := range args {
		file, err := os.ReadFile(path) //nolint:gosec // the command reads the files of its arguments
		if err != nil {
			return err
		}
		series, err := parity.ParseSeries(filepath.Base(path), file)
		if err != nil {
			return err
		}
		lines, err := parity.AppendDigest(nil, series)
		if err != nil {
			return err
		}
		if _, err := out.Write(lines); err != nil {
			return err
		}
	}
	return nil
}
