package main

import (
	"context"
	"sync"

	"github.com/insighthub/insighthub/lib/store"
	"github.com/insighthub/insighthub/lib/telemetry"
)

type identity struct {
	gateway telemetry.GatewayID
	device  telemetry.DeviceName
	metric  telemetry.MetricName
	time    telemetry.Micros
}

type reading struct {
	value   float64
	quality telemetry.Quality
}

// contents is what a writer has stored.
type contents struct {
	stored    map[identity]reading
	conflicts map[identity]map[reading]bool
}

// memoryWriter implements store.Writer over maps: the fake, and the model that the
// real one is compared with.
type memoryWriter struct {
	mu sync.Mutex
	contents
}

var _ store.Writer = (*memoryWriter)(nil)

func newMemoryWriter() *memoryWriter {
	return &memoryWriter{contents: contents{stored: map[identity]reading{}, conflicts: map[identity]map[reading]bool{}}}
}

func (w *memoryWriter) Write(_ context.Context, batches []*telemetry.Batch) (store.Outcome, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	outcome := store.Outcome{Committed: 1}
	seen := map[identity]map[reading]bool{}
	for at, b := range batches {
		for i := range b.Time {
			e := b.Event(i)
			if e.Time < -210866803200000000 {
				outcome.Rejected = append(outcome.Rejected, telemetry.RejectedEvent{Batch: at, Event: i, Reason: "time"})
				continue
			}
			id, next := identity{b.Gateway, e.Device, e.Metric, e.Time}, reading{e.Value, e.Quality}
			first, ok := w.stored[id]
			switch {
			case !ok:
				w.stored[id] = next
				outcome.Stored++
			case first == next || seen[id][next]:
				outcome.Duplicates++
			default:
				outcome.Conflicts++
				note(w.conflicts, id, next)
				note(seen, id, next)
			}
		}
	}
	return outcome, nil
}

func note(m map[identity]map[reading]bool, id identity, next reading) {
	if m[id] == nil {
		m[id] = map[reading]bool{}
	}
	m[id][next] = true
}
