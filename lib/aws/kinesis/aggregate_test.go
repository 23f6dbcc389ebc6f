package kinesis_test

import (
	"bytes"
	"context"
	"crypto/md5"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/bufbuild/protocompile"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
	"pgregory.net/rapid"

	"github.com/insighthub/insighthub/lib/aws/kinesis"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// description is the published format, for an encoder and a decoder that are independent
// of this package.
const description = `
syntax = "proto2";
message AggregatedRecord {
  repeated string partition_key_table = 1;
  repeated string explicit_hash_key_table = 2;
  repeated Record records = 3;
}
message Tag {
  required string key = 1;
  optional string value = 2;
}
message Record {
  required uint64 partition_key_index = 1;
  optional uint64 explicit_hash_key_index = 2;
  required bytes data = 3;
  repeated Tag tags = 4;
}`

func aggregatedRecord(tb testing.TB) protoreflect.MessageDescriptor {
	tb.Helper()
	return compile(tb, description)
}

func compile(tb testing.TB, source string) protoreflect.MessageDescriptor {
	tb.Helper()
	compiler := protocompile.Compiler{Resolver: &protocompile.SourceResolver{
		Accessor: protocompile.SourceAccessorFromMap(map[string]string{"kpl.proto": source}),
	}}
	files, err := compiler.Compile(context.WithoutCancel(tb.Context()), "kpl.proto")
	if err != nil {
		tb.Fatal(err)
	}
	return files[0].Messages().ByName("AggregatedRecord")
}

// encode returns the message of the records, encoded by the protobuf library.
func encode(tb testing.TB, md protoreflect.MessageDescriptor, records []kinesis.UserRecord) []byte {
	tb.Helper()
	m := dynamicpb.NewMessage(md)
	field := func(m protoreflect.Message, name protoreflect.Name) protoreflect.FieldDescriptor {
		return m.Descriptor().Fields().ByName(name)
	}
	index := func(table protoreflect.Name, key string) protoreflect.Value {
		list := m.Mutable(field(m, table)).List()
		for i := range list.Len() {
			if list.Get(i).String() == key {
				return protoreflect.ValueOfUint64(uint64(i))
			}
		}
		list.Append(protoreflect.ValueOfString(key))
		return protoreflect.ValueOfUint64(uint64(list.Len() - 1))
	}
	list := m.Mutable(field(m, "records")).List()
	for i, r := range records {
		e := list.NewElement().Message()
		e.Set(field(e, "partition_key_index"), index("partition_key_table", r.PartitionKey))
		if r.ExplicitHashKey != "" {
			e.Set(field(e, "explicit_hash_key_index"), index("explicit_hash_key_table", r.ExplicitHashKey))
		}
		e.Set(field(e, "data"), protoreflect.ValueOfBytes(r.Data))
		if i%2 == 1 {
			tags := e.Mutable(field(e, "tags")).List()
			tag := tags.NewElement().Message()
			tag.Set(field(tag, "key"), protoreflect.ValueOfString("color"))
			tags.Append(protoreflect.ValueOfMessage(tag))
		}
		list.Append(protoreflect.ValueOfMessage(e))
	}
	out, err := proto.Marshal(m)
	if err != nil {
		tb.Fatal(err)
	}
	return out
}

// decode returns the records of a message, decoded by the protobuf library.
func decode(md protoreflect.MessageDescriptor, message []byte) ([]kinesis.UserRecord, error) {
	m := dynamicpb.NewMessage(md)
	if err := proto.Unmarshal(message, m); err != nil {
		return nil, err
	}
	table := func(name protoreflect.Name) protoreflect.List { return m.Get(md.Fields().ByName(name)).List() }
	keys, hashKeys, list := table("partition_key_table"), table("explicit_hash_key_table"), table("records")
	out := []kinesis.UserRecord{}
	for i := range list.Len() {
		e := list.Get(i).Message()
		f := e.Descriptor().Fields()
		r := kinesis.UserRecord{SubSequence: i, Aggregated: true, Data: e.Get(f.ByName("data")).Bytes()}
		index := e.Get(f.ByName("partition_key_index")).Uint()
		if index >= uint64(keys.Len()) {
			return nil, errors.New("partition key index")
		}
		r.PartitionKey = keys.Get(int(index)).String()
		if hash := f.ByName("explicit_hash_key_index"); e.Has(hash) {
			index := e.Get(hash).Uint()
			if index >= uint64(hashKeys.Len()) {
				return nil, errors.New("explicit hash key index")
			}
			r.ExplicitHashKey = hashKeys.Get(int(index)).String()
		}
		out = append(out, r)
	}
	return out, nil
}

// wrap puts a message between the magic number and its checksum.
func wrap(message []byte) []byte {
	sum := md5.Sum(message)
	return append(append([]byte{0xF3, 0x89, 0x9A, 0xC2}, message...), sum[:]...)
}

func user(sub int, key, hash, data string) kinesis.UserRecord {
	return kinesis.UserRecord{PartitionKey: key, ExplicitHashKey: hash, Data: []byte(data), SubSequence: sub, Aggregated: true}
}

func TestDeaggregate(t *testing.T) {
	md := aggregatedRecord(t)
	want := []kinesis.UserRecord{
		user(0, "gw-1", "", "a"), user(1, "gw-2", "", ""), user(2, "gw-1", "340282366920938463463374607431768211455", "c"),
	}
	before := kinesis.UserRecord{PartitionKey: "before"}
	got, err := kinesis.Deaggregate([]kinesis.UserRecord{before}, wrap(encode(t, md, want)), kinesis.DefaultAggregateLimits())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(append([]kinesis.UserRecord{before}, want...), got); diff != "" {
		t.Error(diff)
	}
}

func TestDeaggregateOtherData(t *testing.T) {
	whole := wrap(encode(t, aggregatedRecord(t), []kinesis.UserRecord{user(0, "k", "", "a")}))
	for name, data := range map[string][]byte{
		"empty":                       {},
		"nil":                         nil,
		"part of the magic":           whole[:3],
		"another magic":               append([]byte{0xF3, 0x89, 0x9B, 0xC3}, whole[4:]...),
		"almost the magic by chance":  append([]byte{0xF3, 0x89, 0x9A, 0xC3}, "a text of more than twenty bytes"...),
		"almost the magic, and short": {0xF3, 0x89, 0x9A, 0xC3, 1},
		"a batch":                     {1, 0, 0xF3, 0x89, 0x9A, 0xC2},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := kinesis.Deaggregate(nil, data, kinesis.DefaultAggregateLimits())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]kinesis.UserRecord{{Data: data}}, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A damaged or truncated aggregated record is named as that, whichever byte it is.
func TestDeaggregateDamaged(t *testing.T) {
	whole := wrap(encode(t, aggregatedRecord(t), []kinesis.UserRecord{user(0, "k", "", "a"), user(1, "k2", "7", "bc")}))
	check := func(what string, data []byte, want string) {
		t.Helper()
		before := []kinesis.UserRecord{{PartitionKey: "before"}}
		got, err := kinesis.Deaggregate(before, data, kinesis.DefaultAggregateLimits())
		if !errors.Is(err, telemetry.ErrInvalid) || !strings.Contains(err.Error(), want) || len(got) != 1 {
			t.Errorf("%s: got %d records, %v, want %q", what, len(got), err, want)
		}
	}
	for n := 4; n < len(whole); n++ {
		want := "MD5 checksum"
		if n < 20 {
			want = "truncated"
		}
		check(fmt.Sprintf("the first %d bytes", n), whole[:n], want)
	}
	for i := range whole {
		want := "MD5 checksum"
		if i < 4 {
			want = "magic number"
		}
		for change := 1; change < 256; change++ {
			damaged := bytes.Clone(whole)
			damaged[i] ^= byte(change)
			check(fmt.Sprintf("byte %d", i), damaged, want)
		}
	}
	check("longer", append(bytes.Clone(whole), 0), "MD5 checksum")
}

// An aggregated record without user records has nothing to deliver.
func TestDeaggregateNothing(t *testing.T) {
	if got, err := kinesis.Deaggregate(nil, wrap(nil), kinesis.DefaultAggregateLimits()); err != nil || len(got) != 0 {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestDeaggregateUnpacksOneLevel(t *testing.T) {
	inner := kinesis.AppendAggregate(nil, []kinesis.UserRecord{user(0, "k", "", "a")})
	outer := kinesis.AppendAggregate(nil, []kinesis.UserRecord{user(0, "k", "", string(inner))})
	got, err := kinesis.Deaggregate(nil, outer, kinesis.DefaultAggregateLimits())
	if err != nil || len(got) != 1 || !bytes.Equal(got[0].Data, inner) {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestDeaggregateRejects(t *testing.T) {
	key := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), "k")
	// one returns a message with a key and one record of the given fields.
	one := func(fields ...[]byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(bytes.Clone(key), 3, protowire.BytesType), bytes.Join(fields, nil))
	}
	number := func(n protowire.Number, v uint64) []byte {
		return protowire.AppendVarint(protowire.AppendTag(nil, n, protowire.VarintType), v)
	}
	data := protowire.AppendString(protowire.AppendTag(nil, 3, protowire.BytesType), "a")
	fixed64 := func(n protowire.Number) []byte {
		return protowire.AppendFixed64(protowire.AppendTag(nil, n, protowire.Fixed64Type), 0)
	}
	hashKey := func(key string) []byte {
		return protowire.AppendString(protowire.AppendTag(nil, 2, protowire.BytesType), key)
	}
	limits := kinesis.AggregateLimits{Records: 2, KeyBytes: 4}
	for name, tc := range map[string]struct {
		message []byte
		want    string
	}{
		"no index":              {one(data), "record 0: no partition_key_index"},
		"no data":               {one(number(1, 0)), "record 0: no data"},
		"index beyond":          {one(number(1, 1), data), "record 0: partition_key_index 1 of 1"},
		"index far beyond":      {one(number(1, 1<<63), data), "partition_key_index"},
		"hash key beyond":       {one(number(1, 0), number(2, 0), data), "explicit_hash_key_index 0 of 0"},
		"index of another type": {one(fixed64(1), data), "no partition_key_index"},
		"cut inside a record":   {one(number(1, 0), data[:1]), "record 0: byte"},
		"length beyond the end": {append(bytes.Clone(key), 0x1A, 0x7F), "byte"},
		"field number 0":        {append(bytes.Clone(key), 0x00, 0x00), "byte"},
		"too many records":      {bytes.Repeat(one(number(1, 0), data), 3), "more than 2"},
		"too many keys":         {bytes.Repeat(key, 3), "more than 2 partition keys"},
		"too long a key":        {hashKey("12345"), "explicit hash key 0: 5 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			before := []kinesis.UserRecord{{PartitionKey: "before"}}
			got, err := kinesis.Deaggregate(before, wrap(tc.message), limits)
			if !errors.Is(err, telemetry.ErrInvalid) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %s", err, tc.want)
			}
			if len(got) != 1 {
				t.Errorf("got %d records, want dst unchanged", len(got))
			}
		})
	}
}

func TestAppendAggregateAgreesWithProtobuf(t *testing.T) {
	md := aggregatedRecord(t)
	rapid.Check(t, func(t *rapid.T) {
		want := []kinesis.UserRecord{}
		for i := range rapid.IntRange(0, 20).Draw(t, "records") {
			want = append(want, user(i,
				rapid.SampledFrom([]string{"", "a", "b", "ü"}).Draw(t, "key"),
				rapid.SampledFrom([]string{"", "1", "2"}).Draw(t, "hash"),
				string(rapid.SliceOf(rapid.Byte()).Draw(t, "data"))))
		}
		out := kinesis.AppendAggregate([]byte("before"), want)
		if !bytes.HasPrefix(out, []byte("before\xF3\x89\x9A\xC2")) {
			t.Fatal("not appended")
		}
		out = out[len("before"):]
		if message := out[4 : len(out)-16]; !bytes.Equal(wrap(message), out) {
			t.Fatal("checksum")
		}
		for name, read := range map[string]func() ([]kinesis.UserRecord, error){
			"protobuf": func() ([]kinesis.UserRecord, error) { return decode(md, out[4:len(out)-16]) },
			"ours": func() ([]kinesis.UserRecord, error) {
				return kinesis.Deaggregate([]kinesis.UserRecord{}, out, kinesis.DefaultAggregateLimits())
			},
		} {
			got, err := read()
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("%s: %s", name, diff)
			}
		}
	})
}

