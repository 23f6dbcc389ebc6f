package eventsource

import (
	"encoding/base64"
	"strconv"
	"time"
	"unicode/utf8"
)

// envelopeBytes is the size of the payload without its records: {"Records":[]}.
const envelopeBytes = 14

// encoder writes the events of one shard. The fields that all records of a shard share
// are encoded once.
type encoder struct {
	eventIDPrefix string // shard:
	tail          string // from eventName to the closing brace
	fixedBytes    int
}

func newEncoder(s *Settings, shard string) *encoder {
	tail := `","eventName":"aws:kinesis:record","invokeIdentityArn":` + string(appendString(nil, s.RoleARN)) +
		`,"awsRegion":` + string(appendString(nil, s.Region)) +
		`,"eventSourceARN":` + string(appendString(nil, s.StreamARN)) + `}`
	e := &encoder{eventIDPrefix: shard + ":", tail: tail}
	e.fixedBytes = len(e.appendRecord(nil, &Record{Arrival: time.UnixMilli(1_000_000_000_000)})) + 1
	return e
}

// size returns an upper bound of the payload bytes of a record, with the comma before it.
func (e *encoder) size(r *Record) int {
	n := e.fixedBytes + base64.StdEncoding.EncodedLen(len(r.Data)) + 2*len(r.SequenceNumber) + len(r.PartitionKey)
	for i := range len(r.PartitionKey) {
		if c := r.PartitionKey[i]; c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			n += 5
		}
	}
	return n
}

// appendRecord appends a record in the form of Lambda's Kinesis event.
func (e *encoder) appendRecord(dst []byte, r *Record) []byte {
	dst = append(dst, `{"kinesis":{"kinesisSchemaVersion":"1.0","partitionKey":`...)
	dst = appendString(dst, r.PartitionKey)
	dst = append(dst, `,"sequenceNumber":"`...)
	dst = append(dst, r.SequenceNumber...)
	dst = append(dst, `","data":"`...)
	dst = base64.StdEncoding.AppendEncode(dst, r.Data)
	dst = append(dst, `","approximateArrivalTimestamp":`...)
	dst = appendSeconds(dst, r.Arrival)
	dst = append(dst, `},"eventSource":"aws:kinesis","eventVersion":"1.0","eventID":"`...)
	dst = append(dst, e.eventIDPrefix...)
	dst = append(dst, r.SequenceNumber...)
	return append(dst, e.tail...)
}

// appendEvent appends the payload of an invocation.
func (e *encoder) appendEvent(dst []byte, items []item) []byte {
	dst = append(dst, `{"Records":[`...)
	for i := range items {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = e.appendRecord(dst, &items[i].record)
	}
	return append(dst, `]}`...)
}

// appendSeconds appends t in seconds since the epoch, to the millisecond.
func appendSeconds(dst []byte, t time.Time) []byte {
	ms := max(0, t.UnixMilli())
	dst = strconv.AppendInt(dst, ms/1000, 10)
	dst = append(dst, '.')
	f := ms % 1000
	return append(dst, byte('0'+f/100), byte('0'+f/10%10), byte('0'+f%10))
}

// appendString appends s as a JSON string; bytes that are not UTF-8 become U+FFFD.
func appendString(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
			i++
		case c < ' ':
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
			i++
		case c < utf8.RuneSelf:
			dst = append(dst, c)
			i++
		default:
			r, n := utf8.DecodeRuneInString(s[i:])
			dst = utf8.AppendRune(dst, r)
			i += n
		}
	}
	return append(dst, '"')
}
