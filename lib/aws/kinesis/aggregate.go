package kinesis

import (
	"crypto/md5" //nolint:gosec // the format's checksum; it detects accidents, not attackers
	"errors"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// aggregateMagic are the first bytes of an aggregated record.
const aggregateMagic = "\xF3\x89\x9A\xC2"

// UserRecord is one of the records that a producer has packed into one record of the stream.
type UserRecord struct {
	// PartitionKey is the user record's own, or empty if the record was not aggregated.
	PartitionKey string
	// ExplicitHashKey is the decimal hash key that the producer chose, or empty.
	ExplicitHashKey string
	// Data refers to the record that it came from.
	Data []byte
	// SubSequence is the index in the aggregated record, from 0; with the record's
	// sequence number it identifies the user record.
	SubSequence int
	// Aggregated is false for a record that was not aggregated.
	Aggregated bool
}

// AggregateLimits bound what Deaggregate accepts.
type AggregateLimits struct {
	// Records bounds the user records of one record, and its keys.
	Records int
	// KeyBytes bounds a partition key or an explicit hash key.
	KeyBytes int
}

// DefaultAggregateLimits returns 50,000 records (about 4 MB of memory for
// a record of 1 MiB) and the longest keys that Kinesis accepts.
func DefaultAggregateLimits() AggregateLimits {
	return AggregateLimits{Records: 50_000, KeyBytes: MaxPartitionKey * 4}
}

// Deaggregate appends the user records of one record of the stream to dst.
//
// Data that does not begin with the magic number is not aggregated: it is appended unchanged as
// one UserRecord. If it does, and is truncated, its checksum does not match, the message is not
// valid or exceeds the limits, the error wraps telemetry.ErrInvalid and says what is wrong where,
// and dst is returned unchanged. So it is if only one byte of the magic number is wrong. (AWS's
// readers deliver such data as one record, whose reader then finds something else wrong with
// it.) A user record that is itself an aggregated record is not unpacked.
func Deaggregate(dst []UserRecord, data []byte, limits AggregateLimits) ([]UserRecord, error) {
	message, err := aggregated(data)
	if err == nil && message == nil {
		return append(dst, UserRecord{Data: data}), nil
	}
	out := dst
	if err == nil {
		out, err = deaggregate(dst, message, limits)
	}
	if err != nil {
		return dst, fmt.Errorf("aggregated record: %w: %w", telemetry.ErrInvalid, err)
	}
	return out, nil
}

// aggregated returns the message inside an aggregated record, and nil for other data.
func aggregated(data []byte) ([]byte, error) {
	const overhead = len(aggregateMagic) + md5.Size
	same := 0
	for i := range min(len(data), len(aggregateMagic)) {
		if data[i] == aggregateMagic[i] {
			same++
		}
	}
	whole := same == len(aggregateMagic)
	if !whole && same < len(aggregateMagic)-1 || !whole && len(data) < overhead {
		return nil, nil
	}
	if len(data) < overhead {
		return nil, fmt.Errorf("truncated: %d bytes, of at least %d", len(data), overhead)
	}
	message, sum := data[len(aggregateMagic):len(data)-md5.Size], data[len(data)-md5.Size:]
	switch matches := string(sum) == sumOf(message); {
	case whole && !matches:
		return nil, fmt.Errorf("the MD5 checksum of %d bytes does not match: damaged or truncated", len(message))
	case !whole && matches:
		return nil, fmt.Errorf("the magic number is %x, want %x: damaged", data[:len(aggregateMagic)], aggregateMagic)
	case !whole:
		return nil, nil
	}
	return message, nil
}

func sumOf(message []byte) string {
	sum := md5.Sum(message) //nolint:gosec // see the import
	return string(sum[:])
}

// The field numbers of the messages.
const (
	fieldPartitionKeys    = 1
	fieldExplicitHashKeys = 2
	fieldRecords          = 3

	fieldPartitionKeyIndex    = 1
	fieldExplicitHashKeyIndex = 2
	fieldData                 = 3
)

// deaggregate works in two passes: the tables may follow the records that refer to them.
func deaggregate(dst []UserRecord, message []byte, limits AggregateLimits) ([]UserRecord, error) {
	var keys, hashKeys []string
	records := 0
	err := eachBytes(message, func(number protowire.Number, v []byte) error {
		switch int(number) {
		case fieldPartitionKeys:
			return appendKey(&keys, v, "partition", limits)
		case fieldExplicitHashKeys:
			return appendKey(&hashKeys, v, "explicit hash", limits)
		case fieldRecords:
			if records++; records > limits.Records {
				return fmt.Errorf("more than %d records", limits.Records)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	sub := 0
	err = eachBytes(message, func(number protowire.Number, v []byte) error {
		if number != fieldRecords {
			return nil
		}
		r, err := userRecord(v, keys, hashKeys)
		if err != nil {
			return fmt.Errorf("record %d: %w", sub, err)
		}
		r.SubSequence = sub
		dst = append(dst, r)
		sub++
		return nil
	})
	return dst, err
}

func appendKey(keys *[]string, v []byte, name string, limits AggregateLimits) error {
	if len(*keys) == limits.Records {
		return fmt.Errorf("more than %d %s keys", limits.Records, name)
	}
	if len(v) > limits.KeyBytes {
		return fmt.Errorf("%s key %d: %d bytes, more than %d", name, len(*keys), len(v), limits.KeyBytes)
	}
	*keys = append(*keys, string(v))
	return nil
}

// eachBytes calls f for each field of wire type bytes and skips the others.
func eachBytes(message []byte, f func(protowire.Number, []byte) error) error {
	for at := 0; at < len(message); {
		number, wire, n := consumeTag(message[at:])
		if n < 0 {
			return wireError(at, n)
		}
		at += n
		if wire != protowire.BytesType {
			if n = protowire.ConsumeFieldValue(number, wire, message[at:]); n < 0 {
				return wireError(at, n)
			}
			at += n
			continue
		}
		v, n := protowire.ConsumeBytes(message[at:])
		if n < 0 {
			return wireError(at, n)
		}
		if err := f(number, v); err != nil {
			return err
		}
		at += n
	}
	return nil
}

// consumeTag is protowire.ConsumeTag, but also rejects field numbers above the largest.
func consumeTag(b []byte) (protowire.Number, protowire.Type, int) {
	number, wire, n := protowire.ConsumeTag(b)
	if number > protowire.MaxValidNumber {
		return 0, 0, -1
	}
	return number, wire, n
}

func wireError(at, n int) error { return fmt.Errorf("byte %d: %w", at, protowire.ParseError(n)) }

// userRecord parses one message Record.
func userRecord(message []byte, keys, hashKeys []string) (UserRecord, error) {
	r := UserRecord{Aggregated: true}
	var key, hashKey uint64
	var hasKey, hasHashKey, hasData bool
	for at := 0; at < len(message); {
		number, wire, n := consumeTag(message[at:])
		if n < 0 {
			return r, wireError(at, n)
		}
		at += n
		switch {
		case wire == protowire.VarintType && number == fieldPartitionKeyIndex:
			key, n = protowire.ConsumeVarint(message[at:])
			hasKey = true
		case wire == protowire.VarintType && number == fieldExplicitHashKeyIndex:
			hashKey, n = protowire.ConsumeVarint(message[at:])
			hasHashKey = true
		case wire == protowire.BytesType && number == fieldData:
			r.Data, n = protowire.ConsumeBytes(message[at:])
			hasData = true
		default:
			n = protowire.ConsumeFieldValue(number, wire, message[at:])
		}
		if n < 0 {
			return r, wireError(at, n)
		}
		at += n
	}
	switch {
	case !hasKey:
		return r, errors.New("no partition_key_index")
	case !hasData:
		return r, errors.New("no data")
	case key >= uint64(len(keys)):
		return r, fmt.Errorf("partition_key_index %d of %d keys", key, len(keys))
	case hasHashKey && hashKey >= uint64(len(hashKeys)):
		return r, fmt.Errorf("explicit_hash_key_index %d of %d keys", hashKey, len(hashKeys))
	}
	r.PartitionKey = keys[key]
	if hasHashKey {
		r.ExplicitHashKey = hashKeys[hashKey]
	}
	r.Data = slices.Clip(r.Data)
	return r, nil
}

// AppendAggregate packs user records into one record of the stream and appends it to dst.
// It ignores SubSequence and Aggregated. The record must be put with a partition key of the
// shard to which all of its user records belong. The caller bounds its size: 20 bytes, at
// most 24 for each user record, its data, and each distinct key once.
func AppendAggregate(dst []byte, records []UserRecord) []byte {
	var keys, hashKeys table
	start := len(dst) + len(aggregateMagic)
	dst = append(dst, aggregateMagic...)
	var body []byte
	for _, r := range records {
		body = protowire.AppendTag(body[:0], fieldPartitionKeyIndex, protowire.VarintType)
		body = protowire.AppendVarint(body, keys.index(r.PartitionKey))
		if r.ExplicitHashKey != "" {
			body = protowire.AppendTag(body, fieldExplicitHashKeyIndex, protowire.VarintType)
			body = protowire.AppendVarint(body, hashKeys.index(r.ExplicitHashKey))
		}
		body = protowire.AppendTag(body, fieldData, protowire.BytesType)
		body = protowire.AppendBytes(body, r.Data)
		dst = protowire.AppendTag(dst, fieldRecords, protowire.BytesType)
		dst = protowire.AppendBytes(dst, body)
	}
	for _, k := range keys.names {
		dst = protowire.AppendTag(dst, fieldPartitionKeys, protowire.BytesType)
		dst = protowire.AppendString(dst, k)
	}
	for _, k := range hashKeys.names {
		dst = protowire.AppendTag(dst, fieldExplicitHashKeys, protowire.BytesType)
		dst = protowire.AppendString(dst, k)
	}
	return append(dst, sumOf(dst[start:])...)
}

// table assigns an index to each distinct name.
type table struct {
	names   []string
	indexOf map[string]uint64
}

func (t *table) index(name string) uint64 {
	if i, ok := t.indexOf[name]; ok {
		return i
	}
	if t.indexOf == nil {
		t.indexOf = make(map[string]uint64)
	}
	i := uint64(len(t.names))
	t.names = append(t.names, strings.Clone(name))
	t.indexOf[t.names[i]] = i
	return i
}
