package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/insighthub/insighthub/lib/audit"
	"github.com/insighthub/insighthub/lib/trail"
)

// verify verifies the chain of an audit trail in files, offline, against anchors: the archived months
// and the export of the rest, in their order, are one chain.
func (t terminal) verify(args []string) (int, error) {
	flags := flag.NewFlagSet("audit verify", flag.ContinueOnError)
	flags.SetOutput(t.errors)
	anchors := flags.String("anchors", "", "`file` of anchors, or folder of such files, with one JSON document after the other")
	if err := flags.Parse(args); err != nil {
		return exitNotRun, err
	}
	if flags.NArg() == 0 {
		return exitNotRun, errors.New("verify: want files with the audit trail in its order, one entry per line (.ndjson, .ndjson.zst)")
	}
	var v trail.Verifier
	n := 0
	err := eachAnchor(*anchors, func(a trail.Anchor) error { n++; return v.AddAnchor(a) })
	for _, file := range flags.Args() {
		if err != nil {
			break
		}
		if err = readFile(file, func(r io.Reader) error { return verifyLines(file, r, &v) }); err != nil {
			err = fmt.Errorf("%s: %w", file, err)
		}
	}
	if err == nil {
		err = v.End()
	}
	if broken, ok := errors.AsType[*trail.BrokenError](err); ok {
		_, err := fmt.Fprintf(t.out, "broken at entry %d: %v\n", broken.Seq, broken)
		return exitFailed, err
	}
	if err != nil {
		return exitNotRun, err
	}
	seq, hash := v.Head()
	_, err = fmt.Fprintf(t.out, "intact: %d entries, %d anchors, the head is %s\n", seq, n, hash)
	return exitGood, err
}

// verifyLines verifies the lines of a file, which is compressed if its name says so.
func verifyLines(name string, r io.Reader, v *trail.Verifier) error {
	if strings.HasSuffix(name, ".zst") {
		return audit.VerifySegment(r, v)
	}
	return trail.VerifyLines(r, v)
}

func eachAnchor(path string, each func(trail.Anchor) error) error {
	if path == "" {
		return nil
	}
	return filepath.WalkDir(path, func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		return readFile(file, func(r io.Reader) error {
			list, err := trail.ReadAnchors(r)
			if err != nil {
				return fmt.Errorf("%s: %w", file, err)
			}
			for _, a := range list {
				if err := each(a); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

func readFile(path string, read func(io.Reader) error) error {
	file, err := os.Open(path) //nolint:gosec // the user's own file
	if err != nil {
		return err
	}
	return errors.Join(read(file), file.Close())
}
