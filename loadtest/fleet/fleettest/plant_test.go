package fleettest_test

import (
	"testing"
	"time"

	"github.com/insighthub/insighthub/lib/aws/kinesis"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/loadtest/fleet/fleettest"
)

// TestPlant decodes the records of a plant as a consumer does.
func TestPlant(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	p, same := fleettest.New(t, 2, 3, 4, start), fleettest.New(t, 2, 3, 4, start)
	p.Fault = 1000
	written := append(p.Run(start, 2), p.Poison(start.Add(3*time.Second)))
	sound := same.Run(start, 2)
	records, err := new(kinesis.Source).Records(nil, fleettest.Payload(written))
	if err != nil || len(records) != 2*2+1 {
		t.Fatalf("got %d records and error %v, want 5", len(records), err)
	}
	decoder, err := telemetry.NewDecoder(telemetry.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range records {
		if want := written[i]; r.SequenceNumber != want.SequenceNumber || !r.Arrival.Equal(want.Arrival) {
			t.Errorf("record %d: got %s of %v, want %s of %v", i, r.SequenceNumber, r.Arrival, want.SequenceNumber, want.Arrival)
		}
		if i > 0 && records[i-1].SequenceNumber.Compare(r.SequenceNumber) >= 0 {
			t.Errorf("record %d: got sequence number %s, want one after %s", i, r.SequenceNumber, records[i-1].SequenceNumber)
		}
		var b telemetry.Batch
		if err := decoder.Decode(r.Data, &b); err != nil {
			if written[i].Batch != nil {
				t.Error(err)
			}
			continue
		}
		if want := 3 * 4 * 10; b.Len() != want || written[i].Batch.Len() != want {
			t.Fatalf("record %d: got %d events, want %d", i, b.Len(), want)
		}
		for k := range b.Len() {
			e, want := b.Event(k), sound[i].Batch.Event(k)
			if e.Metric == "temperature" && e.Device == b.Event(0).Device {
				want.Value += 1000
			}
			if e != want {
				t.Errorf("event %d of record %d: got %+v, want %+v", k, i, e, want)
			}
		}
	}
}
