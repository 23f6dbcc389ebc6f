package telemetry_test

import (
	"errors"
	"testing"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// TestTickIsNoBatch expects that a tick is never taken for a batch, nor a batch for a tick.
func TestTickIsNoBatch(t *testing.T) {
	t.Parallel()
	if tick := telemetry.Tick(); !telemetry.IsTick(tick) || !telemetry.IsTick(append(tick, 1, 2, 3)) {
		t.Errorf("%q is no tick, or not with what a later version adds", tick)
	}
	decoder, err := telemetry.NewDecoder(telemetry.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	if err := decoder.Decode(telemetry.Tick(), new(telemetry.Batch)); !errors.Is(err, telemetry.ErrInvalid) {
		t.Errorf("a tick as a batch: got %v, want telemetry.ErrInvalid", err)
	}
	encoder, err := telemetry.NewEncoder(telemetry.NoCompression)
	if err != nil {
		t.Fatal(err)
	}
	b := &telemetry.Batch{}
	b.Append(telemetry.Event{Device: "d", Metric: "m", Time: 1, Value: 1})
	record, err := encoder.AppendRecord(nil, b)
	if err != nil || telemetry.IsTick(record) || telemetry.IsTick(nil) {
		t.Errorf("a batch, or nothing, is a tick: %q, %v", record, err)
	}
}
