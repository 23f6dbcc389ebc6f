package main

import (
	"testing"

	"github.com/insighthub/insighthub/loadtest/fleet/fleettest"
)

// FuzzInvoke: no payload makes the function panic or ask for redelivery.
func FuzzInvoke(f *testing.F) {
	p := fleettest.New(f, 1, 1, 1, noon)
	records := p.Run(noon, 12)
	f.Add(fleettest.Payload(records))
	f.Add(fleettest.Payload(append(records[:1:1], p.Poison(noon))))
	f.Add(fleettest.Payload([]fleettest.Record{records[3], records[1], records[1]}))
	f.Add([]byte(`{"Records":[]}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		fresh := newFixture(t, newSink())
		for range 2 {
			response, err := fresh.handler.Invoke(t.Context(), in)
			if err == nil && string(response) != `{"batchItemFailures":[]}` {
				t.Fatalf("got response %s, want none to retry", response)
			}
		}
	})
}
