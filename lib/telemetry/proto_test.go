package telemetry

import (
	"os"
	"strings"
	"testing"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
	"pgregory.net/rapid"
)

// schema compiles record.proto, with packed lists or not.
func schema(t *testing.T, packed bool) protoreflect.MessageDescriptor {
	t.Helper()
	source, err := os.ReadFile("record.proto")
	if err != nil {
		t.Fatal(err)
	}
	text := string(source)
	if !packed {
		var lines []string
		for line := range strings.Lines(text) {
			if strings.Contains(line, "  repeated ") && !strings.Contains(line, " string ") {
				line = strings.Replace(line, ";", " [packed = false];", 1)
			}
			lines = append(lines, line)
		}
		text = strings.Join(lines, "")
	}
	c := protocompile.Compiler{Resolver: &protocompile.SourceResolver{
		Accessor: protocompile.SourceAccessorFromMap(map[string]string{"record.proto": text}),
	}}
	files, err := c.Compile(t.Context(), "record.proto")
	if err != nil {
		t.Fatal(err)
	}
	message := files[0].Messages().ByName("Batch")
	if message == nil {
		t.Fatal("record.proto has no message Batch")
	}
	return message
}

func TestFieldNumbersAreThoseOfTheSchema(t *testing.T) {
	fields := schema(t, true).Fields()
	if fields.Len() != int(fieldCount)-1 {
		t.Errorf("record.proto has %d fields, the codec %d", fields.Len(), fieldCount-1)
	}
	for f := fieldGateway; f < fieldCount; f++ {
		if fd := fields.ByNumber(protoreflect.FieldNumber(f)); fd == nil || string(fd.Name()) != f.String() {
			t.Errorf("field %d: %s in the codec, %v in record.proto", f, f, fd)
		}
	}
}

// stock reads and writes the message as record.proto describes it, by a protobuf library.
// It shares no code with the codec.
type stock struct {
	*dynamicpb.Message
}

func (s stock) field(name string) protoreflect.FieldDescriptor {
	return s.Descriptor().Fields().ByName(protoreflect.Name(name))
}
func (s stock) list(name string) protoreflect.List       { return s.Mutable(s.field(name)).List() }
func (s stock) get(name string) protoreflect.Value       { return s.Get(s.field(name)) }
func (s stock) set(name string, v protoreflect.Value)    { s.Set(s.field(name), v) }
func (s stock) add(name string, v protoreflect.Value)    { s.list(name).Append(v) }
func (s stock) at(name string, i int) protoreflect.Value { return s.get(name).List().Get(i) }
func (s stock) len(name string) int                      { return s.get(name).List().Len() }

// column returns a list with its runs expanded.
func (s stock) column(entries, lengths string) []protoreflect.Value {
	var out []protoreflect.Value
	for i := range s.len(entries) {
		n := uint64(1)
		if s.len(lengths) > 0 {
			n = s.at(lengths, i).Uint()
		}
		for range n {
			out = append(out, s.at(entries, i))
		}
	}
	return out
}

// batch returns the events.
func (s stock) batch() *Batch {
	b := &Batch{
		Gateway: GatewayID(s.get("gateway").String()), Site: SiteID(s.get("site").String()),
		Trace: s.get("trace").String(), Received: Micros(s.get("received").Int()),
	}
	series, times := s.column("series", "series_runs"), s.column("times", "time_runs")
	qualities := s.column("qualities", "quality_runs")
	last := map[int64]int64{}
	var x, at int64
	raw, decimals := 0, 0
	for i := range times {
		x += series[i].Int()
		at += times[i].Int()
		metric := int(s.at("series_metric", int(x)).Uint())
		e := Event{
			Device: DeviceName(s.at("devices", int(s.at("series_device", int(x)).Uint())).String()),
			Metric: MetricName(s.at("metrics", metric).String()),
			Time:   Micros(at),
		}
		if len(qualities) > 0 {
			e.Quality = Quality(qualities[i].Enum())
		}
		scale := uint64(0)
		if s.len("scales") > 0 {
			scale = s.at("scales", metric).Uint()
		}
		if scale == 0 {
			e.Value = s.at("values", raw).Float()
			raw++
		} else {
			k := s.at("decimals", decimals).Int()
			decimals++
			if scale >= 17 {
				k += last[x]
				last[x] = k
				scale -= 16
			}
			divisor := 1.0
			for range scale - 1 {
				divisor *= 10
			}
			e.Value = float64(k) / divisor
		}
		b.Append(e)
	}
	return b
}

// fillRaw writes b's events from..to-1 into s in the raw form: each event a series of
// its own, no run lengths, no scales. before is the time of the event before from.
func (s stock) fillRaw(b *Batch, from, to int, before Micros) {
	for i := from; i < to; i++ {
		s.add("series_device", protoreflect.ValueOfUint32(b.Device[i]))
		s.add("series_metric", protoreflect.ValueOfUint32(b.Metric[i]))
		step := int64(1)
		if i == 0 {
			step = 0
		}
		s.add("series", protoreflect.ValueOfInt64(step))
		s.add("times", protoreflect.ValueOfInt64(int64(b.Time[i]-before)))
		before = b.Time[i]
		s.add("qualities", protoreflect.ValueOfEnum(protoreflect.EnumNumber(b.Quality[i])))
		s.add("values", protoreflect.ValueOfFloat64(b.Value[i]))
	}
}

