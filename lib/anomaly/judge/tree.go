package judge

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// ScoreTree scores every file of NAB's form below in with the released detector
// and writes timestamp,value,anomaly_score to the same relative path below out.
// Timestamps and values are written as they were read. Files ending in .csv that
// are not of that form are named on report and left out; it is an error when no
// file is.
func ScoreTree(in, out string, report io.Writer) error {
	scored := 0
	err := filepath.WalkDir(in, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(name, ".csv") {
			return err
		}
		series, err := ReadSeriesFile(name)
		if errors.Is(err, ErrForm) {
			fmt.Fprintln(report, "left out:", err)
			return nil
		}
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(in, name)
		if err != nil {
			return err
		}
		scored++
		return writeScores(filepath.Join(out, relative), series, Released(series))
	})
	if err != nil {
		return fmt.Errorf("score %s: %w", in, err)
	}
	if scored == 0 {
		return fmt.Errorf("score %s: no file of the form timestamp,value", in)
	}
	fmt.Fprintf(report, "scored %d files into %s\n", scored, out)
	return nil
}

func writeScores(path string, s Series, scores []float64) (err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() {
		if closing := f.Close(); err == nil {
			err = closing
		}
	}()
	w := bufio.NewWriter(f)
	fmt.Fprintln(w, "timestamp,value,anomaly_score")
	for i, score := range scores {
		fmt.Fprintf(w, "%s,%s,%s\n", s.Stamps[i], s.Texts[i], strconv.FormatFloat(score, 'g', -1, 64))
	}
	return w.Flush()
}
