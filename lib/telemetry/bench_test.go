package telemetry

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// benchBatch is 10 samples of 10 metrics of 10 devices, 100 ms apart.
func benchBatch(value func(r *rand.Rand, before float64) float64) *Batch {
	r := rand.New(rand.NewPCG(1, 2))
	b := &Batch{Gateway: "gateway-1", Site: "plant-1", Trace: "Root=1-67891233-abcdef012345678912345678", Received: 1795425713200000}
	var last [100]float64
	for sample := range 10 {
		for series := range last {
			last[series] = value(r, last[series])
			b.Append(benchEvent(series, 1795425713123456+Micros(sample)*100_000, last[series]))
		}
	}
	return b
}

// irregularBatch is 1,000 changes of the same series in no order, up to 10 ms apart.
func irregularBatch(value func(r *rand.Rand, before float64) float64) *Batch {
	r := rand.New(rand.NewPCG(1, 2))
	b := benchBatch(value)
	b.Reset()
	at := Micros(1795425713123456)
	var last [100]float64
	for range 1000 {
		series := r.IntN(len(last))
		at += Micros(r.IntN(10_000))
		last[series] = value(r, last[series])
		b.Append(benchEvent(series, at, last[series]))
	}
	return b
}

func benchEvent(series int, at Micros, value float64) Event {
	return Event{
		Device: DeviceName(fmt.Sprintf("press-%02d", series/10)),
		Metric: MetricName(fmt.Sprintf("metric-%d", series%10)),
		Time:   at,
		Value:  value,
	}
}

type benchmark struct {
	name        string
	compression Compression
	batch       *Batch
}

func benchmarks() []benchmark {
	// Unrelated readings from 0 to 1000 with three decimals.
	unrelated := func(r *rand.Rand, _ float64) float64 { return float64(r.IntN(1_000_000)) / 1000 }
	// Doubles with all their digits.
	random := func(r *rand.Rand, _ float64) float64 { return r.NormFloat64() * 1000 }
	return []benchmark{
		{"Decimals", NoCompression, benchBatch(unrelated)},
		{"Walk", NoCompression, benchBatch(walk)},
		{"WalkZstd", Zstd, benchBatch(walk)},
		{"WalkIrregular", NoCompression, irregularBatch(walk)},
		{"Random", NoCompression, benchBatch(random)},
		{"RandomIrregular", NoCompression, irregularBatch(random)},
	}
}

// walk is a signal: three decimals, steps of up to half a unit.
func walk(r *rand.Rand, before float64) float64 {
	if before == 0 {
		return float64(r.IntN(100_000)) / 1000
	}
	return math.Round(before*1000+float64(r.IntN(1001)-500)) / 1000
}

func reportEvents(b *testing.B, events, recordBytes int) {
	b.Helper()
	b.ReportMetric(float64(recordBytes)/float64(events), "B/event")
	b.ReportMetric(float64(b.N)*float64(events)/b.Elapsed().Seconds()/1e6, "Mevents/s")
}

func BenchmarkEncode(b *testing.B) {
	for _, bm := range benchmarks() {
		b.Run(bm.name, func(b *testing.B) {
			e, err := NewEncoder(bm.compression)
			if err != nil {
				b.Fatal(err)
			}
			var record []byte
			b.ReportAllocs()
			for b.Loop() {
				if record, err = e.AppendRecord(record[:0], bm.batch); err != nil {
					b.Fatal(err)
				}
			}
			reportEvents(b, bm.batch.Len(), len(record))
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, bm := range benchmarks() {
		b.Run(bm.name, func(b *testing.B) {
			e, err := NewEncoder(bm.compression)
			if err != nil {
				b.Fatal(err)
			}
			record, err := e.AppendRecord(nil, bm.batch)
			if err != nil {
				b.Fatal(err)
			}
			d, err := NewDecoder(DefaultLimits())
			if err != nil {
				b.Fatal(err)
			}
			var batch Batch
			b.ReportAllocs()
			for b.Loop() {
				if err := d.Decode(record, &batch); err != nil {
					b.Fatal(err)
				}
			}
			reportEvents(b, batch.Len(), len(record))
		})
	}
}
