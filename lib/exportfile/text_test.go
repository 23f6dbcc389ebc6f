package exportfile_test

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/insighthub/insighthub/lib/exportfile"
	"github.com/insighthub/insighthub/lib/readings"
	"github.com/insighthub/insighthub/lib/telemetry"
)

const layout = "2006-01-02T15:04:05.000000Z"

// row is a reading in any format; a value is text, empty if it is missing.
type row struct{ Device, Metric, Unit, Time, Value, Quality string }

func TestCSV(t *testing.T) {
	t.Parallel()
	const want = "device,metric,unit,time,value,quality\r\n" +
		"press,\"t,\"\"1\"\"\",Cel,2026-11-23T12:00:00.000000Z,0.1,good\r\n" +
		"press,\"t,\"\"1\"\"\",Cel,2026-11-23T12:00:00.250001Z,-1e+300,uncertain\r\n" +
		"press,\"t,\"\"1\"\"\",Cel,2026-11-23T12:00:00.500002Z,,bad\r\n" +
		"press,\"t,\"\"1\"\"\",Cel,2026-11-23T12:00:00.750003Z,1234567,good\r\n"
	got := csvFile(t, exportfile.Plain, block("press", `t,"1"`, "Cel", 0.1, -1e300, math.NaN(), 1234567))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("file differs (-want +got):\n%s", diff)
	}
}

func TestCSVForExcel(t *testing.T) {
	t.Parallel()
	b := block("press;1,2", "=t", "Cel", 0.1, -1e300, math.NaN(), 1234567.25)
	for dialect, want := range map[exportfile.Dialect]string{
		exportfile.Excel: "\ufeffdevice;metric;unit;time;value;quality\r\n" +
			"\"press;1,2\";'=t;Cel;2026-11-23 12:00:00,000;0,1;good\r\n" +
			"\"press;1,2\";'=t;Cel;2026-11-23 12:00:00,250;-1e+300;uncertain\r\n" +
			"\"press;1,2\";'=t;Cel;2026-11-23 12:00:00,500;;bad\r\n" +
			"\"press;1,2\";'=t;Cel;2026-11-23 12:00:00,750;1234567,25;good\r\n",
		exportfile.ExcelPoint: "\ufeffdevice,metric,unit,time,value,quality\r\n" +
			"\"press;1,2\",'=t,Cel,2026-11-23 12:00:00.000,0.1,good\r\n" +
			"\"press;1,2\",'=t,Cel,2026-11-23 12:00:00.250,-1e+300,uncertain\r\n" +
			"\"press;1,2\",'=t,Cel,2026-11-23 12:00:00.500,,bad\r\n" +
			"\"press;1,2\",'=t,Cel,2026-11-23 12:00:00.750,1234567.25,good\r\n",
	} {
		if diff := cmp.Diff(want, csvFile(t, dialect, b)); diff != "" {
			t.Errorf("%s differs (-want +got):\n%s", dialect, diff)
		}
	}
}

// TestExcelKeepsNames checks which names Excel would not keep as they are: formulas, of which
// none may be in a file, and what it reads as a number, a time or a truth value.
func TestExcelKeepsNames(t *testing.T) {
	t.Parallel()
	guarded := []string{
		"=1+1", "+1", "-1", "@SUM(A1)", ` =cmd|' /C calc'!A0`, `"=1+1"`, `'=1`, "＝1", "\u00a0=1", "-", "+",
		`=HYPERLINK("http://x?"&A1;"y")`,
		"0017", "12345678901234567890", "3-4", "1/2", "1 1/2", "1e5", "1E+05", "1,5", "1.234,5", "5%", "$5", "(5)", "7 €", " 42 ",
		"12:30", "12:30 PM", "2026-11-23", "MAR1", "5-Sep", "2 Jan 2026", "TRUE", "false",
	}
	kept := []string{
		"press-1", "press", `x","=1`, "", "3D-printer", "M8x20", "A1", "März 1", "mayor", "true story", "%", "°C", "e5", "17a", `"`, ",",
		"a=b", "10.0.0.1:502/x",
	}
	for i, name := range slices.Concat(guarded, kept) {
		for _, dialect := range []exportfile.Dialect{exportfile.Excel, exportfile.ExcelPoint} {
			want := name
			if i < len(guarded) {
				want = "'" + name
			}
			text := strings.TrimPrefix(csvFile(t, dialect, block(name, name, name, 1)), "\ufeff")
			reader := csv.NewReader(strings.NewReader(text))
			if dialect == exportfile.Excel {
				reader.Comma = ';'
			}
			rows, err := reader.ReadAll()
			if err != nil || len(rows) != 2 || !cmp.Equal(rows[1][:3], []string{want, want, want}) {
				t.Errorf("%s: name %q: got %q, %v; want %q", dialect, name, rows, err, want)
			}
		}
	}
}

