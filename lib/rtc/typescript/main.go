// Command typescript generates web/src/rtc/protocol.ts, the mirror of lib/rtc for browsers,
// from the structs and tables of that package.
package main

import (
	"flag"
	"fmt"
	"os"
)

func main() {
	out := flag.String("o", "", "the file to write")
	source := flag.String("source", ".", "the folder of lib/rtc, whose comments are copied")
	flag.Parse()
	text, err := generate(*source)
	if err == nil {
		err = os.WriteFile(*out, text, 0o644) //nolint:gosec // a source file, which all may read
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "typescript:", err)
		os.Exit(1)
	}
}
