package judge

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"time"
)

// Series is one file in NAB's format, with the columns timestamp and value. All slices
// have one element per row.
type Series struct {
	// Stamps and Texts are the columns as text, so that they can be written unchanged.
	Stamps, Texts []string
	// Micros are the timestamps in microseconds since 1970, read as UTC.
	Micros []int64
	// Values are the values; an empty field is NaN.
	Values []float64
}

// ErrForm is wrapped by errors of files that are not in the expected format.
var ErrForm = errors.New("not in the expected format")

// readSeriesFile reads a file in NAB's format.
func readSeriesFile(fsys fs.FS, name string) (s Series, err error) {
	file, err := fsys.Open(name)
	if err != nil {
		return Series{}, err
	}
	defer func() {
		if closing := file.Close(); err == nil {
			err = closing
		}
	}()
	if s, err = ReadSeries(file); err != nil {
		return Series{}, fmt.Errorf("read %s: %w", name, err)
	}
	return s, nil
}

// unmarked returns r without the byte order mark with which some programs start a text.
func unmarked(r io.Reader) io.Reader {
	text := bufio.NewReader(r)
	const mark = "\ufeff"
	if start, err := text.Peek(len(mark)); err == nil && string(start) == mark {
		_, _ = text.Discard(len(mark)) // it is in the buffer
	}
	return text
}

// ReadSeries reads NAB's format: a header whose first two columns are timestamp and value,
// then rows. Further columns are ignored. Errors wrap [ErrForm] or are those of r.
func ReadSeries(r io.Reader) (Series, error) {
	rows := csv.NewReader(unmarked(r))
	rows.FieldsPerRecord = -1
	rows.ReuseRecord = true
	header, err := rows.Read()
	if err != nil || len(header) < 2 || header[0] != "timestamp" || header[1] != "value" {
		if err != nil && !errors.Is(err, io.EOF) && !errors.As(err, new(*csv.ParseError)) {
			return Series{}, err
		}
		return Series{}, fmt.Errorf("%w: want the header timestamp,value", ErrForm)
	}
	var s Series
	for {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			return s, nil
		}
		if errors.As(err, new(*csv.ParseError)) {
			return Series{}, fmt.Errorf("%w: %w", ErrForm, err)
		}
		if err != nil {
			return Series{}, err
		}
		if err := s.add(row); err != nil {
			line, _ := rows.FieldPos(0)
			return Series{}, fmt.Errorf("line %d: %w", line, err)
		}
	}
}

func (s *Series) add(row []string) error {
	if len(row) < 2 {
		return fmt.Errorf("%w: want a timestamp and a value", ErrForm)
	}
	micros, err := parseStamp(row[0])
	if err != nil {
		return err
	}
	value, err := parseValue(row[1])
	if err != nil {
		return err
	}
	s.Stamps = append(s.Stamps, row[0])
	s.Texts = append(s.Texts, row[1])
	s.Micros = append(s.Micros, micros)
	s.Values = append(s.Values, value)
	return nil
}

// parseStamp parses the benchmarks' timestamps, with or without seconds and fractions of
// them, and those of RFC 3339.
func parseStamp(text string) (micros int64, err error) {
	for _, layout := range []string{time.DateTime, time.RFC3339, "2006-01-02T15:04:05", "2006-01-02 15:04"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UnixMicro(), nil
		}
	}
	return 0, fmt.Errorf("%w: invalid timestamp %q", ErrForm, text)
}

// parseValue parses a number. An empty text is NaN, and a number beyond the range of
// float64 is infinite: for the detectors both are missing samples.
func parseValue(text string) (float64, error) {
	if text == "" {
		return strconv.ParseFloat("NaN", 64)
	}
	value, err := strconv.ParseFloat(text, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return 0, fmt.Errorf("%w: invalid value %q", ErrForm, text)
	}
	return value, nil
}
