package anomaly_test

import (
	"testing"

	"github.com/insighthub/insighthub/lib/anomaly"
)

func BenchmarkPushBlock(b *testing.B) {
	micros, values := wave(4096)
	scores, flags := make([]float64, len(values)), make([]uint8, len(values))
	var d anomaly.Detector
	b.ReportAllocs()
	for b.Loop() {
		for i := range micros {
			micros[i] += 4096 * 300_000_000
		}
		d.PushBlock(micros, values, scores, flags)
	}
	b.ReportMetric(float64(b.N)*float64(len(values))/b.Elapsed().Seconds()/1e6, "Msamples/s")
}
