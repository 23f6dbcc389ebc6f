package telemetry

import (
	"testing"

	"pgregory.net/rapid"
)

func TestEveryBatchIsDecodedToTheSameBits(t *testing.T) {
	plain, compressed, d := newEncoder(t, NoCompression), newEncoder(t, Zstd), newDecoder(t)
	var have Batch
	rapid.Check(t, func(t *rapid.T) {
		want := drawBatch(t, 300)
		for _, e := range []*Encoder{plain, compressed} {
			record, err := e.AppendRecord(nil, want)
			if err != nil {
				t.Fatal(err)
			}
			if err := d.Decode(record, &have); err != nil {
				t.Fatal(err)
			}
			clear(record) // a decoded batch must not refer to the record
			if diff := same(want, &have); diff != "" {
				t.Fatalf("(-want +have)\n%s", diff)
			}
		}
	})
}

func TestVarints(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		u := rapid.Uint64Max(1<<56-1).Draw(t, "u") >> rapid.IntRange(0, 55).Draw(t, "shift")
		buf := make([]byte, 16)
		n := putVarint56(buf, u)
		if n != varintSize(u) {
			t.Fatalf("%d: wrote %d bytes, varintSize says %d", u, n, varintSize(u))
		}
		for _, p := range [][]byte{buf, buf[:n:n]} { // with and without bytes after it
			if have, next := varintAt(p, 0); have != u || next != n {
				t.Fatalf("%d: have %d, %d bytes of %d", u, have, next, n)
			}
		}
		if have := countVarints(buf[:n]); have != 1 {
			t.Fatalf("%d: counted %d varints in its %d bytes", u, have, n)
		}
		if _, next := varintAt(buf[:n-1:n-1], 0); next >= 0 {
			t.Fatalf("%d: the varint without its last byte was read", u)
		}
	})
}

func TestRecordsRespectSizeAndOrder(t *testing.T) {
	encoders, d := []*Encoder{newEncoder(t, NoCompression), newEncoder(t, Zstd)}, newDecoder(t)
	rapid.Check(t, func(t *rapid.T) {
		want := drawBatch(t, 300)
		maxBytes := rapid.IntRange(250, 3000).Draw(t, "maxBytes")
		e := rapid.SampledFrom(encoders).Draw(t, "encoder")
		var records [][]byte
		err := e.AppendRecords(want, maxBytes, func(record []byte) error {
			records = append(records, record)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		have := Batch{Gateway: want.Gateway, Site: want.Site, Trace: want.Trace, Received: want.Received}
		for _, record := range records {
			if len(record) > maxBytes {
				t.Fatalf("a record of %d bytes, want at most %d", len(record), maxBytes)
			}
			var part Batch
			if err := d.Decode(record, &part); err != nil {
				t.Fatal(err)
			}
			for i := range part.Len() {
				have.Append(part.Event(i))
			}
			if part.Gateway != want.Gateway || part.Site != want.Site || part.Trace != want.Trace || part.Received != want.Received {
				t.Fatalf("a record lost the batch's header")
			}
		}
		if diff := same(want, &have); diff != "" {
			t.Fatalf("(-want +have)\n%s", diff)
		}
	})
}
