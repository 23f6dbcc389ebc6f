package telemetry

import (
	"errors"
	"fmt"
	"strings"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/encoding/protowire"
)

// Limits bounds what a Decoder accepts, and so its memory. Each is at least 1.
type Limits struct {
	RecordBytes   int // of a record
	InflatedBytes int // of the message after decompression, and of the zstd window
	Events        int // of a batch
	Names         int // of each dictionary: devices, metrics
}

// DefaultLimits accepts any record of an Encoder up to 1 MiB: 4 MiB decompressed are
// enough for MaxBatchEvents events, each with names of the maximum length.
func DefaultLimits() Limits {
	return Limits{RecordBytes: 1 << 20, InflatedBytes: 4 << 20, Events: MaxBatchEvents, Names: MaxBatchEvents}
}

// Decoder decodes records. Reuse it: it retains memory for the largest record so far,
// within its Limits, and caches names, so that similar records are decoded without
// allocations. It is not safe for concurrent use.
type Decoder struct {
	limits Limits
	zstd   *zstd.Decoder
	plain  []byte
	names  internTable
	trace  string // the last one: consecutive records often share it

	badNames []badName
	rejected []RejectedEvent

	columns [fieldCount]column
	series  []series
	event   []int64 // the series of each event
	scales  []uint8
	state   []seriesState
}

// NewDecoder returns a Decoder with the limits l. The error wraps ErrInvalid if a limit is
// below 1.
func NewDecoder(l Limits) (*Decoder, error) {
	if min(l.RecordBytes, l.InflatedBytes, l.Events, l.Names) < 1 {
		return nil, fmt.Errorf("%w: limits: want at least 1 of each, have %+v", ErrInvalid, l)
	}
	z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(uint64(l.InflatedBytes)))
	if err != nil {
		return nil, fmt.Errorf("zstd decoder: %w", err)
	}
	return &Decoder{limits: l, zstd: z}, nil
}

// Decode resets into and fills it from record, to which into does not refer afterwards.
// The error wraps ErrInvalid and says what is wrong and where; into is then empty. A
// decoded batch has at least one event; gateway, site and trace may be empty. Values and
// times are not validated. A dictionary may contain names that no event uses. Events whose
// names are not valid are left out, see Rejected.
func (d *Decoder) Decode(record []byte, into *Batch) error {
	into.Reset()
	d.badNames, d.rejected = d.badNames[:0], nil
	err := d.decode(record, into)
	for i := range d.columns {
		d.columns[i].reset()
	}
	if err != nil {
		into.Reset()
	}
	return err
}

// invalid returns an error that wraps ErrInvalid.
func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: record: %s", ErrInvalid, fmt.Sprintf(format, args...))
}

func (d *Decoder) decode(record []byte, into *Batch) error {
	message, err := d.open(record)
	if err != nil {
		return err
	}
	d.names.begin()
	if err := d.walk(message, into); err != nil {
		return err
	}
	err = d.fill(into)
	if len(d.badNames) == 0 {
		return err
	}
	if err == nil {
		d.rejectBadNames(into)
	}
	if err != nil || into.Len() == 0 {
		d.rejected = nil
		return recordError(d.badNames[0].field, d.badNames[0].err)
	}
	return nil
}

// aggregateMagic are the first bytes of the KPL's aggregated records. lib/aws/kinesis unpacks
// them; inside another one, and in the body of a request, they are an error to be named.
const aggregateMagic = "\xF3\x89\x9A\xC2"

// open checks the header and returns the message.
func (d *Decoder) open(record []byte) ([]byte, error) {
	if len(record) > d.limits.RecordBytes {
		return nil, invalid("want at most %d bytes, have %d", d.limits.RecordBytes, len(record))
	}
	if len(record) < headerBytes {
		return nil, invalid("want a version and a flags byte, have %d bytes", len(record))
	}
	if record[0] != Version {
		if strings.HasPrefix(string(record), aggregateMagic) {
			return nil, invalid("aggregated by the Kinesis Producer Library, in a place where a single record is expected")
		}
		return nil, invalid("version: want %d, have %d", Version, record[0])
	}
	if unknown := record[1] &^ knownFlags; unknown != 0 {
		return nil, invalid("flags: unknown bits %#02x in %#02x", unknown, record[1])
	}
	message, err := checked(record)
	if err != nil {
		return nil, err
	}
	if record[1]&flagZstd != 0 {
		plain, err := d.zstd.DecodeAll(message, d.plain[:0])
		if cap(plain) > cap(d.plain) {
			d.plain = plain[:0]
		}
		switch {
		case errors.Is(err, zstd.ErrDecoderSizeExceeded), errors.Is(err, zstd.ErrWindowSizeExceeded):
			return nil, invalid("zstd: decompresses to more than %d bytes", d.limits.InflatedBytes)
		case err != nil:
			return nil, invalid("zstd: %v", err)
		}
		message = plain
	}
	if len(message) > d.limits.InflatedBytes {
		return nil, invalid("message: want at most %d bytes, have %d", d.limits.InflatedBytes, len(message))
	}
	return message, nil
}

