package shardstate

import (
	"fmt"
	"slices"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// ShardID names the shard of a state.
type ShardID = telemetry.ShardID

// Sequence is the sequence number of a record, such as a watermark.
type Sequence = telemetry.Sequence

// Fresh returns the records of a delivery that are above a watermark, each once,
// in order; sequence returns a record's sequence number. The result shares the
// memory of records if only records at their beginning or end are left out.
//
// A record may be delivered twice, alone or with those around it. A record above the
// watermark that is below its predecessor and not a duplicate violates the order of
// the shard: that is an error that wraps telemetry.ErrInvalid, since skipping it
// would lose it and folding it would reorder the shard.
func Fresh[R any](watermark Sequence, records []R, sequence func(*R) Sequence) ([]R, error) {
	last := watermark
	start, n := 0, 0 // the result is records[start:start+n] while no record in between is left out
	var out []R      // the result once one is
	for i := range records {
		s := sequence(&records[i])
		if err := s.Validate(); err != nil {
			return nil, fmt.Errorf("record %d of %d: %w", i+1, len(records), err)
		}
		switch {
		case s.Compare(last) > 0:
			last = s
			if out != nil {
				out = append(out, records[i])
				break
			}
			if n == 0 {
				start = i
			}
			if start+n != i {
				out = append(slices.Clone(records[start:start+n]), records[i])
				break
			}
			n++
		case s.Compare(watermark) <= 0:
		default:
			seen := out
			if out == nil {
				seen = records[start : start+n]
			}
			_, found := slices.BinarySearchFunc(seen, s, func(r R, s Sequence) int { return sequence(&r).Compare(s) })
			if !found {
				return nil, fmt.Errorf("record %d of %d: sequence number %s after %s: %w", i+1, len(records), s, last, telemetry.ErrInvalid)
			}
		}
	}
	if out != nil {
		return out, nil
	}
	return records[start : start+n : start+n], nil
}
