package exportfile_test

import (
	"bytes"
	"errors"
	"io"
	"math"
	"runtime"
	"testing"

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
	write(tb, w, blocks)
	return out.Bytes()
}

func csvFile(tb testing.TB, dialect exportfile.Dialect, blocks ...*readings.Block) string {
	tb.Helper()
	var out bytes.Buffer
	w, err := exportfile.NewCSV(&out, dialect)
	if err != nil {
		tb.Fatal(err)
	}
	write(tb, w, blocks)
	return out.String()
}

func write(tb testing.TB, w exportfile.Writer, blocks []*readings.Block) {
	tb.Helper()
	for _, b := range blocks {
		if err := w.Write(b); err != nil {
			tb.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
}

func TestUnknownFormat(t *testing.T) {
	if _, err := exportfile.New(io.Discard, "xls"); !errors.Is(err, telemetry.ErrInvalid) {
		t.Errorf("got %v, want telemetry.ErrInvalid", err)
	}
	if _, err := exportfile.NewCSV(io.Discard, "lotus"); !errors.Is(err, telemetry.ErrInvalid) {
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
