package parity

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/insighthub/insighthub/lib/anomaly"
)

// readCSVs reads each CSV file below the directory: a header, columns separated by
// commas or semicolons, the first a UTC time. Each other column is a series, and so
// are all of a file together when there are several. A cell that holds no number is
// a missing sample.
func readCSVs(dir string) ([]*Series, error) {
	var all []*Series
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(path) != ".csv" {
			return err
		}
		relative, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		columns, err := readCSV(path)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		name := strings.NewReplacer("/", "_", " ", "_").Replace(strings.TrimSuffix(relative, ".csv"))
		for i, s := range columns {
			s.Name = fmt.Sprintf("%s_%d", name, i)
		}
		all = append(all, columns...)
		if n := min(len(columns), anomaly.MaxSensors); n > 1 {
			together := &Series{Name: name, Sensors: n, Micros: columns[0].Micros}
			for row := range together.Micros {
				for _, s := range columns[:n] {
					together.Values = append(together.Values, s.Values[row])
				}
			}
			all = append(all, together)
		}
		return nil
	})
	return all, err
}

func readCSV(path string) ([]*Series, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	reader := csv.NewReader(bytes.NewReader(text))
	reader.FieldsPerRecord = -1
	if header, _, _ := bytes.Cut(text, []byte("\n")); bytes.Contains(header, []byte(";")) {
		reader.Comma = ';'
	}
	rows, err := reader.ReadAll()
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	columns := make([]*Series, len(rows[0])-1)
	for i := range columns {
		columns[i] = &Series{Sensors: 1}
	}
	for at, row := range rows[1:] {
		micros := int64(at) * 1_000_000
		if t, err := time.Parse("2006-01-02 15:04:05", row[0]); err == nil {
			micros = t.UnixMicro()
		}
		for i, s := range columns {
			value := math.NaN()
			if i+1 < len(row) {
				if parsed, err := strconv.ParseFloat(strings.TrimSpace(row[i+1]), 64); err == nil {
					value = parsed
				}
			}
			s.Micros, s.Values = append(s.Micros, micros), append(s.Values, value)
		}
	}
	return columns, nil
}