// walk reads the message's fields: the header and the dictionaries into b, the
// columns as slices of the message.
func (d *Decoder) walk(message []byte, b *Batch) error {
	for at := 0; at < len(message); {
		number, wire, n := protowire.ConsumeTag(message[at:])
		if n < 0 {
			return invalid("byte %d: tag: %v", at, protowire.ParseError(n))
		}
		value := message[at+n:]
		size := protowire.ConsumeFieldValue(number, wire, value)
		if size < 0 {
			return invalid("byte %d: field %d: %v", at, number, protowire.ParseError(size))
		}
		if number < protowire.Number(fieldCount) {
			if err := d.field(field(number), wire, value[:size], b); err != nil {
				return err
			}
		}
		at += n + size
	}
	return nil
}

// field reads one field; value is its whole encoding after the tag.
func (d *Decoder) field(f field, wire protowire.Type, value []byte, b *Batch) (err error) {
	switch f {
	case fieldReceived:
		if wire != protowire.VarintType {
			return wrongType(f, wire)
		}
		v, _ := protowire.ConsumeVarint(value)
		b.Received = Micros(v)
		return nil
	case fieldGateway, fieldSite, fieldTrace, fieldDevices, fieldMetrics:
		if wire != protowire.BytesType {
			return wrongType(f, wire)
		}
		text, _ := protowire.ConsumeBytes(value)
		return d.text(f, text, b)
	default:
		return d.columns[f].add(f, wire, value)
	}
}

func wrongType(f field, wire protowire.Type) error {
	return invalid("%s: unexpected wire type %d", f, wire)
}

// text reads a string field. Gateway, site and trace may be empty.
func (d *Decoder) text(f field, text []byte, b *Batch) error {
	if f == fieldTrace {
		return d.setTrace(text, b)
	}
	if len(text) == 0 && f == fieldGateway {
		b.Gateway = ""
		return nil
	}
	if len(text) == 0 && f == fieldSite {
		b.Site = ""
		return nil
	}
	name, err := d.names.intern(text)
	switch {
	case err == nil:
	case f == fieldDevices || f == fieldMetrics:
		return d.addBadName(f, b, err)
	default:
		return recordError(f, err)
	}
	switch f {
	case fieldGateway:
		b.Gateway = GatewayID(name.text)
	case fieldSite:
		b.Site = SiteID(name.text)
	case fieldDevices:
		if err := d.newEntry(f, len(b.Devices), &name.device); err != nil {
			return err
		}
		b.Devices = append(b.Devices, DeviceName(name.text))
	default: // fieldMetrics
		if err := d.newEntry(f, len(b.Metrics), &name.metric); err != nil {
			return err
		}
		b.Metrics = append(b.Metrics, MetricName(name.text))
	}
	return nil
}

// newEntry checks that a dictionary of n names may get one more. *seen is the last batch
// that had the name in this dictionary.
func (d *Decoder) newEntry(f field, n int, seen *uint64) error {
	if n == d.limits.Names {
		return invalid("%s: want at most %d", f, d.limits.Names)
	}
	if *seen == d.names.batch {
		return invalid("%s: entry %d repeats an earlier one", f, n)
	}
	*seen = d.names.batch
	return nil
}

func (d *Decoder) setTrace(text []byte, b *Batch) error {
	if d.trace != string(text) {
		trace := string(text)
		if err := validText("trace", trace, MaxTraceBytes); err != nil {
			return fmt.Errorf("record: %w", err)
		}
		d.trace = trace
	}
	b.Trace = d.trace
	return nil
}
