package anomaly_test

import (
	"testing"

	"github.com/insighthub/insighthub/lib/anomaly"
)

// BenchmarkState saves and restores detectors, which lib/detect does for each series of a
// shard in each batch.
func BenchmarkState(b *testing.B) {
	micros, values := wave(4096)
	var d anomaly.Detector
	d.PushBlock(micros, values, make([]float64, len(values)), make([]uint8, len(values)))
	var m anomaly.Machine
	if err := m.Reset(8); err != nil {
		b.Fatal(err)
	}
	for i := range 1000 {
		m.Push(micros[i], values[i:i+8])
	}
	for _, one := range []struct {
		name    string
		save    func([]byte) []byte
		restore func([]byte) error
	}{{"detector", d.AppendState, new(anomaly.Detector).Restore}, {"machine", m.AppendState, new(anomaly.Machine).Restore}} {
		state := one.save(nil)
		b.Run(one.name+"/save", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				state = one.save(state[:0])
			}
		})
		b.Run(one.name+"/restore", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := one.restore(state); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
