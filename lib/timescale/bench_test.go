package timescale

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/insighthub/insighthub/lib/telemetry"
)

func perRow(b *testing.B, rows int) {
	b.Helper()
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(rows), "ns/row")
}

// fleet are n batches of 10 devices × 10 metrics × 10 samples, each of its own gateway.
func fleet(n int) []*telemetry.Batch {
	batches := make([]*telemetry.Batch, n)
	for i := range batches {
		batches[i] = grid(telemetry.GatewayID(fmt.Sprint("gw-", i)), 10, 10, 10, noon)
	}
	return batches
}

func BenchmarkFill(b *testing.B) {
	batches := fleet(10)
	resolved := numberNames(batches)
	var t table
	b.ReportAllocs()
	for b.Loop() {
		t.fill(batches, resolved)
	}
	perRow(b, 10_000)
}

func BenchmarkCopyEncode(b *testing.B) {
	rows := make([]row, 10_000)
	for i := range rows {
		rows[i] = row{series: uint64(i / 10), time: noon + telemetry.Micros(i%10), value: float64(i)}
	}
	p := make([]byte, 65531) // what pgconn reads with
	var r copyReader
	b.ReportAllocs()
	for b.Loop() {
		r = copyReader{rows: rows}
		for {
			if _, err := r.Read(p); errors.Is(err, io.EOF) {
				break
			}
		}
	}
	perRow(b, len(rows))
}

// BenchmarkWriteReal writes into the real database and reports the processor time of its
// server, if it runs on this machine.
func BenchmarkWriteReal(b *testing.B) {
	for _, n := range []int{1, 2, 5, 10} {
		b.Run(fmt.Sprintf("batches=%d", n), func(b *testing.B) {
			pool := migrated(b, FlavourDetect)
			w := NewWriter(pool, WriterConfig{})
			batches := fleet(n)
			for _, batch := range batches { // not late, like nearly all writes
				for i := range batch.Time {
					batch.Time[i] += telemetry.MicrosOf(time.Now()) - noon
				}
			}
			step := func() {
				if _, err := w.Write(b.Context(), batches); err != nil {
					b.Fatal(err)
				}
				for _, batch := range batches {
					for i := range batch.Time {
						batch.Time[i] += 10_000_000
					}
				}
			}
			for range 20 {
				step()
			}
			before, own := serverTicks(b, pool), ownTime(b)
			for b.Loop() {
				step()
			}
			b.ReportMetric(float64((ownTime(b)-own).Nanoseconds())/float64(b.N*n*1000), "client-ns/row")
			perRow(b, n*1000)
			const ticksPerSecond = 100 // USER_HZ on Linux
			b.ReportMetric((serverTicks(b, pool)-before)/ticksPerSecond*1e9/float64(b.N*n*1000), "server-ns/row")
		})
	}
}

// ownTime is the processor time of this process.
func ownTime(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// serverTicks is the processor time of all the server's processes, 0 if it is elsewhere.
func serverTicks(b *testing.B, pool *Pool) float64 {
	b.Helper()
	backend := query[int](b, pool, "SELECT pg_backend_pid()")
	parent := statField(filepath.Join("/proc", strconv.Itoa(backend), "stat"), 3)
	files, _ := filepath.Glob("/proc/[0-9]*/stat")
	ticks := 0.0
	for _, file := range files {
		if parent != 0 && statField(file, 3) == parent {
			ticks += statField(file, 13) + statField(file, 14)
		}
	}
	return ticks
}

// statField is a field of /proc/PID/stat counted from 0 (proc(5)).
func statField(file string, n int) float64 {
	content, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(content), ") ") // the name may hold blanks
	fields := strings.Fields(rest)
	if n-2 >= len(fields) {
		return 0
	}
	value, _ := strconv.ParseFloat(fields[n-2], 64)
	return value
}
