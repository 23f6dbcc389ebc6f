package telemetry

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"strings"
	"testing"
)

// Each byte of a record with a checksum, changed to any other, is found.
func TestDamagedByteIsFound(t *testing.T) {
	t.Parallel()
	one := &Batch{}
	one.Append(Event{"d", "m", 1, 20.5, Good})
	raw := &Batch{Gateway: "gw-1"}
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 40 {
		raw.Append(Event{"press-1", "noise", Micros(i) * 7919, r.NormFloat64(), Good})
	}
	walking := benchBatch(walk)
	for name, b := range map[string]*Batch{"one event": one, "doubles": raw, "every feature": sample(), "a thousand events": walking} {
		for _, c := range []Compression{NoCompression, Zstd} {
			record, err := newEncoder(t, c).AppendRecord(nil, b)
			if err != nil {
				t.Fatal(err)
			}
			t.Run(fmt.Sprintf("%s, flags %d", name, record[1]), func(t *testing.T) {
				t.Parallel()
				testDamage(t, record)
			})
		}
	}
}

func testDamage(t *testing.T, record []byte) {
	t.Helper()
	d := newDecoder(t)
	var b Batch
	if err := d.Decode(record, &b); err != nil || record[1]&flagChecksum == 0 {
		t.Fatalf("flags %#x: %v", record[1], err)
	}
	for i := range record {
		for change := 1; change < 256; change++ {
			record[i] ^= byte(change)
			if err := d.Decode(record, &b); !errors.Is(err, ErrInvalid) || b.Len() > 0 {
				t.Fatalf("byte %d of %d changed by %#02x: got %d events, %v", i, len(record), change, b.Len(), err)
			} else if i >= headerBytes && !strings.Contains(err.Error(), "checksum") {
				t.Fatalf("byte %d: %v, want the checksum in it", i, err)
			}
			if IsTick(record) {
				t.Fatalf("byte %d: %#02x makes the record a tick", i, record[i])
			}
			record[i] ^= byte(change)
		}
	}
}

// Producers of before, and gateways that write the message with a protobuf library, send none.
func TestRecordsWithoutAChecksumAreDecoded(t *testing.T) {
	t.Parallel()
	for _, c := range []Compression{NoCompression, Zstd} {
		record, err := newEncoder(t, c).AppendRecord(nil, sample())
		if err != nil {
			t.Fatal(err)
		}
		without := record[: len(record)-checksumBytes : len(record)-checksumBytes]
		without[1] &^= flagChecksum
		var have Batch
		if err := newDecoder(t).Decode(without, &have); err != nil {
			t.Fatal(err)
		}
		if d := same(sample(), &have); d != "" {
			t.Errorf("compression %d: (-want +have)\n%s", c, d)
		}
	}
}

// The record of doc.go, to the byte.
func TestRecordOfTheDocumentation(t *testing.T) {
	t.Parallel()
	b := &Batch{}
	b.Append(Event{"d", "m", 1, 20.5, Good})
	record, err := newEncoder(t, NoCompression).AppendRecord(nil, b)
	if err != nil {
		t.Fatal(err)
	}
	const want = "0102" + "2a0164" + "32016d" + "3a0100" + "420100" + "4a0100" + "5a0102" + "82010102" + "8a01029a03" + "60380386"
	if have := hex.EncodeToString(record); have != want {
		t.Errorf("got %s, want %s", have, want)
	}
	sum := crc32.Checksum(record[:len(record)-4], crc32.MakeTable(crc32.Castagnoli))
	if got := binary.LittleEndian.Uint32(record[len(record)-4:]); got != sum {
		t.Errorf("got checksum %#x, want %#x", got, sum)
	}
}

// BenchmarkChecksum is what a checksum costs: compare with Encode and Decode of the same record.
func BenchmarkChecksum(b *testing.B) {
	record, err := newEncoder(b, NoCompression).AppendRecord(nil, benchBatch(walk))
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(record)))
	for b.Loop() {
		if _, err := checked(record); err != nil {
			b.Fatal(err)
		}
	}
}
