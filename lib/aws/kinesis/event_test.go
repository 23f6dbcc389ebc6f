package kinesis_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/insighthub/insighthub/lib/aws/kinesis"
	"github.com/insighthub/insighthub/lib/telemetry"
)

const oneRecord = `{"Records":[{"kinesis":{"kinesisSchemaVersion":"1.0","partitionKey":"gw-1",` +
	`"sequenceNumber":"49590338271490256608559692538361571095921575989136588898","data":"AQID",` +
	`"approximateArrivalTimestamp":1545084650.987},"eventSource":"aws:kinesis","eventVersion":"1.0",` +
	`"eventID":"shardId-000000000006:49590338271490256608559692538361571095921575989136588898",` +
	`"eventName":"aws:kinesis:record","invokeIdentityArn":"arn:aws:iam::123456789012:role/store",` +
	`"awsRegion":"eu-west-1","eventSourceARN":"arn:aws:kinesis:eu-west-1:123456789012:stream/telemetry"}]}`

// records returns a payload with the given text inside its Records.
func records(inside string) string { return `{"Records":[` + inside + `]}` }

// record returns a record whose kinesis member has the given text inside.
func record(inside string) string { return `{"kinesis":{` + inside + `}}` }

const members = `"partitionKey":"k","sequenceNumber":"1"`

