package kinesis

import "github.com/insighthub/insighthub/lib/telemetry"

// Source decodes the events of an event source mapping and encodes the responses. The zero
// value is ready to use. It reuses its memory from one invocation to the next and is not
// safe for concurrent use.
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

// Messages appends to dst the data of a record, or of each user record if it is aggregated. Errors wrap telemetry.ErrInvalid.
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

// Response encodes the response after which Lambda delivers the records from that sequence
// number on again, or none if it is empty.
func (s *Source) Response(from telemetry.Sequence) []byte {
	var response Response
	if from != "" {
		response.BatchItemFailures = append(response.BatchItemFailures, string(from))
	}
	return response.Encode()
}
