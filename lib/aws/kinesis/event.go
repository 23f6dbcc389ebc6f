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

// Event is what Lambda delivers from a stream: records of one shard, in their order.
// It is reused and not safe for concurrent use.
type Event struct {
	// Records' Data is valid until the Event is decoded into again; their strings stay valid.
	Records []telemetry.Record

	data  []byte // what the records' Data refers to
	text  []byte // keys and sequence numbers, before they become one string
	spans []span
}

// span holds the bounds of a record's strings within Event.text: the partition
// key from key to sequence, the sequence number from there to end.
type span struct{ key, sequence, end int }

// DecodeEvent decodes the payload of a Kinesis event source mapping into the
// event, whose memory it reuses; nothing in the result refers to the payload.
//
// It is stricter than encoding/json: the names of members are case-sensitive, a
// member that it reads may not occur twice, each record must have a partition
// key, a sequence number and data, strings that it reads must be UTF-8, and base64 must be
// canonical (padded, no line breaks, no stray bits). Members that it does not
// read, those of a tumbling window among them, must be well-formed JSON nested
// at most 64 deep. Errors wrap telemetry.ErrInvalid and name the byte at which
// the payload is wrong; the event is then empty.
//
// Memory is bounded by the payload: three quarters of its size for the data.
func DecodeEvent(payload []byte, into *Event) error {
	into.Records, into.text, into.spans = into.Records[:0], into.text[:0], into.spans[:0]
	// All base64 in the payload fits into three quarters of it, so that the
	// buffer never moves while records refer to it.
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

// errRepeated rejects what encoding/json would let the last one win.
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

// The members of a record that are read, as bits of what has been seen.
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

// kinesis reads one member of a record's member of that name.
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

// intern returns b as a string, which is last if they are equal: records of one
// event repeat their stream and their shard.
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
	// The standard decoder passes over line breaks, which shows in the length.
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

// Response is a function's answer: the records that are to be delivered again.
// Lambda starts again at the lowest of them, so the first that failed is enough.
type Response struct {
	// BatchItemFailures are sequence numbers; none means that all is done.
	BatchItemFailures []string
}

// Encode returns the answer as Lambda wants it.
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
