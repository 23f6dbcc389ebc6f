package kinesis

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/insighthub/insighthub/lib/jsonscan"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// Event is the payload of an event source mapping: records of one shard, in order.
// It is reused and not safe for concurrent use.
type Event struct {
	// Records' Data is valid until the next DecodeEvent; their strings stay valid.
	Records []telemetry.Record

	data  []byte // what the records' Data refers to
	text  []byte // keys and sequence numbers, before they become one string
	spans []span
}

// span locates a record's strings in Event.text: the partition key from key to sequence,
// the sequence number from there to end.
type span struct{ key, sequence, end int }

// DecodeEvent decodes the payload of a Kinesis event source mapping into the
// event, whose memory it reuses; nothing in the result refers to the payload.
//
// It is stricter than encoding/json: names of members are case-sensitive, a member that it
// reads may not be repeated, each record must have a partition key, a sequence number and
// data, strings that it reads must be UTF-8, and base64 must be canonical (padded, no line
// breaks, no stray bits). Members that it does not read, such as those of a tumbling
// window, must be valid JSON nested at most 64 deep. Errors wrap telemetry.ErrInvalid and
// name the byte that is not valid; the event is then empty.
//
// Memory is bounded by the payload: three quarters of its size for the data.
func DecodeEvent(payload []byte, into *Event) error {
	into.Records, into.text, into.spans = into.Records[:0], into.text[:0], into.spans[:0]
	// Three quarters of the payload hold all its decoded base64, so that the buffer
	// never moves while records refer to it.
	into.data = slices.Grow(into.data[:0], len(payload)/4*3+3)
	d := eventDecoder{Scanner: jsonscan.Scanner{Src: payload}, event: into, encoding: base64.StdEncoding.Strict()}
	if err := d.decode(); err != nil {
		into.Records = into.Records[:0]
		return fmt.Errorf("kinesis event: byte %d: %w: %w", d.Pos, telemetry.ErrInvalid, err)
	}
	text := string(into.text)
	for i, s := range into.spans {
		into.Records[i].PartitionKey = text[s.key:s.sequence]
		into.Records[i].SequenceNumber = telemetry.Sequence(text[s.sequence:s.end])
	}
	return nil
}

// errRepeated rejects a repeated member, of which encoding/json would use the last.
const errRepeated = jsonscan.Error("repeated member")

type eventDecoder struct {
	jsonscan.Scanner
	event    *Event
	encoding *base64.Encoding
}

func (d *eventDecoder) decode() error {
	found := false
	err := d.Object(func(name []byte) error {
		if string(name) != "Records" {
			return d.Skip()
		}
		if found {
			return errRepeated
		}
		found = true
		return d.Array(d.record)
	})
	if err != nil {
		return err
	}
	if !found {
		return jsonscan.Error("no member Records")
	}
	return d.End()
}

// The members of a record that are read, as bits of the set that has been seen.
const (
	seenKinesis = 1 << iota
	seenEventID
	seenARN
	seenKey
	seenSequence
	seenData
	seenArrival

	seenRequired = seenKinesis | seenKey | seenSequence | seenData
)

