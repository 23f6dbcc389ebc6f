package main

import (
	"bytes"
	"context"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/insighthub/insighthub/lib/detect"
	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// quick is a store of objects that costs nothing but a copy.
type quick struct {
	body []byte
	n    int
}

func (q *quick) tag() string { return fmt.Sprint(q.n) }

func (q *quick) GetTagged(_ context.Context, _, known string) ([]byte, string, error) {
	if q.n == 0 {
		return nil, "", telemetry.ErrNotFound
	}
	if known == q.tag() {
		return nil, known, nil
	}
	return bytes.Clone(q.body), q.tag(), nil
}

func (q *quick) PutIf(_ context.Context, _ string, body []byte, _ string) (string, error) {
	q.n++
	q.body = append(q.body[:0], body...)
	return q.tag(), nil
}

// nowhere keeps nothing.
type nowhere struct{ found int }

func (n *nowhere) Add(_ context.Context, found []directory.Anomaly) (detect.Kept, error) {
	n.found += len(found)
	return detect.Kept{Added: len(found)}, nil
}

// processor is the time that the process has spent, of all threads.
func processor(tb testing.TB) time.Duration {
	tb.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func phase(tb testing.TB, registry *prometheus.Registry, name string) float64 {
	tb.Helper()
	families, err := registry.Gather()
	if err != nil {
		tb.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "insighthub_detect_phase_seconds_total" && m.GetLabel()[0].GetValue() == name {
				return m.GetCounter().GetValue()
			}
		}
	}
	return 0
}

// BenchmarkHandler is the function without database and bus, at 10 Hz of each of
// ten metrics of ten machines behind each of a hundred gateways: 100,000 events/s of
// 7,000 scored series. An invocation has one second of them, or as many as the
// case says.
func BenchmarkHandler(b *testing.B) {
	for _, seconds := range []int{1, 4} {
		b.Run(fmt.Sprint("seconds=", seconds), func(b *testing.B) { benchmark(b, seconds) })
	}
}

func benchmark(b *testing.B, seconds int) {
	b.Helper()
	const gateways = 100
	p, objects, kept := newPlant(b, gateways, 10, 10), &quick{}, &nowhere{}
	h, registry := newHandler(b, kept, &posted{}, machines{}, objects)
	second := 0
	next := func() (in []byte, events int) {
		var all []record
		for range seconds {
			all = append(all, p.second(second)...)
			second++
		}
		return payload(all), len(all) * all[0].batch.Len()
	}
	for range 30 {
		in, _ := next()
		if _, err := h.Invoke(b.Context(), in); err != nil {
			b.Fatal(err)
		}
	}
	events := 0
	var spent time.Duration
	names := []string{"load", "fold", "keep", "save"}
	before := map[string]float64{}
	for _, name := range names {
		before[name] = phase(b, registry, name)
	}
	kept.found = 0
	b.ReportAllocs()
	b.ResetTimer()
	for b.Loop() {
		b.StopTimer()
		in, n := next()
		events += n
		from := processor(b)
		b.StartTimer()
		if _, err := h.Invoke(b.Context(), in); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		spent += processor(b) - from
		b.StartTimer()
	}
	b.ReportMetric(float64(spent.Nanoseconds())/float64(events), "CPU-ns/event")
	for name, was := range before {
		b.ReportMetric((phase(b, registry, name)-was)*1e9/float64(events), name+"-ns/event")
	}
	b.ReportMetric(float64(len(objects.body))/float64(gateways*70), "B/series")
	b.ReportMetric(float64(kept.found)/float64(events)*1e6, "anomalies/Mevent")
}
