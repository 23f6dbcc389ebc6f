// Package replay reads recorded sensor files and sends them as telemetry.
//
// The format is that of the Skoltech Anomaly Benchmark: a header line, columns separated by
// semicolons or commas, the first named "datetime" with times such as
// "2006-01-02 15:04:05" in UTC and an optional fraction, the others with numbers. Each
// cell becomes one event, whose device is the file and whose metric is the column, also in
// label columns such as "anomaly". An empty cell is a gap, not an event.
package replay

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// File is the content of a recorded file.
type File struct {
	Device  telemetry.DeviceName
	Columns []telemetry.MetricName
	Rows    int
	Gaps    int // empty cells
	Events  []telemetry.Event
}

// DeviceOf returns the device name of a file: the names of its folder and of the file,
// without extension.
func DeviceOf(path string) telemetry.DeviceName {
	base := strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
	dir := filepath.Base(filepath.Dir(path))
	if dir == "." || dir == string(filepath.Separator) {
		return telemetry.DeviceName(base)
	}
	return telemetry.DeviceName(dir + "-" + base)
}

// layouts of the time column; time.Parse accepts a fraction after the seconds.
var layouts = [...]string{time.DateTime, "2006-01-02T15:04:05Z07:00", "2006-01-02T15:04:05"} //nolint:gochecknoglobals // a constant table

// Read reads a file. Errors of its content name the line and the column and wrap
// telemetry.ErrInvalid.
func Read(r io.Reader, device telemetry.DeviceName) (*File, error) {
	br := bufio.NewReader(r)
	head, err := br.Peek(4096)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	first, _, _ := strings.Cut(string(head), "\n")
	cr := csv.NewReader(br)
	cr.ReuseRecord = true
	if strings.Contains(first, ";") {
		cr.Comma = ';'
	}
	f := &File{Device: device}
	header, err := cr.Read()
	if err != nil {
		return nil, fmt.Errorf("%w: line 1: want a header line: %w", telemetry.ErrInvalid, err)
	}
	if len(header) < 2 || !strings.EqualFold(strings.TrimPrefix(strings.TrimSpace(header[0]), "\ufeff"), "datetime") {
		return nil, fmt.Errorf("%w: line 1: got header %q, want \"datetime\" and at least one more column", telemetry.ErrInvalid, header)
	}
	for _, name := range header[1:] {
		f.Columns = append(f.Columns, telemetry.MetricName(strings.TrimSpace(name)))
	}
	for {
		row, err := cr.Read()
		if errors.Is(err, io.EOF) {
			return f, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %w", telemetry.ErrInvalid, err)
		}
		line, _ := cr.FieldPos(0)
		if err := f.add(row, line); err != nil {
			return nil, err
		}
	}
}

func (f *File) add(row []string, line int) error {
	at, err := parseTime(strings.TrimSpace(row[0]))
	if err != nil {
		return fmt.Errorf("%w: line %d, column datetime: got %q, want a time such as 2020-03-09 10:14:33",
			telemetry.ErrInvalid, line, row[0])
	}
	f.Rows++
	for i, cell := range row[1:] {
		cell = strings.TrimSpace(cell)
		if cell == "" {
			f.Gaps++
			continue
		}
		v, err := strconv.ParseFloat(cell, 64)
		if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Errorf("%w: line %d, column %s: got %q, want a finite number", telemetry.ErrInvalid, line, f.Columns[i], cell)
		}
		f.Events = append(f.Events, telemetry.Event{Device: f.Device, Metric: f.Columns[i], Time: telemetry.MicrosOf(at), Value: v})
	}
	return nil
}

func parseTime(s string) (time.Time, error) {
	for _, layout := range layouts {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%w: time %q", telemetry.ErrInvalid, s)
}
