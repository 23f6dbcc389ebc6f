package shardstate

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// ShardID names a shard of the stream, such as shardId-000000000006.
type ShardID string

// Sequence is a sequence number of a shard: a decimal number of up to 129
// digits without leading zeros (Kinesis API reference, SequenceNumber), compared
// by its value. The empty one stands before all others.
type Sequence string

const maxSequenceDigits = 129

// Compare returns -1, 0 or 1 as s is less than, equal to or greater than other.
// Both must be valid.
func (s Sequence) Compare(other Sequence) int {
	return cmp.Or(cmp.Compare(len(s), len(other)), strings.Compare(string(s), string(other)))
}

// Validate returns an error that wraps telemetry.ErrInvalid unless s is a
// sequence number; the empty one is not.
func (s Sequence) Validate() error {
	switch {
	case s == "":
		return fmt.Errorf("sequence number: empty: %w", telemetry.ErrInvalid)
	case len(s) > maxSequenceDigits:
		return fmt.Errorf("sequence number: %d digits, more than %d: %w", len(s), maxSequenceDigits, telemetry.ErrInvalid)
	case s[0] == '0' && len(s) > 1:
		return fmt.Errorf("sequence number %q: leading zero: %w", s, telemetry.ErrInvalid)
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return fmt.Errorf("sequence number %q: not a decimal number: %w", s, telemetry.ErrInvalid)
		}
	}
	return nil
}

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