// TestNames: a name is the same in every format, byte by byte, whatever needs quoting.
func TestNames(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		name := rapid.OneOf(
			rapid.SampledFrom([]string{
				"-1", "=1", "+", "@", "0017", "a,b", `"`, `""`, `a"b`, " a", "a ", "\u00a0", "Halle/Süd", "Halle/Su\u0308d", "温度", "😀",
				"<&>", "a;b", "'", "'=1", "\u2028", "\ufeff", `\`, `\n`, "a\nb", "\r", "a\r\nb", "null", "NaN", "true",
			}),
			rapid.StringN(0, 12, 64),
		).Draw(rt, "name")
		b := block(name, name, name, 1)
		want := row{name, name, name, "2026-11-23T12:00:00.000000Z", "1", "good"}
		for format, got := range map[string][]row{
			"csv":     csvRows(t, csvFile(t, exportfile.Plain, b)),
			"ndjson":  jsonRows(t, file(t, exportfile.NDJSON, b)),
			"parquet": parquetRows(t, file(t, exportfile.Parquet, b)),
		} {
			expected := want
			if format == "csv" { // the reader, not the file, makes \n of \r\n (package csv)
				expected.Device = strings.ReplaceAll(name, "\r\n", "\n")
				expected.Metric, expected.Unit = expected.Device, expected.Device
			}
			if diff := cmp.Diff([]row{expected}, got); diff != "" {
				rt.Errorf("%s: rows differ (-want +got):\n%s", format, diff)
			}
		}
	})
}

// TestJSONIsNotHTML: <, > and & are themselves.
func TestJSONIsNotHTML(t *testing.T) {
	t.Parallel()
	const want = `{"device":"a<b>&c","metric":"m","unit":"ü","time":"2026-11-23T12:00:00.000000Z","value":1,"quality":"good"}` + "\n"
	if got := string(file(t, exportfile.NDJSON, block("a<b>&c", "m", "ü", 1))); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestNumbers pins the form of numbers.
func TestNumbers(t *testing.T) {
	t.Parallel()
	for want, value := range map[string]float64{
		"0": 0, "-0": math.Copysign(0, -1), "1234567": 1.234567e6, "123456789": 123456789, "0.1": 0.1, "-71.25": -71.25,
		"0.000001": 1e-6, "0.0000012345": 1.2345e-6, "9.99e-7": 9.99e-7, "1e-7": 1e-7, "-1.5e-8": -1.5e-8, "1e-10": 1e-10,
		"100000000000000000000": 1e20, "999999999999999900000": 999999999999999900000, "1e+21": 1e21, "1.5e+22": 1.5e22, "1e+100": 1e100,
		"5e-324": 5e-324, "1.7976931348623157e+308": math.MaxFloat64, "9007199254740992": 1 << 53,
		"0.30000000000000004": 0.30000000000000004,
		"":                    math.NaN(),
	} {
		b := block("d", "m", "", value)
		for format, rows := range map[string][]row{
			"csv": csvRows(t, csvFile(t, exportfile.Plain, b)), "ndjson": jsonRows(t, file(t, exportfile.NDJSON, b)),
		} {
			if rows[0].Value != want {
				t.Errorf("%s: got %q for %v, want %q", format, rows[0].Value, value, want)
			}
		}
	}
	for _, value := range []float64{math.Inf(1), math.Inf(-1)} {
		b := block("d", "m", "", value)
		if c, j, p := csvRows(t, csvFile(t, exportfile.Plain, b)), jsonRows(t, file(t, exportfile.NDJSON, b)),
			parquetRows(t, file(t, exportfile.Parquet, b)); c[0].Value+j[0].Value+p[0].Value != "" {
			t.Errorf("got %v, %v and %v for %v, want no value", c, j, p, value)
		}
	}
}

// TestSameFigures writes random readings in every format: the times, the values to the last
// bit and the qualities that are read back are those that were written.
func TestSameFigures(t *testing.T) {
	t.Parallel()
	form := regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$`)
	const year10000, year2262 = 253402300800_000_000, 9223372036_854_775
	times := rapid.OneOf(
		rapid.Int64Range(0, year10000-1), rapid.SampledFrom([]int64{0, 1, 999_999, 1_000_000, year2262, year2262 + 1, year10000 - 1}),
	)
	whole := rapid.Map(rapid.Int64Range(-1<<53, 1<<53), func(i int64) float64 { return float64(i) })
	values := rapid.OneOf(rapid.Float64(), rapid.Map(rapid.Uint64(), math.Float64frombits), whole)
	rapid.Check(t, func(rt *rapid.T) {
		b := &readings.Block{Device: "d", Metric: "m", Unit: "Cel"}
		var want []row
		for range rapid.IntRange(0, 20).Draw(rt, "rows") {
			at := times.Draw(rt, "time")
			value := values.Draw(rt, "value")
			quality := telemetry.Quality(rapid.IntRange(0, 2).Draw(rt, "quality"))
			b.Times, b.Values, b.Quality = append(b.Times, telemetry.Micros(at)), append(b.Values, value), append(b.Quality, quality)
			want = append(want, row{
				"d", "m", "Cel", time.UnixMicro(at).UTC().Format(layout), bits(value), quality.String(),
			})
		}
		for format, got := range map[string][]row{
			"csv": csvRows(t, csvFile(t, exportfile.Plain, b)), "ndjson": jsonRows(t, file(t, exportfile.NDJSON, b)),
			"parquet": parquetRows(t, file(t, exportfile.Parquet, b)),
		} {
			for i := range got {
				if !form.MatchString(got[i].Time) {
					rt.Errorf("%s: got the time %s", format, got[i].Time)
				}
				if got[i].Value != "" {
					parsed, err := strconv.ParseFloat(got[i].Value, 64)
					if err != nil {
						rt.Error(err)
					}
					got[i].Value = bits(parsed)
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				rt.Errorf("%s: rows differ (-want +got):\n%s", format, diff)
			}
		}
	})
}

// bits tells -0 from 0; no number is a missing value.
func bits(v float64) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return ""
	}
	return fmt.Sprintf("%x", math.Float64bits(v))
}

func csvRows(t *testing.T, text string) (rows []row) {
	t.Helper()
	fields, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	for _, f := range fields[1:] {
		rows = append(rows, row{f[0], f[1], f[2], f[3], f[4], f[5]})
	}
	return rows
}

func jsonRows(t *testing.T, raw []byte) (rows []row) {
	t.Helper()
	for line := range strings.Lines(string(raw)) {
		var r struct {
			Device, Metric, Unit, Time, Quality string
			Value                               *json.Number
		}
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		var value string
		if r.Value != nil {
			value = r.Value.String()
		}
		rows = append(rows, row{r.Device, r.Metric, r.Unit, r.Time, value, r.Quality})
	}
	return rows
}