func TestDecodeEvent(t *testing.T) {
	want := telemetry.Record{
		SequenceNumber: "49590338271490256608559692538361571095921575989136588898", PartitionKey: "gw-1", Data: []byte{1, 2, 3},
		Arrival: time.UnixMicro(1545084650987000).UTC(), Shard: "shardId-000000000006",
		Stream: "arn:aws:kinesis:eu-west-1:123456789012:stream/telemetry",
	}
	for name, payload := range map[string]string{
		"plain": oneRecord,
		"in a tumbling window": strings.TrimSuffix(oneRecord, "}") +
			`,"window":{"start":"2020-12-09T07:04:00Z","end":"2020-12-09T07:06:00Z"},` +
			`"state":{"1":282,"2":{"a":[null,true,false,-1.5e-3,"\u00e9"]}},` +
			`"shardId":"shardId-000000000006","isFinalInvokeForWindow":false}`,
		"with white space": strings.NewReplacer(`{`, " {\n ", `:{`, "\t: {", `}`, " }\r\n", `,"`, " , \"").Replace(oneRecord),
		"encrypted":        strings.Replace(oneRecord, `"data"`, `"encryptionType":"KMS","data"`, 1),
		"with escapes": strings.NewReplacer(
			`"gw-1"`, `"\u0067w-1"`, `"AQID"`, `"AQ\u0049D"`, `"partitionKey"`, `"partition\u004bey"`,
		).Replace(oneRecord),
	} {
		t.Run(name, func(t *testing.T) {
			var e kinesis.Event
			in := []byte(payload)
			if err := kinesis.DecodeEvent(in, &e); err != nil {
				t.Fatal(err)
			}
			clear(in) // nothing may refer to the payload
			if diff := cmp.Diff([]telemetry.Record{want}, e.Records); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestDecodeEventRejects(t *testing.T) {
	for name, payload := range map[string]string{
		"nothing":                ``,
		"another value":          `[]`,
		"no Records":             `{"records":[]}`,
		"Records null":           `{"Records":null}`,
		"Records twice":          `{"Records":[],"Records":[]}`,
		"something after":        `{"Records":[]}{}`,
		"trailing comma":         records(record(members+`,"data":""`) + `,`),
		"no comma":               records(record(members+`,"data":""`) + record(members+`,"data":""`)),
		"no kinesis":             records(`{"eventID":"a:1"}`),
		"kinesis twice":          records(`{"kinesis":{` + members + `,"data":""},"kinesis":{}}`),
		"no data":                records(record(members)),
		"no key":                 records(record(`"sequenceNumber":"1","data":""`)),
		"no sequence number":     records(record(`"partitionKey":"k","data":""`)),
		"empty sequence number":  records(record(`"partitionKey":"k","sequenceNumber":"","data":""`)),
		"sequence number number": records(record(`"partitionKey":"k","sequenceNumber":1,"data":""`)),
		"data null":              records(record(members + `,"data":null`)),
		"data twice":             records(record(members + `,"data":"","data":""`)),
		"base64 cut":             records(record(members + `,"data":"AQI"`)),
		"base64 alphabet":        records(record(members + `,"data":"AQI_"`)),
		"base64 stray bits":      records(record(members + `,"data":"AQJ="`)),
		"base64 line break":      records(record(members + `,"data":"AQID\nAQID\r\n\n"`)),
		"base64 padding within":  records(record(members + `,"data":"AQ==AQID"`)),
		"base64 three paddings":  records(record(members + `,"data":"A==="`)),
		"raw line breaks":        records(record(members + ",\"data\":\"AQID\n\n\n\n\"")),
		"control character":      records(record(`"sequenceNumber":"1","data":"","partitionKey":"a` + "\x01" + `"`)),
		"not UTF-8":              records(record(`"sequenceNumber":"1","data":"","partitionKey":"a` + "\xff" + `"`)),
		"unknown escape":         records(record(`"sequenceNumber":"1","data":"","partitionKey":"\x"`)),
		"short escape":           records(record(`"sequenceNumber":"1","data":"","partitionKey":"\u00e"`)),
		"time as a string":       records(record(members + `,"data":"","approximateArrivalTimestamp":"1"`)),
		"time out of range":      records(record(members + `,"data":"","approximateArrivalTimestamp":1e300`)),
		"time with a zero":       records(record(members + `,"data":"","approximateArrivalTimestamp":01`)),
		"skipped number":         records(record(members + `,"data":"","x":1.`)),
		"skipped literal":        records(record(members + `,"data":"","x":nul`)),
		"skipped string":         records(record(members + `,"data":"","x":"\q"`)),
		"nested too deeply":      `{"x":` + strings.Repeat("[", 1<<16) + strings.Repeat("]", 1<<16) + `,"Records":[]}`,
	} {
		t.Run(name, func(t *testing.T) {
			e := kinesis.Event{Records: make([]telemetry.Record, 3)}
			err := kinesis.DecodeEvent([]byte(payload), &e)
			if !errors.Is(err, telemetry.ErrInvalid) || !strings.Contains(err.Error(), "byte ") {
				t.Errorf("got %v, want telemetry.ErrInvalid and the byte", err)
			}
			if len(e.Records) != 0 {
				t.Errorf("got %d records, want none", len(e.Records))
			}
		})
	}
	for i := range len(oneRecord) {
		var e kinesis.Event
		if err := kinesis.DecodeEvent([]byte(oneRecord[:i]), &e); !errors.Is(err, telemetry.ErrInvalid) {
			t.Fatalf("cut at byte %d: %v", i, err)
		}
	}
}

// same returns how the records differ from those of aws-lambda-go.
func same(want []events.KinesisEventRecord, got []telemetry.Record) error {
	if len(want) != len(got) {
		return fmt.Errorf("got %d records, want %d", len(got), len(want))
	}
	for i, w := range want {
		g := got[i]
		shard, _, found := strings.Cut(w.EventID, ":")
		if !found {
			shard = ""
		}
		if string(g.SequenceNumber) != w.Kinesis.SequenceNumber || g.PartitionKey != w.Kinesis.PartitionKey ||
			!bytes.Equal(g.Data, w.Kinesis.Data) || g.Stream != w.EventSourceArn || string(g.Shard) != shard {
			return fmt.Errorf("record %d: got %+v, want %+v", i, g, w)
		}
		if d := g.Arrival.Sub(w.Kinesis.ApproximateArrivalTimestamp.Time).Abs(); d > 20*time.Microsecond { // the precision of a float64
			return fmt.Errorf("record %d: arrival differs by %v", i, d)
		}
	}
	return nil
}

func TestDecodeEventAgreesWithAWS(t *testing.T) {
	var e kinesis.Event // reused by all
	rapid.Check(t, func(t *rapid.T) {
		event := events.KinesisTimeWindowEvent{KinesisEvent: events.KinesisEvent{Records: []events.KinesisEventRecord{}}}
		for range rapid.IntRange(0, 5).Draw(t, "records") {
			event.Records = append(event.Records, events.KinesisEventRecord{
				AwsRegion: rapid.String().Draw(t, "region"), EventID: rapid.String().Draw(t, "id"),
				EventSourceArn: rapid.SampledFrom([]string{"arn:a", "arn:b", "", "ärn"}).Draw(t, "arn"),
				Kinesis: events.KinesisRecord{
					ApproximateArrivalTimestamp: events.SecondsEpochTime{
						Time: time.UnixMicro(rapid.Int64Range(0, 4e15).Draw(t, "arrival")),
					},
					Data:           append([]byte{}, rapid.SliceOf(rapid.Byte()).Draw(t, "data")...),
					PartitionKey:   rapid.String().Draw(t, "key"),
					SequenceNumber: rapid.StringMatching(`[0-9]{1,56}`).Draw(t, "sequence"),
				},
			})
		}
		payload, err := json.Marshal(event)
		if err != nil {
			t.Fatal(err)
		}
		var want events.KinesisEvent
		if err := json.Unmarshal(payload, &want); err != nil {
			t.Fatal(err)
		}
		if err := kinesis.DecodeEvent(payload, &e); err != nil {
			t.Fatalf("%s: %v", payload, err)
		}
		if err := same(want.Records, e.Records); err != nil {
			t.Fatalf("%s: %v", payload, err)
		}
	})
}

// strictly decodes a payload by encoding/json with case-sensitive names.
func strictly(payload []byte) ([]events.KinesisEventRecord, error) {
	var top struct{ Records []map[string]json.RawMessage }
	var names map[string]json.RawMessage
	if err := json.Unmarshal(payload, &names); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(names["Records"], &top.Records); err != nil {
		return nil, err
	}
	out := make([]events.KinesisEventRecord, len(top.Records))
	for i, r := range top.Records {
		var inner map[string]json.RawMessage
		if err := json.Unmarshal(r["kinesis"], &inner); err != nil {
			return nil, err
		}
		var seconds float64
		o := &out[i]
		for _, m := range []struct {
			raw  json.RawMessage
			into any
		}{
			{r["eventID"], &o.EventID},
			{r["eventSourceARN"], &o.EventSourceArn},
			{inner["partitionKey"], &o.Kinesis.PartitionKey},
			{inner["sequenceNumber"], &o.Kinesis.SequenceNumber},
			{inner["data"], &o.Kinesis.Data},
			{inner["approximateArrivalTimestamp"], &seconds},
		} {
			if m.raw == nil {
				continue
			}
			if err := json.Unmarshal(m.raw, m.into); err != nil {
				return nil, err
			}
		}
		o.Kinesis.ApproximateArrivalTimestamp.Time = time.UnixMicro(int64(math.Round(seconds * 1e6)))
		if inner["approximateArrivalTimestamp"] == nil {
			o.Kinesis.ApproximateArrivalTimestamp.Time = time.Time{}
		}
	}
	return out, nil
}

func FuzzDecodeEvent(f *testing.F) {
	f.Add([]byte(oneRecord))
	f.Add([]byte(records("")))
	f.Add([]byte(records(record(members + `,"data":"AQ==","approximateArrivalTimestamp":1.5e9`))))
	f.Add([]byte(records(record(members+`,"data":"\/w=="`) + "," + record(members+`,"data":"","x":[{"y":null}]`))))
	f.Add([]byte(records(record(`"partitionKey":"\ud83d\ude00\ud83d","sequenceNumber":"1","data":""`))))
	f.Fuzz(func(t *testing.T, payload []byte) {
		var e kinesis.Event
		if err := kinesis.DecodeEvent(payload, &e); err == nil {
			want, err := strictly(payload)
			if err != nil {
				t.Fatalf("accepted, but encoding/json rejects it: %v", err)
			}
			if err := same(want, e.Records); err != nil {
				t.Fatal(err)
			}
		}
		// What encoding/json accepts and encodes must be accepted.
		var theirs events.KinesisEvent
		if json.Unmarshal(payload, &theirs) != nil || theirs.Records == nil {
			return
		}
		for i := range theirs.Records {
			k := &theirs.Records[i].Kinesis
			if k.Data == nil {
				k.Data = []byte{}
			}
			if k.SequenceNumber == "" {
				k.SequenceNumber = "1"
			}
			k.ApproximateArrivalTimestamp.Time = time.UnixMicro(1)
		}
		encoded, err := json.Marshal(theirs)
		if err != nil {
			return
		}
		if err := kinesis.DecodeEvent(encoded, &e); err != nil {
			t.Fatalf("%s: %v", encoded, err)
		}
		if err := same(theirs.Records, e.Records); err != nil {
			t.Fatalf("%s: %v", encoded, err)
		}
	})
}

func TestResponseEncode(t *testing.T) {
	for want, failed := range map[string][]string{
		`{"batchItemFailures":[]}`: nil,
		`{"batchItemFailures":[{"itemIdentifier":"495"},{"itemIdentifier":"\"\n"}]}`: {"495", "\"\n"},
	} {
		got := kinesis.Response{BatchItemFailures: failed}.Encode()
		if string(got) != want {
			t.Errorf("got %s, want %s", got, want)
		}
		var theirs events.KinesisEventResponse
		if err := json.Unmarshal(got, &theirs); err != nil || len(theirs.BatchItemFailures) != len(failed) {
			t.Errorf("%s: %v, %d failures", got, err, len(theirs.BatchItemFailures))
		}
	}
}

// payload returns an event of n records with size bytes of data each.
func payload(n, size int) []byte {
	random := rand.New(rand.NewPCG(1, 2))
	data := make([]byte, size)
	var b bytes.Buffer
	b.WriteString(`{"Records":[`)
	for i := range n {
		for j := range data {
			data[j] = byte(random.Uint32())
		}
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strings.Replace(strings.TrimSuffix(strings.TrimPrefix(oneRecord, `{"Records":[`), `]}`),
			"AQID", base64.StdEncoding.EncodeToString(data), 1))
	}
	b.WriteString(`]}`)
	return b.Bytes()
}

func BenchmarkDecodeEvent(b *testing.B) {
	in := payload(100, 8<<10)
	var e kinesis.Event
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		if err := kinesis.DecodeEvent(in, &e); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeEventEncodingJSON(b *testing.B) {
	in := payload(100, 8<<10)
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		var e events.KinesisEvent
		if err := json.Unmarshal(in, &e); err != nil {
			b.Fatal(err)
		}
	}
}
