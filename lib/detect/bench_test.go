package detect

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/insighthub/insighthub/lib/anomaly"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// shardOf returns a state of 20,000 series with events of so many hours.
func shardOf(hours int) *State {
	random := rand.New(rand.NewPCG(1, 2))
	s := newState(Limits{}.withDefaults())
	s.clock = start
	for g := range 20 {
		gw := &gateway{name: telemetry.GatewayID(fmt.Sprintf("gw-%03d", g)), site: "plant"}
		for m := range 100 {
			d := &device{name: telemetry.DeviceName(fmt.Sprintf("press-%03d", m))}
			for k := range 10 {
				metric := telemetry.MetricName(fmt.Sprintf("metric_%02d", k))
				sr := &series{gateway: gw, device: d, metric: metric, detector: new(anomaly.Detector)}
				for h := range 30 * hours {
					at := start + telemetry.Micros(h)*120*second
					sr.value = random.NormFloat64()
					sr.detector.Push(int64(at), sr.value)
					sr.newest, sr.arrival, sr.valueAt, sr.valued = at, at, at, true
				}
				d.series = append(d.series, sr)
			}
			gw.devices = append(gw.devices, d)
			gw.series += 10
		}
		s.add(gw)
	}
	return s
}

// BenchmarkSave encodes, decodes and compresses the state of 20,000 series.
func BenchmarkSave(b *testing.B) {
	for _, c := range []struct {
		name  string
		hours int
	}{{"hour", 1}, {"day", 24}, {"fortnight", 24 * 14}} {
		s := shardOf(c.hours)
		encoded := s.append(nil)
		b.Run("encode/"+c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				encoded = s.append(encoded[:0])
			}
			b.ReportMetric(float64(len(encoded))/float64(s.series), "B/series")
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(s.series), "ns/series")
		})
		b.Run("decode/"+c.name, func(b *testing.B) {
			for b.Loop() {
				if err := newState(s.limits).decode(encoded); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(s.series), "ns/series")
		})
		b.Run("zstd/"+c.name, func(b *testing.B) {
			w, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
			if err != nil {
				b.Fatal(err)
			}
			var out []byte
			for b.Loop() {
				out = w.EncodeAll(encoded, out[:0])
			}
			b.ReportMetric(float64(len(out))/float64(s.series), "B/series")
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(s.series), "ns/series")
		})
	}
}

// BenchmarkObserve folds batches of 1,000 events into the state: of 10 machines with 10
// metrics each, 3 of them unscored.
func BenchmarkObserve(b *testing.B) {
	random := rand.New(rand.NewPCG(3, 4))
	s := newState(Limits{}.withDefaults())
	s.configure(newFixture(b, &testStream{}).config.Settings.current)
	f := &folder{state: s}
	events := &telemetry.Batch{Gateway: "a", Site: "plant"}
	metrics := []string{"a", "b", "c", "d", "e", "f", "g", "state", "cycle_count", "good_count"}
	values := make([]float64, 1<<16)
	for i := range values {
		values[i] = random.NormFloat64()
	}
	for i := range telemetry.Micros(10) {
		for d := range 10 {
			for _, m := range metrics {
				events.Append(event(fmt.Sprint("press-", d), m, start+i*second/10, 0))
			}
		}
	}
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		for i := range events.Time {
			events.Time[i] += second
			events.Value[i] = values[(n*1000+i)*7%len(values)]
		}
		n++
		f.found = f.found[:0]
		f.observe(events, events.Time[999])
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/event")
}
