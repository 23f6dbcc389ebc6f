package telemetry

import (
	"errors"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// sample is a small batch with every feature.
func sample() *Batch {
	b := &Batch{Gateway: "gw-1", Site: "plant-1", Trace: "Root=1-a-b", Received: 1795425713200000}
	const t = 1795425713123456
	for _, e := range []Event{
		{"press-1", "temperature", t, 71.25, Good},
		{"press-1", "vibration", t, math.Pi, Good},
		{"press-2", "temperature", t, 68.5, Uncertain},
		{"press-2", "count", t, 12345, Good},
		{"press-1", "temperature", t + 100_000, 71.375, Good},
		{"press-1", "vibration", t + 100_000, math.Copysign(0, -1), Bad},
		{"press-2", "temperature", t + 100_000, 68.625, Bad},
		{"press-2", "count", t - 50, 12346, Good},
		{"Förderband", "état", 0, math.NaN(), Good},
	} {
		b.Append(e)
	}
	return b
}

func newEncoder(tb testing.TB, c Compression) *Encoder {
	tb.Helper()
	e, err := NewEncoder(c)
	if err != nil {
		tb.Fatal(err)
	}
	return e
}

func newDecoder(tb testing.TB) *Decoder {
	tb.Helper()
	d, err := NewDecoder(DefaultLimits())
	if err != nil {
		tb.Fatal(err)
	}
	return d
}

// same reports how two batches differ in header or events; values are compared by
// their bits.
func same(want, have *Batch) string {
	type head struct {
		Gateway  GatewayID
		Site     SiteID
		Trace    string
		Received Micros
		Len      int
	}
	of := func(b *Batch) head { return head{b.Gateway, b.Site, b.Trace, b.Received, b.Len()} }
	if d := cmp.Diff(of(want), of(have)); d != "" {
		return d
	}
	for i := range want.Len() {
		w, h := want.Event(i), have.Event(i)
		if math.Float64bits(w.Value) != math.Float64bits(h.Value) {
			return cmp.Diff(w, h)
		}
		if w.Value, h.Value = 0, 0; w != h {
			return cmp.Diff(w, h)
		}
	}
	return ""
}

func TestRoundTrip(t *testing.T) {
	for _, c := range []Compression{NoCompression, Zstd} {
		record, err := newEncoder(t, c).AppendRecord([]byte("before"), sample())
		if err != nil {
			t.Fatal(err)
		}
		if string(record[:6]) != "before" {
			t.Errorf("the bytes before the record changed: %q", record[:6])
		}
		var have Batch
		if err := newDecoder(t).Decode(record[6:], &have); err != nil {
			t.Fatal(err)
		}
		if d := same(sample(), &have); d != "" {
			t.Errorf("compression %d: (-want +have)\n%s", c, d)
		}
	}
}

func TestTruncatedRecordIsInvalid(t *testing.T) {
	for _, c := range []Compression{NoCompression, Zstd} {
		b := benchBatch(walk)
		record, err := newEncoder(t, c).AppendRecord(nil, b)
		if err != nil {
			t.Fatal(err)
		}
		d := newDecoder(t)
		for n := range len(record) {
			if err := d.Decode(record[:n:n], b); !errors.Is(err, ErrInvalid) {
				t.Fatalf("compression %d: first %d of %d bytes: have %v, want ErrInvalid", c, n, len(record), err)
			}
			if b.Len() != 0 || len(b.Devices) != 0 || b.Gateway != "" {
				t.Fatalf("compression %d: first %d bytes: the batch is not empty after the error", c, n)
			}
		}
	}
}
