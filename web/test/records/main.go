// Command records prints telemetry records, valid and damaged ones, and what Go's decoder makes
// of each, for the tests of the decoder in the browser.
//
//	records COUNT [SEED]
//
// It prints one JSON object a line: the record in base64, and either the error or the batch.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "records:", err)
		os.Exit(1)
	}
}

func run(args []string, out io.Writer) error {
	if len(args) < 1 || len(args) > 2 {
		return errors.New("want COUNT [SEED]")
	}
	count, err := strconv.Atoi(args[0])
	if err != nil || count < 1 {
		return fmt.Errorf("count %q: want a number of at least 1", args[0])
	}
	seed := uint64(1)
	if len(args) == 2 {
		if seed, err = strconv.ParseUint(args[1], 10, 64); err != nil {
			return fmt.Errorf("seed %q: want a number", args[1])
		}
	}
	buffered := bufio.NewWriter(out)
	encoder := json.NewEncoder(buffered)
	g, err := newGenerator(seed)
	if err != nil {
		return err
	}
	for range count {
		c, err := g.next()
		if err != nil {
			return err
		}
		if err := encoder.Encode(c); err != nil {
			return err
		}
	}
	return buffered.Flush()
}
