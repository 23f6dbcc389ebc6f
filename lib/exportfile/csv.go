package exportfile

import (
	"bytes"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/insighthub/insighthub/lib/readings"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// Dialect is a form of CSV.
type Dialect string

// The dialects.
const (
	// Plain is RFC 4180: commas, decimal points, times of RFC 3339. Names are unchanged.
	Plain Dialect = "plain"
	// Excel is what Excel opens with a double click where it writes a decimal comma: with a
	// byte order mark, semicolons and decimal commas.
	Excel Dialect = "excel"
	// ExcelPoint is the same where Excel writes a decimal point: commas and decimal points.
	ExcelPoint Dialect = "excel-point"
)

// Dialects returns all of them.
func Dialects() []Dialect { return []Dialect{Plain, Excel, ExcelPoint} }

// csvForm is how a dialect is written.
type csvForm struct {
	separator, decimal byte
	timeLayout         string
	excel              bool
}

func (d Dialect) form() (csvForm, error) {
	switch d {
	case Plain:
		return csvForm{',', '.', timeLayout, false}, nil
	case Excel:
		return csvForm{';', ',', excelTime, true}, nil
	case ExcelPoint:
		return csvForm{',', '.', excelTime, true}, nil
	default:
		return csvForm{}, fmt.Errorf("%w: dialect %q of CSV", telemetry.ErrInvalid, d)
	}
}

const (
	// excelTime is the form of ISO 8601 that Excel reads as a time: without T and Z, and with the
	// milliseconds that its own formats show. The fraction has the decimal sign of the dialect;
	// the microseconds are cut off.
	excelTime = "2006-01-02 15:04:05.000"
	// byteOrderMark tells Excel that the file is UTF-8.
	byteOrderMark = "\ufeff"
)

// NewCSV starts a CSV file; telemetry.ErrInvalid for an unknown dialect.
//
// In the dialects for Excel a name that Excel would not keep as a text begins with an
// apostrophe: one that it would run as a formula, which a gateway could choose (OWASP, CSV
// Injection), and one that it would read as a number, a time or a truth value, as 0017 and
// 3-4. So names may differ there from those of the other formats and of the API. The dialect
// Plain keeps every name: an apostrophe in it would be part of the name to every other reader.
func NewCSV(to io.Writer, dialect Dialect) (Writer, error) {
	form, err := dialect.form()
	if err != nil {
		return nil, err
	}
	l := newLines(to, form.series, form.reading)
	header := strings.ReplaceAll("device,metric,unit,time,value,quality\r\n", ",", string(form.separator))
	if form.excel {
		header = byteOrderMark + header
	}
	_, err = l.out.WriteString(header)
	return l, err
}

func (f csvForm) series(b *readings.Block) string {
	separator := string(f.separator)
	return f.field(string(b.Device)) + separator + f.field(string(b.Metric)) + separator + f.field(b.Unit) + separator
}

// field quotes a text: one with a separator, a quote or the end of a line, and one with
// spaces at its ends, which some readers trim. What is quoted is the text as it is.
func (f csvForm) field(text string) string {
	if f.excel && (isFormula(text) || isNumberLike(text)) {
		text = "'" + text
	}
	if strings.ContainsAny(text, "\"\r\n"+string(f.separator)) || strings.TrimSpace(text) != text {
		return `"` + strings.ReplaceAll(text, `"`, `""`) + `"`
	}
	return text
}

// isFormula reports whether spreadsheets read a text as a formula: it starts with =, +, -, @,
// a tab or a carriage return, even after quotes and spaces, and in their wide forms.
func isFormula(text string) bool {
	first := strings.TrimLeft(text, " \u00a0\ufeff\"'")
	return first != "" && strings.ContainsRune("=+-@\t\r＝＋－＠", []rune(first)[0])
}

// numberLike matches what is left of numbers, times, fractions, percentages and sums of money
// without the words for months and halves of a day.
var numberLike = regexp.MustCompile(`^[0-9 .,:/%$€£()+-]*[0-9][0-9 .,:/%$€£()+-]*([eE][+-]?[0-9]+)?[ %€]*$`)

var timeWords = regexp.MustCompile(`(?i)jan(uary)?|feb(ruary)?|mar(ch)?|apr(il)?|may|june?|july?|aug(ust)?|sept?(ember)?|` +
	`oct(ober)?|nov(ember)?|dec(ember)?|\b[ap]m?\b`)

// isNumberLike reports whether Excel reads a text as a number, a time or a truth value, by its
// English words.
func isNumberLike(text string) bool {
	text = strings.TrimSpace(text)
	return strings.EqualFold(text, "true") || strings.EqualFold(text, "false") ||
		numberLike.MatchString(timeWords.ReplaceAllString(text, ""))
}

func (f csvForm) reading(line []byte, at telemetry.Micros, value float64, quality telemetry.Quality) []byte {
	start := len(line)
	line = appendTime(line, at, f.timeLayout)
	f.setDecimal(line[start:])
	line = append(line, f.separator)
	if !missing(value) {
		start = len(line)
		line = appendNumber(line, value)
		f.setDecimal(line[start:])
	}
	line = append(line, f.separator)
	line = append(line, quality.String()...)
	return append(line, '\r', '\n')
}

// setDecimal replaces the decimal point of a number or a time.
func (f csvForm) setDecimal(text []byte) {
	if f.decimal == '.' {
		return
	}
	if i := bytes.IndexByte(text, '.'); i >= 0 {
		text[i] = f.decimal
	}
}
