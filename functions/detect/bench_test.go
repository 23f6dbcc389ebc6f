package main

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/insighthub/insighthub/lib/detect"
	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/lambda/metrics/metricstest"
	"github.com/insighthub/insighthub/lib/shardstate/shardstatetest"
	"github.com/insighthub/insighthub/loadtest/fleet/fleettest"
)

// countingAnomalies counts anomalies without storing them.
type countingAnomalies struct{ found int }

func (c *countingAnomalies) Add(_ context.Context, found []directory.Anomaly) (detect.AddResult, error) {
	c.found += len(found)
	return detect.AddResult{Added: len(found)}, nil
}

func (*countingAnomalies) End(context.Context, []directory.Anomaly) error { return nil }

// BenchmarkHandler runs the function without database and bus. A hundred gateways have
// ten machines each, with ten metrics at 10 Hz: 100,000 events/s of 7,000 scored series.
// An invocation has the events of as many seconds as the case says.
func BenchmarkHandler(b *testing.B) {
	for _, seconds := range []int{1, 4} {
		b.Run(fmt.Sprint("seconds=", seconds), func(b *testing.B) { benchmark(b, seconds) })
	}
}

func benchmark(b *testing.B, seconds int) {
	b.Helper()
	const gateways = 100
	p, objects, added := fleettest.New(b, gateways, 10, 10, noon), &shardstatetest.Single{}, &countingAnomalies{}
	h, registry := newHandler(b, added, &fakeBus{}, machines{}, objects)
	second := 0
	next := func() (in []byte, events int) {
		var all []fleettest.Record
		for range seconds {
			all = append(all, p.Run(noon.Add(time.Duration(second)*time.Second), 1)...)
			second++
		}
		return fleettest.Payload(all), len(all) * all[0].Batch.Len()
	}
	for range 30 {
		in, _ := next()
		if _, err := h.Invoke(b.Context(), in); err != nil {
			b.Fatal(err)
		}
	}
	events := 0
	var spent time.Duration
	names := []string{"load", "fold", "write", "save"}
	before := map[string]float64{}
	for _, name := range names {
		before[name] = metricstest.Counter(b, registry, "insighthub_detect_phase_seconds_total", name)
	}
	added.found = 0
	b.ReportAllocs()
	b.ResetTimer()
	for b.Loop() {
		b.StopTimer()
		in, n := next()
		events += n
		from := metricstest.Processor(b)
		b.StartTimer()
		if _, err := h.Invoke(b.Context(), in); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		spent += metricstest.Processor(b) - from
		b.StartTimer()
	}
	b.ReportMetric(float64(spent.Nanoseconds())/float64(events), "CPU-ns/event")
	for name, was := range before {
		seconds := metricstest.Counter(b, registry, "insighthub_detect_phase_seconds_total", name) - was
		b.ReportMetric(seconds*1e9/float64(events), name+"-ns/event")
	}
	b.ReportMetric(float64(objects.Size())/float64(gateways*70), "B/series")
	b.ReportMetric(float64(added.found)/float64(events)*1e6, "anomalies/Mevent")
}
