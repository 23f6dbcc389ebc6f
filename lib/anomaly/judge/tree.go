package judge

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
)

// ScoreTree scores every file in NAB's format below in with the released detector and writes
// timestamp,value,anomaly_score to the same relative path below out. Timestamps and values
// are written unchanged. Other files with the extension .csv are skipped and named on
// report. It is an error if there is no file in NAB's format, or if out is in or below it.
func ScoreTree(in, out string, report io.Writer) error {
	if err := apart(in, out); err != nil {
		return err
	}
	if err := os.MkdirAll(out, 0o750); err != nil {
		return err
	}
	root, err := os.OpenRoot(out)
	if err != nil {
		return err
	}
	scored, err := scoreTree(os.DirFS(in), root, report)
	if closing := root.Close(); err == nil {
		err = closing
	}
	if err == nil && scored == 0 {
		err = fmt.Errorf("%w: no file with the columns timestamp,value", ErrForm)
	}
	if err != nil {
		return fmt.Errorf("score %s: %w", in, err)
	}
	fmt.Fprintf(report, "scored %d files into %s\n", scored, out)
	return nil
}

// apart returns an error if out is in or below it.
func apart(in, out string) error {
	from, err := filepath.Abs(in)
	if err != nil {
		return err
	}
	to, err := filepath.Abs(out)
	if err != nil {
		return err
	}
	relative, err := filepath.Rel(from, to)
	if err == nil && relative != ".." && !strings.HasPrefix(relative, ".."+string(filepath.Separator)) {
		return fmt.Errorf("score %s: output %s is in it: want another directory", in, out)
	}
	return nil
}

func scoreTree(in fs.FS, out *os.Root, report io.Writer) (scored int, err error) {
	err = fs.WalkDir(in, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || path.Ext(name) != ".csv" {
			return err
		}
		series, err := readSeriesFile(in, name)
		if errors.Is(err, ErrForm) {
			fmt.Fprintln(report, "skipped:", err)
			return nil
		}
		if err != nil {
			return err
		}
		scored++
		return writeScores(out, name, series, Released(series))
	})
	return scored, err
}

func writeScores(out *os.Root, name string, s Series, scores []float64) (err error) {
	if err := out.MkdirAll(path.Dir(name), 0o750); err != nil {
		return err
	}
	file, err := out.Create(name)
	if err != nil {
		return err
	}
	defer func() {
		if closing := file.Close(); err == nil {
			err = closing
		}
	}()
	w := bufio.NewWriter(file)
	fmt.Fprintln(w, "timestamp,value,anomaly_score")
	for i, score := range scores {
		fmt.Fprintf(w, "%s,%s,%s\n", s.Stamps[i], s.Texts[i], strconv.FormatFloat(score, 'g', -1, 64))
	}
	return w.Flush()
}
