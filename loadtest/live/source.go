package live

import (
	"context"
	"sync"
	"time"

	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/loadtest/drive"
	"github.com/insighthub/insighthub/loadtest/fleet"
)

// sink publishes what was read; it does not keep the arguments.
type sink func(b *telemetry.Batch, read []telemetry.Micros) error

// source reads the machines of a simulated gateway at a fixed rate, all of them each time, and
// hands the readings to one sink.
type source struct {
	gateway *fleet.Gateway
	start   time.Time
	every   time.Duration
	metrics []telemetry.MetricName

	cancel context.CancelFunc
	group  sync.WaitGroup

	mu   sync.Mutex
	to   sink
	sent int64          // events
	late []drive.Sample // how long after their time reads began
	err  error          // the first of the sink
}

// newSource starts a source of about the given number of events per second.
func newSource(ctx context.Context, name string, seed uint64, machines, eventsPerSecond int) (*source, error) {
	start := time.Now()
	gateways, err := fleet.New(fleet.Config{
		Prefix: name, Seed: seed, Gateways: 1, Machines: machines, Samples: 1, Horizon: 24 * time.Hour, Start: start,
	})
	if err != nil {
		return nil, err
	}
	s := &source{gateway: gateways[0], start: start}
	for _, m := range fleet.MetricNames() {
		s.metrics = append(s.metrics, telemetry.MetricName(m))
	}
	s.every = time.Duration(machines*len(s.metrics)) * time.Second / time.Duration(eventsPerSecond)
	ctx, s.cancel = context.WithCancel(ctx)
	s.group.Go(func() { s.run(ctx) })
	return s, nil
}

// direct sends to another sink from now on, or nowhere if it is nil.
func (s *source) direct(to sink) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.to, s.sent, s.late, s.err = to, 0, nil, nil
}

// end sends nowhere from now on, and returns the number of events that were sent since direct,
// how long after their time the reads began, and the first error.
func (s *source) end() (events int64, late []drive.Sample, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.to = nil
	return s.sent, s.late, s.err
}

// close ends the source and waits.
func (s *source) close() {
	s.cancel()
	s.group.Wait()
}

func (s *source) run(ctx context.Context) {
	var b telemetry.Batch
	var read []telemetry.Micros
	timer := time.NewTimer(0)
	defer timer.Stop()
	for due := time.Now(); ; due = due.Add(s.every) {
		timer.Reset(time.Until(due))
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		s.mu.Lock()
		if s.to == nil {
			s.mu.Unlock()
			continue
		}
		s.late = append(s.late, drive.Sample{Latency: time.Since(due), Weight: 1})
		b.Reset()
		read = read[:0]
		for _, m := range s.gateway.Machines {
			now := time.Now()
			at, values := telemetry.MicrosOf(now), m.Step(now.Sub(s.start))
			for i, name := range s.metrics {
				b.Append(telemetry.Event{Device: telemetry.DeviceName(m.Name()), Metric: name, Time: at, Value: values[i]})
				read = append(read, at)
			}
		}
		if err := s.to(&b, read); err != nil && s.err == nil {
			s.err = err
		}
		s.sent += int64(b.Len())
		s.mu.Unlock()
	}
}
