package kinesis

import "github.com/insighthub/insighthub/lib/telemetry"

// Source is a function's side of an event source mapping: what Lambda delivers, and
// what it wants to hear. The zero value is ready; it keeps its memory from one
// invocation to the next and is not safe for concurrent use.
type Source struct {
	event  Event
	packed []UserRecord
}

// Records appends the payload's records to dst, in stream order. They are valid until
// the next call. Errors wrap telemetry.ErrInvalid.
func (s *Source) Records(dst []telemetry.Record, payload []byte) ([]telemetry.Record, error) {
	if err := DecodeEvent(payload, &s.event); err != nil {
		return dst, err
	}
	return append(dst, s.event.Records...), nil
}

// Messages appends what a record's data holds to dst: the data itself, or the
// parts of an aggregated record. Errors wrap telemetry.ErrInvalid.
func (s *Source) Messages(dst [][]byte, data []byte) ([][]byte, error) {
	var err error
	if s.packed, err = Deaggregate(s.packed[:0], data, DefaultAggregateLimits()); err != nil {
		return dst, err
	}
	for i := range s.packed {
		dst = append(dst, s.packed[i].Data)
	}
	return dst, nil
}

// Answer is the response that asks for delivery from the record with that sequence
// number on, or for none when it is empty.
func (s *Source) Answer(from telemetry.Sequence) []byte {
	var response Response
	if from != "" {
		response.BatchItemFailures = append(response.BatchItemFailures, string(from))
	}
	return response.Encode()
}
