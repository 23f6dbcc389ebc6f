package telemetry

import (
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"testing"
)

// FuzzDecode decodes any input: the decoder must not panic, its errors wrap ErrInvalid, and
// what it decodes is the same after it is encoded and decoded.
func FuzzDecode(f *testing.F) {
	for _, c := range []Compression{NoCompression, Zstd} {
		e := newEncoder(f, c)
		for _, b := range []*Batch{sample(), benchBatch(walk), benchBatch(func(r *rand.Rand, _ float64) float64 { return r.Float64() })} {
			record, err := e.AppendRecord(nil, b)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(record)
			f.Add(record[:len(record)/2])
		}
	}
	f.Add([]byte{Version, 0})
	f.Add(columns().bytes(fieldValues, make([]byte, 16)).record())
	f.Add(two(fieldTimeRuns, 1<<63))
	f.Add(append(columns().packed(fieldScales, 17).packed(fieldDecimals, 2, 2).record(), unknownFields()...))
	e, d := newEncoder(f, NoCompression), newDecoder(f)
	f.Fuzz(func(t *testing.T, record []byte) {
		var first, second Batch
		if err := d.Decode(record, &first); err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Errorf("have %v, want ErrInvalid", err)
			}
			if first.Len() != 0 {
				t.Errorf("got %d events after %v, want none", first.Len(), err)
			}
			return
		}
		encoded, err := e.AppendRecord(nil, &first)
		if err != nil {
			t.Fatalf("cannot encode what was decoded: %v", err)
		}
		if err := d.Decode(encoded, &second); err != nil {
			t.Fatalf("cannot decode what was encoded: %v", err)
		}
		if diff := same(&first, &second); diff != "" {
			t.Errorf("(-first +second)\n%s", diff)
		}
	})
}

// FuzzRoundTrip interprets its input as events of 12 bytes: device, metric, quality, time
// step, value.
func FuzzRoundTrip(f *testing.F) {
	add := func(values ...float64) {
		var p []byte
		for i, v := range values {
			p = binary.LittleEndian.AppendUint64(append(p, byte(i%3), byte(i%2), byte(i), byte(i*i)), math.Float64bits(v))
		}
		f.Add(p, int64(1795425713123456), false)
		f.Add(p, int64(math.MinInt64), true)
	}
	add(1, 2, 3)
	add(0.1, 0.2, 0.3, 71.25)
	add(math.NaN(), math.Inf(1), math.Copysign(0, -1), 0)
	add(1<<53, 1<<53-1, -(1 << 53), 1<<50, 1e-9, 123456.789)
	plain, compressed, d := newEncoder(f, NoCompression), newEncoder(f, Zstd), newDecoder(f)
	f.Fuzz(func(t *testing.T, p []byte, start int64, compress bool) {
		const eventBytes = 12
		want, at := Batch{Received: Micros(start)}, Micros(start)
		for ; len(p) >= eventBytes && want.Len() < MaxBatchEvents; p = p[eventBytes:] {
			at += Micros(int8(p[3])) * 1000
			want.Append(Event{
				Device: DeviceName('A' + rune(p[0]%48)), Metric: MetricName('A' + rune(p[1]%8)),
				Quality: Quality(p[2] % 3), Time: at, Value: math.Float64frombits(binary.LittleEndian.Uint64(p[4:])),
			})
		}
		if want.Len() == 0 {
			return
		}
		e := plain
		if compress {
			e = compressed
		}
		record, err := e.AppendRecord(nil, &want)
		if err != nil {
			t.Fatal(err)
		}
		var have Batch
		if err := d.Decode(record, &have); err != nil {
			t.Fatal(err)
		}
		if diff := same(&want, &have); diff != "" {
			t.Errorf("(-want +have)\n%s", diff)
		}
	})
}
