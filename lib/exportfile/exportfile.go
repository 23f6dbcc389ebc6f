// Package exportfile writes readings as CSV (RFC 4180), JSON lines and Parquet. It holds at
// most one row group in memory.
//
// Every format has the same columns: device, metric, unit, time (UTC), value, quality
// (good, uncertain, bad). Times are exact to the microsecond, and values to the last bit:
// each is the shortest decimal number that parses as the same float64.
package exportfile

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
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

// New starts a file; telemetry.ErrInvalid for an unknown format.
func New(to io.Writer, format Format) (Writer, error) {
	switch format {
	case CSV:
		w := &lineWriter{out: bufio.NewWriterSize(to, bufferBytes), formatSeries: csvSeries, appendReading: appendCSV}
		_, err := w.out.WriteString("device,metric,unit,time,value,quality\r\n")
		return w, err
	case NDJSON:
		return &lineWriter{out: bufio.NewWriterSize(to, bufferBytes), formatSeries: jsonSeries, appendReading: appendJSON}, nil
	case Parquet:
		return newParquet(to), nil
	default:
		return nil, fmt.Errorf("%w: format %q", telemetry.ErrInvalid, format)
	}
}

const bufferBytes = 64 << 10

// lineWriter writes one reading per line: the columns of the series, formatted once per
// block, and then those of the reading.
type lineWriter struct {
	out           *bufio.Writer
	formatSeries  func(b *readings.Block) string
	appendReading func(line []byte, at telemetry.Micros, value float64, quality telemetry.Quality) []byte
	line          []byte
}

// Write implements Writer.
func (l *lineWriter) Write(b *readings.Block) error {
	series := l.formatSeries(b)
	for i, at := range b.Times {
		l.line = l.appendReading(append(l.line[:0], series...), at, b.Values[i], b.Quality[i])
		if _, err := l.out.Write(l.line); err != nil {
			return err
		}
	}
	return nil
}

// Close implements Writer.
func (l *lineWriter) Close() error { return l.out.Flush() }

func csvSeries(b *readings.Block) string {
	return csvField(string(b.Device)) + "," + csvField(string(b.Metric)) + "," + csvField(b.Unit) + ","
}

// csvField quotes a text that a gateway chose. Spreadsheets read a text that starts with
// =, +, -, @, tab or carriage return as a formula, even after quotes and spaces; an
// apostrophe before it prevents that (OWASP, CSV Injection).
func csvField(text string) string {
	if first := strings.TrimLeft(text, " \u00a0\ufeff\"'"); first != "" && strings.ContainsRune("=+-@\t\r＝＋－＠", []rune(first)[0]) {
		text = "'" + text
	}
	if strings.ContainsAny(text, "\",\r\n") || strings.TrimSpace(text) != text {
		return `"` + strings.ReplaceAll(text, `"`, `""`) + `"`
	}
	return text
}

func appendCSV(line []byte, at telemetry.Micros, value float64, quality telemetry.Quality) []byte {
	line = appendTime(line, at)
	line = append(line, ',')
	line = strconv.AppendFloat(line, value, 'g', -1, 64)
	line = append(line, ',')
	line = append(line, quality.String()...)
	return append(line, '\r', '\n')
}

// timeLayout is RFC 3339 without trailing zeros.
const timeLayout = "2006-01-02T15:04:05.999999Z"

func appendTime(line []byte, at telemetry.Micros) []byte {
	return time.UnixMicro(int64(at)).UTC().AppendFormat(line, timeLayout)
}

func jsonSeries(b *readings.Block) string {
	text := func(s string) string {
		raw, _ := json.Marshal(s) // a string always has a JSON form
		return string(raw)
	}
	return `{"device":` + text(string(b.Device)) + `,"metric":` + text(string(b.Metric)) + `,"unit":` + text(b.Unit) + `,"time":"`
}

func appendJSON(line []byte, at telemetry.Micros, value float64, quality telemetry.Quality) []byte {
	line = append(appendTime(line, at), `","value":`...)
	if math.IsNaN(value) || math.IsInf(value, 0) {
		line = append(line, "null"...)
	} else {
		line = strconv.AppendFloat(line, value, 'g', -1, 64)
	}
	line = append(line, `,"quality":"`...)
	line = append(line, quality.String()...)
	return append(line, '"', '}', '\n')
}
