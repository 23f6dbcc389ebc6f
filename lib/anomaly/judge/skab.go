package judge

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	"github.com/insighthub/insighthub/lib/anomaly"
)

// Frames is one file in SKAB's format: a machine with several sensors.
type Frames struct {
	// Name is the file's path below the corpus.
	Name string
	// Sensors are the names of the columns with readings, 1 to [anomaly.MaxSensors].
	Sensors []string
	// Micros are the times in microseconds since 1970, read as UTC; Values has one row per
	// time and one column per sensor; an empty field is NaN.
	Micros []int64
	Values [][]float64
	// Labels are SKAB's column anomaly, which detectors never see; nil without labels.
	Labels []bool
}

// Group is the directory of the file, which in SKAB names the kind of fault.
func (f *Frames) Group() string { return path.Dir(f.Name) }

// unlabelled returns the file without labels.
func (f *Frames) unlabelled() Frames {
	seen := *f
	seen.Labels = nil
	return seen
}

// ReadFrames reads SKAB's format: columns separated by semicolons, the first one datetime,
// then sensors; the columns anomaly and changepoint are labels and optional. Errors wrap
// [ErrForm] or are those of r.
func ReadFrames(name string, r io.Reader) (Frames, error) {
	rows := csv.NewReader(unmarked(r))
	rows.Comma = ';'
	rows.ReuseRecord = true
	frames, err := readFrames(rows)
	if errors.As(err, new(*csv.ParseError)) || errors.Is(err, io.EOF) {
		err = fmt.Errorf("%w: %w", ErrForm, err)
	}
	if err != nil {
		return Frames{}, fmt.Errorf("read %s: %w", name, err)
	}
	frames.Name = name
	return frames, nil
}

func readFrames(rows *csv.Reader) (Frames, error) {
	header, err := rows.Read()
	if err != nil {
		return Frames{}, err
	}
	if header[0] != "datetime" {
		return Frames{}, fmt.Errorf("%w: want the first column datetime", ErrForm)
	}
	var f Frames
	labels := -1
	var columns []int
	for i, name := range header[1:] {
		switch name {
		case "anomaly":
			labels = i + 1
		case "changepoint":
		default:
			f.Sensors = append(f.Sensors, name)
			columns = append(columns, i+1)
		}
	}
	if len(columns) == 0 || len(columns) > anomaly.MaxSensors {
		return Frames{}, fmt.Errorf("%w: %d sensors, want 1 to %d", ErrForm, len(columns), anomaly.MaxSensors)
	}
	for {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			return f, nil
		}
		if err != nil {
			return Frames{}, err
		}
		if err := f.add(row, columns, labels); err != nil {
			line, _ := rows.FieldPos(0)
			return Frames{}, fmt.Errorf("line %d: %w", line, err)
		}
	}
}

func (f *Frames) add(row []string, columns []int, labels int) error {
	micros, err := parseStamp(row[0])
	if err != nil {
		return err
	}
	values := make([]float64, len(columns))
	for i, column := range columns {
		if values[i], err = parseValue(row[column]); err != nil {
			return err
		}
	}
	if labels >= 0 {
		label, err := parseValue(row[labels])
		if err != nil {
			return err
		}
		f.Labels = append(f.Labels, label == 1)
	}
	f.Micros = append(f.Micros, micros)
	f.Values = append(f.Values, values)
	return nil
}

// readCorpus reads every file in SKAB's format below fsys, in the order of their names.
// Other files with the extension .csv are skipped and named on report.
func readCorpus(fsys fs.FS, report io.Writer) ([]Frames, error) {
	var corpus []Frames
	err := fs.WalkDir(fsys, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(name, ".csv") {
			return err
		}
		file, err := fsys.Open(name)
		if err != nil {
			return err
		}
		frames, err := ReadFrames(name, file)
		if closing := file.Close(); err == nil {
			err = closing
		}
		if errors.Is(err, ErrForm) {
			fmt.Fprintln(report, "skipped:", err)
			return nil
		}
		if err != nil {
			return err
		}
		corpus = append(corpus, frames)
		return nil
	})
	return corpus, err
}

// Confusion is the confusion matrix of flags and labels, in rows.
type Confusion struct {
	TruePositive, FalsePositive, TrueNegative, FalseNegative int
}

// Count adds rows; flags and labels have the same length.
func (c *Confusion) Count(labels, flags []bool) {
	for i, label := range labels {
		switch {
		case label && flags[i]:
			c.TruePositive++
		case label:
			c.FalseNegative++
		case flags[i]:
			c.FalsePositive++
		default:
			c.TrueNegative++
		}
	}
}

// Add adds the counts of other.
func (c *Confusion) Add(other Confusion) {
	c.TruePositive += other.TruePositive
	c.FalsePositive += other.FalsePositive
	c.TrueNegative += other.TrueNegative
	c.FalseNegative += other.FalseNegative
}

// F1 is the harmonic mean of precision and recall, in [0,1]; 0 without positives.
func (c Confusion) F1() float64 {
	return part(2*c.TruePositive, 2*c.TruePositive+c.FalsePositive+c.FalseNegative)
}

// FalseAlarmRate is FP/(FP+TN), SKAB's FAR, in [0,1].
func (c Confusion) FalseAlarmRate() float64 {
	return part(c.FalsePositive, c.FalsePositive+c.TrueNegative)
}

// MissingAlarmRate is FN/(FN+TP), SKAB's MAR, in [0,1].
func (c Confusion) MissingAlarmRate() float64 {
	return part(c.FalseNegative, c.FalseNegative+c.TruePositive)
}

func part(n, of int) float64 {
	if of == 0 {
		return 0
	}
	return float64(n) / float64(of)
}
