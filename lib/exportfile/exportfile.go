// Package exportfile writes readings as CSV (RFC 4180, or a dialect for Excel), JSON lines and
// Parquet. It holds at most one row group in memory.
//
// Every format has the same columns: device, metric, unit, time (UTC), value, quality
// (good, uncertain, bad), and in each the same names, byte by byte. Times are exact to the
// microsecond and have six digits of a fraction in every row. A value is the shortest decimal
// number that parses as the same float64, with its sign if it is zero; between 1e-6 and 1e21 it
// is written without an exponent, as ECMAScript does. A reading without a value, which is NaN
// in a block, is empty in CSV and null in the others.
//
// The dialects for Excel differ where Excel does: see Dialect.
package exportfile

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"strconv"
	"time"

	"github.com/insighthub/insighthub/lib/readings"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// Format is the format of a file.
type Format string

// The formats.
const (
	CSV     Format = "csv"
	NDJSON  Format = "ndjson"
	Parquet Format = "parquet"
)

// ContentType is the media type of a format.
func (f Format) ContentType() string {
	switch f {
	case CSV:
		return "text/csv; charset=utf-8"
	case NDJSON:
		return "application/x-ndjson"
	default:
		return "application/vnd.apache.parquet"
	}
}

// Writer writes one file.
type Writer interface {
	// Write appends readings; it does not retain the block.
	Write(b *readings.Block) error
	// Close writes the end of the file. It does not close the underlying writer.
	Close() error
}

// New starts a file, of the dialect Plain if it is CSV; telemetry.ErrInvalid for an unknown
// format.
func New(to io.Writer, format Format) (Writer, error) {
	switch format {
	case CSV:
		return NewCSV(to, Plain)
	case NDJSON:
		return newLines(to, jsonSeries, appendJSON), nil
	case Parquet:
		return newParquet(to), nil
	default:
		return nil, fmt.Errorf("%w: format %q", telemetry.ErrInvalid, format)
	}
}

const bufferBytes = 64 << 10

type (
	formatSeries  func(b *readings.Block) string
	appendReading func(line []byte, at telemetry.Micros, value float64, quality telemetry.Quality) []byte
)

// lineWriter writes one reading per line: the columns of the series, formatted once per
// block, and then those of the reading.
type lineWriter struct {
	out     *bufio.Writer
	series  formatSeries
	reading appendReading
	line    []byte
}

func newLines(to io.Writer, series formatSeries, reading appendReading) *lineWriter {
	return &lineWriter{out: bufio.NewWriterSize(to, bufferBytes), series: series, reading: reading}
}

// Write implements Writer.
func (l *lineWriter) Write(b *readings.Block) error {
	series := l.series(b)
	for i, at := range b.Times {
		l.line = l.reading(append(l.line[:0], series...), at, b.Values[i], b.Quality[i])
		if _, err := l.out.Write(l.line); err != nil {
			return err
		}
	}
	return nil
}

// Close implements Writer.
func (l *lineWriter) Close() error { return l.out.Flush() }

// timeLayout is RFC 3339, the same length in every row: a reader that takes the format of a
// column from its first rows reads all of them.
const timeLayout = "2006-01-02T15:04:05.000000Z"

func appendTime(line []byte, at telemetry.Micros, layout string) []byte {
	return time.UnixMicro(int64(at)).UTC().AppendFormat(line, layout)
}

// missing reports whether a reading has no value. Only finite numbers have a form in JSON.
func missing(value float64) bool { return math.IsNaN(value) || math.IsInf(value, 0) }

// The range that is written without an exponent: that of ECMAScript's Number::toString, so
// that a file has the same digits as a page or a JSON document.
const (
	plainFrom = 1e-6
	plainTo   = 1e21
)

// appendNumber writes a finite number.
func appendNumber(line []byte, value float64) []byte {
	if size := math.Abs(value); size == 0 || size >= plainFrom && size < plainTo {
		return strconv.AppendFloat(line, value, 'f', -1, 64)
	}
	line = strconv.AppendFloat(line, value, 'e', -1, 64)
	if n := len(line); line[n-4] == 'e' && line[n-2] == '0' { // e-07 is e-7
		line[n-2] = line[n-1]
		line = line[:n-1]
	}
	return line
}
