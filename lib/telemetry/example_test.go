package telemetry_test

import (
	"fmt"

	"github.com/insighthub/insighthub/lib/telemetry"
)

func Example() {
	encoder, err := telemetry.NewEncoder(telemetry.Zstd)
	if err != nil {
		fmt.Println(err)
		return
	}
	decoder, err := telemetry.NewDecoder(telemetry.DefaultLimits())
	if err != nil {
		fmt.Println(err)
		return
	}

	batch := &telemetry.Batch{Gateway: "gw-1", Site: "plant-1"}
	batch.Append(telemetry.Event{Device: "press-1", Metric: "temperature", Time: 1795425713123456, Value: 71.25})
	batch.Append(telemetry.Event{
		Device: "press-2", Metric: "temperature", Time: 1795425713123456, Value: 68.5, Quality: telemetry.Uncertain,
	})

	err = encoder.AppendRecords(batch, 25_000, func(record []byte) error {
		var decoded telemetry.Batch
		if err := decoder.Decode(record, &decoded); err != nil {
			return err
		}
		for i := range decoded.Len() {
			e := decoded.Event(i)
			fmt.Println(decoded.Gateway, e.Device, e.Metric, e.Time.Time(), e.Value, e.Quality)
		}
		return nil
	})
	if err != nil {
		fmt.Println(err)
	}
	// Output:
	// gw-1 press-1 temperature 2026-11-23 09:21:53.123456 +0000 UTC 71.25 good
	// gw-1 press-2 temperature 2026-11-23 09:21:53.123456 +0000 UTC 68.5 uncertain
}