func (d *eventDecoder) record() error {
	e := d.event
	e.Records = append(e.Records, telemetry.Record{})
	r := &e.Records[len(e.Records)-1]
	previous := &telemetry.Record{}
	if n := len(e.Records); n > 1 {
		previous = &e.Records[n-2]
	}
	var seen int
	var key, sequence []byte
	err := d.Object(func(name []byte) error {
		var bit int
		switch string(name) {
		case "kinesis":
			bit = seenKinesis
		case "eventID":
			bit = seenEventID
		case "eventSourceARN":
			bit = seenARN
		default:
			return d.Skip()
		}
		if seen&bit != 0 {
			return errRepeated
		}
		seen |= bit
		if bit == seenKinesis {
			return d.Object(func(name []byte) error { return d.kinesis(name, r, &seen, &key, &sequence) })
		}
		v, err := d.Text()
		if err != nil {
			return err
		}
		if bit == seenARN {
			r.Stream = intern(v, previous.Stream)
			return nil
		}
		for i, c := range v {
			if c == ':' {
				r.Shard = intern(v[:i], previous.Shard)
				break
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if seen&seenRequired != seenRequired || len(sequence) == 0 {
		return jsonscan.Error("record without partitionKey, sequenceNumber or data")
	}
	s := span{key: len(e.text), sequence: len(e.text) + len(key)}
	e.text = append(append(e.text, key...), sequence...)
	s.end = len(e.text)
	e.spans = append(e.spans, s)
	return nil
}

// kinesis reads one member of a record's member "kinesis".
func (d *eventDecoder) kinesis(name []byte, r *telemetry.Record, seen *int, key, sequence *[]byte) error {
	var bit int
	var err error
	switch string(name) {
	case "data":
		bit = seenData
		r.Data, err = d.data()
	case "partitionKey":
		bit = seenKey
		*key, err = d.Text()
	case "sequenceNumber":
		bit = seenSequence
		*sequence, err = d.Text()
	case "approximateArrivalTimestamp":
		bit = seenArrival
		r.Arrival, err = d.seconds()
	default:
		return d.Skip()
	}
	if err == nil && *seen&bit != 0 {
		return errRepeated
	}
	*seen |= bit
	return err
}

// intern returns b as a string without allocating if it equals last: the records of one
// event have the same stream and shard.
func intern[S ~string](b []byte, last S) S {
	if S(b) == last {
		return last
	}
	return S(b)
}

// data reads a string of base64 and appends what it decodes to to the event's data.
func (d *eventDecoder) data() ([]byte, error) {
	start := d.Pos
	raw, err := d.Base64()
	if err != nil {
		return nil, err
	}
	if len(raw)%4 != 0 {
		d.Pos = start
		return nil, jsonscan.Error("data: not valid base64: its length is not a multiple of 4")
	}
	want := len(raw) / 4 * 3
	for i := len(raw); i > 0 && i > len(raw)-2 && raw[i-1] == '='; i-- {
		want--
	}
	from := len(d.event.data)
	out := d.event.data[from : from+len(raw)/4*3]
	n, err := d.encoding.Decode(out, raw)
	// The standard decoder skips line breaks: compare the length.
	if err != nil || n != want {
		d.Pos = start
		return nil, jsonscan.Error("data: not valid base64")
	}
	d.event.data = d.event.data[:from+n]
	return out[:n:n], nil
}

// seconds reads a time in seconds since the Unix epoch, to the microsecond.
func (d *eventDecoder) seconds() (time.Time, error) {
	raw, err := d.Number()
	if err != nil {
		return time.Time{}, err
	}
	if micros, ok := decimalMicros(raw); ok {
		return time.UnixMicro(micros).UTC(), nil
	}
	f, err := strconv.ParseFloat(string(raw), 64)
	if err != nil || math.Abs(f) > 1e11 {
		return time.Time{}, jsonscan.Error("approximateArrivalTimestamp: out of range")
	}
	return time.UnixMicro(int64(math.Round(f * 1e6))).UTC(), nil
}

// decimalMicros parses the usual form, digits and a fraction of up to six, without rounding.
func decimalMicros(raw []byte) (int64, bool) {
	if len(raw) > 18 {
		return 0, false
	}
	var n int64
	fraction := -1
	for _, c := range raw {
		switch {
		case c >= '0' && c <= '9':
			n = n*10 + int64(c-'0')
			if fraction >= 0 {
				fraction++
			}
		case c == '.' && fraction < 0:
			fraction = 0
		default:
			return 0, false
		}
	}
	if fraction > 6 {
		return 0, false
	}
	digits := len(raw)
	for i := max(fraction, 0); i < 6; i++ {
		n *= 10
		digits++
	}
	return n, digits <= 18 && n <= 1e17
}

// Response is a function's response to an event (ReportBatchItemFailures): the records to
// deliver again. Lambda continues at the lowest of them, so the first that failed is enough.
type Response struct {
	// BatchItemFailures are sequence numbers; none means that all records are processed.
	BatchItemFailures []string
}

// Encode returns the response in Lambda's format.
func (r Response) Encode() []byte {
	out := []byte(`{"batchItemFailures":[`)
	for i, id := range r.BatchItemFailures {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, `{"itemIdentifier":`...)
		quoted, _ := json.Marshal(id) //nolint:errchkjson // a string always encodes
		out = append(append(out, quoted...), '}')
	}
	return append(out, `]}`...)
}