func FuzzDeaggregate(f *testing.F) {
	// Deaggregate does not look into tags.
	md := compile(f, strings.Replace(description, "repeated Tag tags", "repeated bytes tags", 1))
	f.Add([]byte{})
	records := []kinesis.UserRecord{user(0, "gw-1", "", "a"), user(1, "gw-2", "7", "b"), user(2, "gw-1", "", "")}
	f.Add(encode(f, aggregatedRecord(f), records))
	f.Add([]byte{0x1A, 0x04, 0x08, 0x00, 0x1A, 0x00, 0x0A, 0x01, 'k'})                   // the table after the record
	f.Add([]byte{0x0A, 0x01, 'k', 0x1A, 0x06, 0x08, 0x01, 0x08, 0x00, 0x1A, 0x00})       // an index repeated
	f.Add([]byte{0x0A, 0x01, 'k', 0x1A, 0x06, 0x08, 0x00, 0x1A, 0x00, 0x2B, 0x2C, 0x08}) // a group
	limits := kinesis.AggregateLimits{Records: 1 << 20, KeyBytes: 1 << 20}
	f.Fuzz(func(t *testing.T, message []byte) {
		plain, err := kinesis.Deaggregate(nil, message, limits)
		if err == nil && len(plain) == 1 && !plain[0].Aggregated && !bytes.Equal(plain[0].Data, message) {
			t.Fatalf("data that is not aggregated changed: got %q, want %q", plain[0].Data, message)
		}
		want, wantErr := decode(md, message)
		got, err := kinesis.Deaggregate([]kinesis.UserRecord{}, wrap(message), limits)
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("got %v, the protobuf library %v", err, wantErr)
		}
		if err == nil {
			if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Fatal(diff)
			}
		}
	})
}

func BenchmarkDeaggregate(b *testing.B) {
	records := make([]kinesis.UserRecord, 100)
	for i := range records {
		records[i] = user(i, "gw-1", "", strings.Repeat("x", 250))
	}
	data := kinesis.AppendAggregate(nil, records)
	var dst []kinesis.UserRecord
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if dst, err = kinesis.Deaggregate(dst[:0], data, kinesis.DefaultAggregateLimits()); err != nil {
			b.Fatal(err)
		}
	}
}
