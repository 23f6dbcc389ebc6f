package main

import (
	"testing"

	"github.com/insighthub/insighthub/loadtest/fleet/fleettest"
)

// FuzzInvoke: whatever comes as a payload is an answer or an error.
func FuzzInvoke(f *testing.F) {
	p := fleettest.New(f, 1, 1, 1, noon)
	records := p.Run(noon, 12)
	f.Add(fleettest.Payload(records))
	f.Add(fleettest.Payload(append(records[:1:1], p.Poison(noon))))
	f.Add(fleettest.Payload([]fleettest.Record{records[3], records[1], records[1]}))
	f.Add([]byte(`{"Records":[]}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		b := newBench(t, newSink())
		for range 2 {
			answer, err := b.handler.Invoke(t.Context(), in)
			if err == nil && string(answer) != `{"batchItemFailures":[]}` {
				t.Fatalf("%s", answer)
			}
		}
	})
}
