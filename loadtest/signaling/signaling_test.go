package signaling_test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/insighthub/insighthub/cdk/local/redis/redistest"
	"github.com/insighthub/insighthub/loadtest/drive"
	"github.com/insighthub/insighthub/loadtest/signaling"
)

func service(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "signaling")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "../../signaling").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return binary
}

// With few connections the figures mean nothing, but each must be there, and nothing may be left.
func TestMeasure(t *testing.T) {
	binary := service(t)
	for name, redis := range map[string]string{"one task": "", "two tasks": redistest.Start(t).URL()} {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			r, err := signaling.Measure(t.Context(), signaling.Config{
				Binary: binary, Redis: redis, Connections: 60, PerSite: 20, Stdout: &out,
				Rate: 400, Duration: time.Second, Settle: 100 * time.Millisecond,
			})
			if err != nil {
				t.Fatalf("%v\n%s", err, out.String())
			}
			tasks := 1
			if redis != "" {
				tasks = 2
			}
			if r.Tasks != tasks || r.Connections != 60 || r.Wanted != 60 || r.OpenFiles == 0 {
				t.Errorf("got %+v, want 60 connections to %d tasks", r, tasks)
			}
			if r.Relayed < 300 || r.RelayLost != 0 || r.RelayMS.P50 <= 0 || r.RelayMS.Max < r.RelayMS.P99 || r.RelayPerS <= 0 {
				t.Errorf("got %+v, want about 400 relayed messages, none lost, and their times", r)
			}
			if r.EmptyBytes <= 0 || r.BytesEach < r.BytesEachJoined || r.JoinMS.P50 <= 0 || r.CPUSeconds < 0 {
				t.Errorf("got %+v, want memory and times", r)
			}
			if r.GoroutinesBefore == 0 || r.GoroutinesAfter > r.GoroutinesBefore {
				t.Errorf("got %d goroutines before and %d after, want no more", r.GoroutinesBefore, r.GoroutinesAfter)
			}
		})
	}
}

func TestCheck(t *testing.T) {
	good := signaling.Result{BytesEach: 12_000, RelayMS: drive.Percentiles{P99: 4.99}, GoroutinesBefore: 12, GoroutinesAfter: 12}
	if err := good.Check(); err != nil {
		t.Errorf("got %v, want no error", err)
	}
	for want, change := range map[string]func(*signaling.Result){
		"12001 bytes a connection":            func(r *signaling.Result) { r.BytesEach++ },
		"5.00 ms at p99":                      func(r *signaling.Result) { r.RelayMS.P99 = 5 },
		"1 messages were lost":                func(r *signaling.Result) { r.RelayLost = 1 },
		"13 goroutines are left of 12 before": func(r *signaling.Result) { r.GoroutinesAfter++ },
	} {
		bad := good
		change(&bad)
		if err := bad.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got error %v, want one with %q", err, want)
		}
	}
}

func TestMeasureFailsWithoutAService(t *testing.T) {
	if _, err := signaling.Measure(t.Context(), signaling.Config{Binary: filepath.Join(t.TempDir(), "signaling")}); err == nil {
		t.Error("got no error")
	}
}
