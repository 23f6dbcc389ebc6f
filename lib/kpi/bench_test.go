package kpi

import (
	"fmt"
	"testing"
	"time"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// plant is gateways of 100 series each, ten machines of ten metrics, sampled every 100 ms.
type plant struct {
	batches []*telemetry.Batch
	machine *Machine
	at      telemetry.Micros
}

const (
	benchMetrics = 10
	benchDevices = 10
	benchSamples = 10
)

func (p *plant) Machine(telemetry.GatewayID, telemetry.DeviceName) *Machine { return p.machine }

func newPlant(tb testing.TB, series int) *plant {
	tb.Helper()
	p := &plant{machine: newMachine(tb, MachineConfig{
		StateMetric: "state", CountMetric: "cycle_count", GoodMetric: "good_count", IdealCycle: time.Second,
		States: map[int]State{0: {Element: Production}, 1: {Element: Idle}, 2: {Element: Setup}, 3: {Element: Down, Reason: "fault"}},
	}), at: noon}
	metrics := []telemetry.MetricName{
		"state", "cycle_count", "good_count", "temperature", "vibration", "pressure", "motor_current", "flow", "speed", "power",
	}
	for g := range series / benchMetrics / benchDevices {
		b := &telemetry.Batch{Gateway: telemetry.GatewayID(fmt.Sprintf("gateway-%03d", g)), Site: "plant-1"}
		for sample := range benchSamples {
			for d := range benchDevices {
				for i, m := range metrics {
					v := float64((sample*7919+d*104729+i*1299709)%100000) / 1000
					if i < 3 {
						v = float64(sample / 5 * i)
					}
					b.Append(telemetry.Event{Device: telemetry.DeviceName(fmt.Sprintf("press-%02d", d)), Metric: m, Value: v})
				}
			}
		}
		p.batches = append(p.batches, b)
	}
	return p
}

// step advances the plant by a second; each gateway samples at its own times.
func (p *plant) step() {
	for g, b := range p.batches {
		first := p.at + telemetry.Micros(g*997+int(p.at/1_000_000*373)%5000)
		for i := range b.Time {
			b.Time[i] = first + telemetry.Micros(i/(benchMetrics*benchDevices))*100_000
		}
		b.Received = p.at + 950_000
	}
	p.at += second
}

func (p *plant) observe(s *Shard, emit func(*Sample)) {
	for _, b := range p.batches {
		s.Observe(b, p.at)
	}
	s.EmitClosed(emit)
}

func BenchmarkObserve(b *testing.B) {
	for _, series := range []int{100, 20_000} {
		b.Run(fmt.Sprint(series), func(b *testing.B) {
			p := newPlant(b, series)
			s := newShard(b, Config{Machines: p})
			samples := 0
			emit := func(*Sample) { samples++ }
			for range 20 {
				p.step()
				p.observe(s, emit)
			}
			b.ReportAllocs()
			var spent time.Duration
			rounds := 0
			b.ResetTimer()
			for b.Loop() {
				b.StopTimer()
				p.step()
				b.StartTimer()
				from := time.Now()
				p.observe(s, emit)
				spent += time.Since(from)
				rounds++
			}
			events := len(p.batches) * p.batches[0].Len()
			b.ReportMetric(float64(spent.Nanoseconds())/float64(rounds*events), "ns/event")
		})
	}
}

func BenchmarkSerialise(b *testing.B) {
	const series = 20_000
	p := newPlant(b, series)
	s := newShard(b, Config{Machines: p})
	for range 24 { // one window has been open for 4 s, and another waits for its lateness
		p.step()
		p.observe(s, func(*Sample) {})
	}
	state := s.AppendBinary(nil)
	b.Run("Save", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			state = s.AppendBinary(state[:0])
		}
		b.ReportMetric(float64(len(state))/series, "B/series")
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/series, "ns/series")
	})
	b.Run("Load", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := s.Decode(state); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/series, "ns/series")
	})
}

// TestStateIsSmall checks the sizes that the package's comment states, and the limit of
// 200 bytes a series.
func TestStateIsSmall(t *testing.T) {
	const series, allowed, statedMost, statedMean = 20_000, 200, 113, 77
	p := newPlant(t, series)
	s := newShard(t, Config{Machines: p})
	most, sum, n := 0, 0, 0
	for i := range 32 {
		p.step()
		p.observe(s, func(*Sample) {})
		if i < 7 { // before the first window closes
			continue
		}
		size := len(s.AppendBinary(nil))
		most, sum, n = max(most, size), sum+size, n+1
	}
	if s.Series() != series || n != 25 {
		t.Fatalf("got %d series and %d states, want %d and 25", s.Series(), n, series)
	}
	up := func(n, by int) int { return (n + by - 1) / by }
	if got := up(most, series); got != statedMost || got > allowed {
		t.Errorf("got at most %d bytes a series, want the %d of doc.go, at most %d", got, statedMost, allowed)
	}
	if got := up(sum, n*series); got != statedMean {
		t.Errorf("got %d bytes a series on average, want the %d of doc.go", got, statedMean)
	}
}

func TestObserveDoesNotAllocate(t *testing.T) {
	p := newPlant(t, 1000)
	s := newShard(t, Config{Machines: p})
	for range 30 {
		p.step()
		p.observe(s, func(*Sample) {})
	}
	allocs := testing.AllocsPerRun(50, func() {
		p.step()
		for _, b := range p.batches {
			s.Observe(b, p.at)
		}
		s.EmitClosed(func(*Sample) {})
	})
	// The few that remain are for the closed windows of machines.
	if allocs > 200 {
		t.Errorf("got %v allocations for 10,000 events, want at most 200", allocs)
	}
}