func (s stock) fillHeader(b *Batch) {
	s.set("gateway", protoreflect.ValueOfString(string(b.Gateway)))
	s.set("site", protoreflect.ValueOfString(string(b.Site)))
	s.set("trace", protoreflect.ValueOfString(b.Trace))
	s.set("received", protoreflect.ValueOfInt64(int64(b.Received)))
	for _, d := range b.Devices {
		s.add("devices", protoreflect.ValueOfString(string(d)))
	}
	for _, m := range b.Metrics {
		s.add("metrics", protoreflect.ValueOfString(string(m)))
	}
}

func TestProtobufDecodesOurRecords(t *testing.T) {
	message, e := schema(t, true), newEncoder(t, NoCompression)
	rapid.Check(t, func(t *rapid.T) {
		want := drawBatch(t, 200)
		record, err := e.AppendRecord(nil, want)
		if err != nil {
			t.Fatal(err)
		}
		s := stock{dynamicpb.NewMessage(message)}
		if err := proto.Unmarshal(record[headerBytes:len(record)-checksumBytes], s.Message); err != nil {
			t.Fatal(err)
		}
		if unknown := s.GetUnknown(); len(unknown) > 0 {
			t.Fatalf("fields that record.proto does not know: %x", unknown)
		}
		if diff := same(want, s.batch()); diff != "" {
			t.Fatalf("(-want +have)\n%s", diff)
		}
	})
}

func TestWeDecodeProtobufsRecords(t *testing.T) {
	packed, unpacked, d := schema(t, true), schema(t, false), newDecoder(t)
	rapid.Check(t, func(t *rapid.T) {
		want := drawBatch(t, 100)
		// The message in two halves, with the names in a third: protobuf readers merge
		// them. The halves may be packed or not, the names first or
		// last, unknown fields anywhere.
		draw := func(label string) stock {
			message := rapid.SampledFrom([]protoreflect.MessageDescriptor{packed, unpacked}).Draw(t, label)
			s := stock{dynamicpb.NewMessage(message)}
			if rapid.Bool().Draw(t, label+" unknown") {
				s.SetUnknown(unknownFields())
			}
			return s
		}
		names, first, second := draw("names"), draw("first"), draw("second")
		names.fillHeader(want)
		half := rapid.IntRange(0, want.Len()).Draw(t, "half")
		first.fillRaw(want, 0, half, 0)
		before := Micros(0)
		if half > 0 {
			before = want.Time[half-1]
		}
		second.fillRaw(want, half, want.Len(), before)
		parts := []stock{names, first, second}
		if rapid.Bool().Draw(t, "names last") {
			parts = []stock{first, second, names}
		}
		record := []byte{Version, 0}
		for _, part := range parts {
			var err error
			if record, err = (proto.MarshalOptions{}).MarshalAppend(record, part.Message); err != nil {
				t.Fatal(err)
			}
		}
		var have Batch
		if err := d.Decode(record, &have); err != nil {
			t.Fatal(err)
		}
		if diff := same(want, &have); diff != "" {
			t.Fatalf("(-want +have)\n%s", diff)
		}
	})
}

// unknownFields returns one field of each wire type with numbers of a later schema.
func unknownFields() []byte {
	var p []byte
	p = protowire.AppendVarint(protowire.AppendTag(p, 18, protowire.VarintType), 1<<63)
	p = protowire.AppendFixed32(protowire.AppendTag(p, 19, protowire.Fixed32Type), 7)
	p = protowire.AppendFixed64(protowire.AppendTag(p, 200, protowire.Fixed64Type), 7)
	p = protowire.AppendString(protowire.AppendTag(p, 5000, protowire.BytesType), "later")
	p = protowire.AppendTag(p, 21, protowire.StartGroupType)
	p = protowire.AppendVarint(protowire.AppendTag(p, 1, protowire.VarintType), 3)
	return protowire.AppendTag(p, 21, protowire.EndGroupType)
}

// TestRawFormOfTheDocumentation encodes the record of "The raw form" in doc.go by a
// protobuf library, as the author of a gateway does.
func TestRawFormOfTheDocumentation(t *testing.T) {
	s := stock{dynamicpb.NewMessage(schema(t, true))}
	for _, name := range []string{"press-1", "press-2"} {
		s.add("devices", protoreflect.ValueOfString(name))
	}
	s.add("metrics", protoreflect.ValueOfString("temperature"))
	for _, device := range []uint32{0, 1} {
		s.add("series_device", protoreflect.ValueOfUint32(device))
		s.add("series_metric", protoreflect.ValueOfUint32(0))
	}
	for _, step := range []int64{0, 1, -1, 1} {
		s.add("series", protoreflect.ValueOfInt64(step))
	}
	for _, step := range []int64{1795425713123456, 0, 100_000, 0} {
		s.add("times", protoreflect.ValueOfInt64(step))
	}
	for _, v := range []float64{71.25, 68.5, 71.5, 68.25} {
		s.add("values", protoreflect.ValueOfFloat64(v))
	}
	record, err := proto.MarshalOptions{}.MarshalAppend([]byte{Version, 0}, s.Message)
	if err != nil {
		t.Fatal(err)
	}
	want := new(Batch)
	const at = 1795425713123456
	want.Append(Event{"press-1", "temperature", at, 71.25, Good})
	want.Append(Event{"press-2", "temperature", at, 68.5, Good})
	want.Append(Event{"press-1", "temperature", at + 100_000, 71.5, Good})
	want.Append(Event{"press-2", "temperature", at + 100_000, 68.25, Good})
	var have Batch
	if err := newDecoder(t).Decode(record, &have); err != nil {
		t.Fatal(err)
	}
	if diff := same(want, &have); diff != "" {
		t.Errorf("(-want +have)\n%s", diff)
	}
}
