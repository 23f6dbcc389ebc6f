// Command judge scores files with the released detector and prints the results of
// detectors on labelled corpora.
package main

import (
	"fmt"
	"io"
	"os"

	"github.com/insighthub/insighthub/lib/anomaly/judge"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "judge:", err)
		os.Exit(1)
	}
}

const usage = `usage:
  judge score IN OUT   score every file in NAB's format below IN into the same path below OUT
  judge nab DIR        print the results on the Numenta Anomaly Benchmark in DIR
  judge skab DIR       print the results on the files in SKAB's format below DIR
  judge synthetic      print the results on generated noise with added faults`

func run(args []string, out io.Writer) error {
	switch {
	case len(args) == 3 && args[0] == "score":
		return judge.ScoreTree(args[1], args[2], out)
	case len(args) == 2 && args[0] == "nab":
		return judge.ReportNAB(args[1], out)
	case len(args) == 2 && args[0] == "skab":
		return judge.ReportSKAB(args[1], out)
	case len(args) == 1 && args[0] == "synthetic":
		return judge.ReportSynthetic(out)
	}
	return fmt.Errorf("invalid arguments %q\n%s", args, usage)
}
