package shardstate

import (
	"fmt"
	"slices"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// ShardID is the stream's word, by which a state is found.
type ShardID = telemetry.ShardID

// Sequence is the stream's word, by which a watermark is given.
type Sequence = telemetry.Sequence

// Fresh returns the records of a delivery that are above a watermark, each once,
// in their order; sequence returns a record's number. The result shares the
// memory of records when what it leaves out stands at their beginning.
//
// A record may come twice, alone or with those around it. One that is above the
// watermark, below its predecessor and has not been delivered before it
// contradicts the order of a shard: an error that wraps telemetry.ErrInvalid,
// since leaving it out would lose it and taking it would reorder the shard.
func Fresh[R any](watermark Sequence, records []R, sequence func(*R) Sequence) ([]R, error) {
	last := watermark
	start, kept := 0, 0 // records[start:start+kept] while nothing was left out in between
	var out []R         // once something was
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
			if kept == 0 {
				start = i
			}
			if start+kept != i {
				out = append(slices.Clone(records[start:start+kept]), records[i])
				break
			}
			kept++
		case s.Compare(watermark) <= 0:
		default:
			seen := out
			if out == nil {
				seen = records[start : start+kept]
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
	return records[start : start+kept : start+kept], nil
}
