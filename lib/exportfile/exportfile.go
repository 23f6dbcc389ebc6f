// Package exportfile writes readings as files: CSV (RFC 4180), JSON by lines, and
// Parquet. It keeps no more in memory than a row group.
//
// Every format has the same columns: device, metric, unit, time (UTC), value, quality
// (good, uncertain, bad). Times are exact to the microsecond, values to the last bit:
// as the shortest decimal number that reads back as the same.
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

// Format names one.
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
	// Write appends readings; the block is not kept.
	Write(b *readings.Block) error
	// Close writes the file's end. It does not close what is behind.
	Close() error
}

// New begins a file, or returns telemetry.ErrInvalid for a format that there is not.
func New(to io.Writer, format Format) (Writer, error) {
	switch format {
	case CSV:
		w := &lines{out: bufio.NewWriterSize(to, bufferBytes), begin: csvBegin, end: csvEnd}
		_, err := w.out.WriteString("device,metric,unit,time,value,quality\r\n")
		return w, err
	case NDJSON:
		return &lines{out: bufio.NewWriterSize(to, bufferBytes), begin: jsonBegin, end: jsonEnd}, nil
	case Parquet:
		return newParquet(to), nil
	default:
		return nil, fmt.Errorf("%w: format %q", telemetry.ErrInvalid, format)
	}
}

const bufferBytes = 64 << 10

// lines writes a reading to a line: what its series has in common, made once a block,
// then the rest.
type lines struct {
	out   *bufio.Writer
	begin func(b *readings.Block) string
	end   func(line []byte, at telemetry.Micros, value float64, quality telemetry.Quality) []byte
	line  []byte
}

// Write implements Writer.
func (l *lines) Write(b *readings.Block) error {
	begin := l.begin(b)
	for i, at := range b.Times {
		l.line = l.end(append(l.line[:0], begin...), at, b.Values[i], b.Quality[i])
		if _, err := l.out.Write(l.line); err != nil {
			return err
		}
	}
	return nil
}

// Close implements Writer.
func (l *lines) Close() error { return l.out.Flush() }

func csvBegin(b *readings.Block) string {
	return csvField(string(b.Device)) + "," + csvField(string(b.Metric)) + "," + csvField(b.Unit) + ","
}

// csvField writes a text that a gateway chose. A spreadsheet takes one that begins with
// =, +, -, @, tab or carriage return for a formula, also behind quotes and blanks: an
// apostrophe before it makes it text (OWASP, CSV Injection).
func csvField(text string) string {
	if first := strings.TrimLeft(text, " \u00a0\ufeff\"'"); first != "" && strings.ContainsRune("=+-@\t\r＝＋－＠", []rune(first)[0]) {
		text = "'" + text
	}
	if strings.ContainsAny(text, "\",\r\n") || strings.TrimSpace(text) != text {
		return `"` + strings.ReplaceAll(text, `"`, `""`) + `"`
	}
	return text
}

func csvEnd(line []byte, at telemetry.Micros, value float64, quality telemetry.Quality) []byte {
	line = appendTime(line, at)
	line = append(line, ',')
	line = strconv.AppendFloat(line, value, 'g', -1, 64)
	line = append(line, ',')
	line = append(line, quality.String()...)
	return append(line, '\r', '\n')
}

// timeForm is RFC 3339 with as many digits as a time has.
const timeForm = "2006-01-02T15:04:05.999999Z"

func appendTime(line []byte, at telemetry.Micros) []byte {
	return time.UnixMicro(int64(at)).UTC().AppendFormat(line, timeForm)
}

func jsonBegin(b *readings.Block) string {
	text := func(s string) string {
		raw, _ := json.Marshal(s) // a string always has a JSON form
		return string(raw)
	}
	return `{"device":` + text(string(b.Device)) + `,"metric":` + text(string(b.Metric)) + `,"unit":` + text(b.Unit) + `,"time":"`
}

func jsonEnd(line []byte, at telemetry.Micros, value float64, quality telemetry.Quality) []byte {
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
