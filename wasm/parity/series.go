package parity

import (
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"
)

// Series is the input of one detector or machine.
type Series struct {
	Name    string    // without blanks
	Sensors int       // 1 for a detector
	Micros  []int64   // since 1970, one for each sample
	Values  []float64 // Sensors for each sample
}

// AppendSeries appends the series in the format of its file.
func AppendSeries(dst []byte, s *Series) []byte {
	dst = binary.LittleEndian.AppendUint64(dst, uint64(s.Sensors))
	for i, micros := range s.Micros {
		dst = binary.LittleEndian.AppendUint64(dst, uint64(micros))
		for _, value := range s.Values[i*s.Sensors : (i+1)*s.Sensors] {
			dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(value))
		}
	}
	return dst
}

// ParseSeries parses the format of [AppendSeries].
func ParseSeries(name string, file []byte) (*Series, error) {
	if len(file) < 8 {
		return nil, fmt.Errorf("series %s: %d bytes, want at least 8", name, len(file))
	}
	sensors, file := binary.LittleEndian.Uint64(file), file[8:]
	if sensors < 1 || sensors > 1<<10 {
		return nil, fmt.Errorf("series %s: %d sensors", name, sensors)
	}
	row := 8 * (1 + int(sensors))
	if len(file)%row != 0 {
		return nil, fmt.Errorf("series %s: ends in the middle of a sample", name)
	}
	s := &Series{Name: name, Sensors: int(sensors)}
	for ; len(file) > 0; file = file[row:] {
		s.Micros = append(s.Micros, int64(binary.LittleEndian.Uint64(file)))
		for at := 8; at < row; at += 8 {
			s.Values = append(s.Values, math.Float64frombits(binary.LittleEndian.Uint64(file[at:])))
		}
	}
	return s, nil
}

// WriteFiles writes each series to a file with its name in the directory, which it creates.
func WriteFiles(dir string, all []*Series) error {
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // generated series are not secret
		return err
	}
	for _, s := range all {
		if err := os.WriteFile(filepath.Join(dir, s.Name), AppendSeries(nil, s), 0o644); err != nil { //nolint:gosec // nor are the files
			return err
		}
	}
	return nil
}
