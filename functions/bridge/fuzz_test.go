package main

import "testing"

// FuzzInvoke: whatever comes as a payload is an answer or an error.
func FuzzInvoke(f *testing.F) {
	p := newPlant(f, 1, 1, 1, noon)
	records := p.run(noon, 12)
	f.Add(payload(records))
	f.Add(payload(append(records[:1:1], record{sequence: 99, arrival: noon, data: []byte("rubbish")})))
	f.Add(payload([]record{records[3], records[1], records[1]}))
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
