package bench

import (
	"bytes"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/insighthub/insighthub/loadtest/drive"
)

func TestSearch(t *testing.T) {
	for start, want := range map[float64]float64{100: 100, 90: 99, 120: 120 * 0.88, 150: 150 * 0.88 * 0.88 * 0.88} {
		trials := 0
		got, err := search(start, func(rate float64) (bool, error) {
			trials++
			return rate <= 108, nil
		})
		if err != nil || math.Abs(got-want) > 1e-9 || trials > 4 {
			t.Errorf("from %v: got %v after %d trials, error %v; want %v", start, got, trials, err, want)
		}
	}
	if _, err := search(1, func(float64) (bool, error) { return false, os.ErrClosed }); !errors.Is(err, os.ErrClosed) {
		t.Errorf("got %v", err)
	}
}

func TestReadStored(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.log")
	lines := `{"msg":"stored","events":10,"bytes":70,"oldest":1000,"committed":3000}
{"msg":"other"}
{"msg":"stored","events":30,"bytes":150,"duplicates":2,"oldest":1000,"committed":11000}
{"msg":"stored","events":5`
	if err := os.WriteFile(path, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	var st stored
	offset, err := readStored(path, 0, &st)
	if err != nil {
		t.Fatal(err)
	}
	if st.Events != 40 || st.Bytes != 220 || st.Duplicates != 2 {
		t.Errorf("got %+v", st)
	}
	if want := (drive.Percentiles{P50: 10, P95: 10, P99: 10, Max: 10}); st.latency() != want {
		t.Errorf("got latencies %+v, want %+v", st.latency(), want)
	}
	if offset != int64(bytes.LastIndexByte([]byte(lines), '\n')+1) {
		t.Errorf("got offset %d, want the start of the unfinished line", offset)
	}
}

func TestReport(t *testing.T) {
	var r Report
	rate := func(eventsPerSecond float64) drive.Result { return drive.Result{EventsPerSecond: eventsPerSecond} }
	fixed := drive.Result{EventsPerSecond: 100_000, Ack: drive.Percentiles{P99: 7}}
	r.add(Phase{System: "pipeline", Name: "fixed", Result: fixed, Lost: 1})
	r.add(Phase{System: "pipeline", Name: "held", Result: rate(300_000), CPU: map[string]float64{"postgres": 3, "total": 4}})
	r.add(Phase{System: "yardstick", Name: "held", Result: rate(200_000), CPU: map[string]float64{"total": 8}})
	if r.RateHeld != 300_000 || r.Lost != 1 || r.Ack.P99 != 7 || r.Yardstick.RateHeld != 200_000 {
		t.Errorf("got %+v", r)
	}
	var out strings.Builder
	r.Print(&out)
	if !strings.Contains(out.String(), "1.50 × the held rate, 0.50 × the CPU time") {
		t.Errorf("got\n%s\nwant the ratios in it", out.String())
	}
	r = Report{}
	r.add(Phase{System: "pipeline", Name: "held", Result: drive.Result{EventsPerSecond: 1}, NotHeld: "late"})
	if r.RateHeld != 0 {
		t.Errorf("got held rate %v, want 0 as it was not held", r.RateHeld)
	}
}
