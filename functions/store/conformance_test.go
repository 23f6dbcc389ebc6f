package main

import (
	"context"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/insighthub/insighthub/lib/store"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/timescale"
	"github.com/insighthub/insighthub/lib/timescale/timescaletest"
)

// subject is an implementation of store.Writer and a function that reads what it stored.
type subject struct {
	writer   store.Writer
	contents func(*testing.T) contents
}

func TestWriterConformance(t *testing.T) {
	for name, make := range map[string]func(*testing.T) subject{
		"memory": func(*testing.T) subject {
			w := newMemoryWriter()
			return subject{w, func(*testing.T) contents { return w.contents }}
		},
		"timescale": func(t *testing.T) subject { t.Helper(); return onDatabase(t, timescale.FlavourTimescale) },
		"plain":     func(t *testing.T) subject { t.Helper(); return onDatabase(t, timescale.FlavourPlain) },
	} {
		t.Run(name, func(t *testing.T) { conformance(t, make) })
	}
}

// conformance tests the contract of store.Writer.
func conformance(t *testing.T, make func(*testing.T) subject) {
	t.Helper()
	t.Run("nothing", func(t *testing.T) {
		o, err := make(t).writer.Write(t.Context(), nil)
		if err != nil || o.Stored+o.Duplicates+o.Conflicts != 0 {
			t.Errorf("Write(nil): got %+v, %v, want no events", o, err)
		}
	})
	t.Run("invalid", func(t *testing.T) {
		b := &telemetry.Batch{Gateway: "g", Site: "s"}
		b.Append(telemetry.Event{Device: "d", Metric: "m", Time: -1 << 62})
		b.Append(telemetry.Event{Device: "d", Metric: "m", Time: 1})
		o, err := make(t).writer.Write(t.Context(), []*telemetry.Batch{{Gateway: "h", Site: "s"}, b})
		if err != nil || o.Stored != 1 || len(o.Rejected) != 1 || o.Rejected[0].Batch != 1 || o.Rejected[0].Event != 0 {
			t.Errorf("got %+v, %v, want the second event stored and the first rejected", o, err)
		}
	})
	t.Run("equals the model", func(t *testing.T) {
		s, model := make(t), newMemoryWriter()
		r := mathrand.New(mathrand.NewPCG(3, 4))
		for round := range 60 {
			batches := randomBatches(r)
			got, err := s.writer.Write(t.Context(), batches)
			if err != nil {
				t.Fatal(err)
			}
			want, _ := model.Write(t.Context(), batches)
			got.Committed = want.Committed
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("round %d: outcome differs (-want +got):\n%s", round, diff)
			}
		}
		compareContents(t, model.contents, s.contents(t))
	})
	t.Run("concurrent", func(t *testing.T) {
		s := make(t)
		r := mathrand.New(mathrand.NewPCG(5, 6))
		// Without conflicts, so that the result does not depend on which write is first.
		all, model := [][]*telemetry.Batch{}, newMemoryWriter()
		for range 24 {
			batches := randomBatches(r)
			for _, b := range batches {
				for i := range b.Value {
					b.Value[i], b.Quality[i] = float64(b.Time[i]), telemetry.Good
				}
			}
			_, _ = model.Write(t.Context(), batches)
			all = append(all, batches)
		}
		var wg sync.WaitGroup
		var mu sync.Mutex
		var stored int
		for part := range slices.Chunk(all, 6) {
			wg.Go(func() {
				for _, batches := range part {
					o, err := s.writer.Write(t.Context(), batches)
					if err != nil || o.Conflicts != 0 {
						t.Errorf("Write: got %+v, %v, want no conflicts", o, err)
					}
					mu.Lock()
					stored += o.Stored
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		if stored != len(model.stored) {
			t.Errorf("got %d events reported as stored, want %d", stored, len(model.stored))
		}
		compareContents(t, model.contents, s.contents(t))
	})
}

func compareContents(t *testing.T, want, got contents) {
	t.Helper()
	unexported := cmp.AllowUnexported(contents{}, identity{}, reading{})
	if diff := cmp.Diff(want, got, unexported); diff != "" {
		t.Errorf("contents differ (-want +got):\n%s", diff)
	}
}

// randomBatches returns batches of which many events have the same identity, over three days.
func randomBatches(r *mathrand.Rand) []*telemetry.Batch {
	const noon, day = 1795435200_000_000, 86400_000_000
	batches := make([]*telemetry.Batch, 1+r.IntN(4))
	for i := range batches {
		b := &telemetry.Batch{Gateway: telemetry.GatewayID(fmt.Sprint("g", r.IntN(3))), Site: "s", Received: noon}
		for range r.IntN(60) {
			b.Append(telemetry.Event{
				Device:  telemetry.DeviceName(fmt.Sprint("d", r.IntN(4))),
				Metric:  telemetry.MetricName(fmt.Sprint("m", r.IntN(3))),
				Time:    telemetry.Micros(noon + r.IntN(3)*day + r.IntN(50)),
				Value:   float64(r.IntN(3)),
				Quality: telemetry.Quality(r.IntN(2)),
			})
		}
		batches[i] = b
	}
	return batches
}

func onDatabase(t *testing.T, flavour timescale.Flavour) subject {
	t.Helper()
	pool, dsn := timescaletest.OpenFlavourAs(t, flavour, timescale.FunctionStore)
	return subject{writer{timescale.NewWriter(pool, timescale.WriterConfig{})}, func(t *testing.T) contents {
		t.Helper()
		return readBack(t, dsn)
	}}
}

// readBack reads all tables with psql, not with the adapter under test.
func readBack(t *testing.T, dsn string) contents {
	t.Helper()
	c := newMemoryWriter().contents
	const names = ` g.name, d.name, m.name, (extract(epoch FROM time) * 1000000)::int8, value, quality
		JOIN device d ON d.id = device_id JOIN metric m ON m.id = metric_id JOIN gateway g ON g.id = d.gateway_id`
	columns, joins, _ := strings.Cut(names, "\n")
	each := func(table string, f func(identity, reading)) {
		for line := range strings.Lines(psql(t, dsn, "SELECT"+columns+" FROM "+table+joins)) {
			var id identity
			var r reading
			_, err := fmt.Sscan(strings.ReplaceAll(line, "|", " "),
				&id.gateway, &id.device, &id.metric, &id.time, &r.value, &r.quality)
			if err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			f(id, r)
		}
	}
	each("event", func(id identity, r reading) {
		if _, twice := c.stored[id]; twice {
			t.Errorf("%v is stored twice", id)
		}
		c.stored[id] = r
	})
	each("conflict", func(id identity, r reading) { note(c.conflicts, id, r) })
	return c
}

// psql runs a statement with the command-line client, so that a fault of the adapter
// cannot hide in both the write and the check.
func psql(tb testing.TB, dsn, statement string) string {
	tb.Helper()
	program := "../../.local/timescale/bin/psql"
	if _, err := os.Stat(program); err != nil {
		program = "psql"
	}
	out, err := exec.CommandContext(context.Background(), program, dsn, "-XAtqc", statement).CombinedOutput()
	if err != nil {
		tb.Fatalf("psql: %v: %s", err, out)
	}
	return string(out)
}
