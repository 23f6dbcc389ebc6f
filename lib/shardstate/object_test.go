package shardstate

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/insighthub/insighthub/lib/telemetry"
)

const testKey = "shardstate/bridge/telemetry/shardId-000000000000"

// seed returns an object as a save writes it.
func seed(tb testing.TB, compress bool, watermark Sequence, state []byte) []byte {
	tb.Helper()
	c, err := newCompressor(1 << 20)
	if err != nil {
		tb.Fatal(err)
	}
	out := appendHeader(nil, nonce{1, 2, 3}, watermark, compress)
	if compress {
		out = c.encoder.EncodeAll(state, out)
	} else {
		out = append(out, state...)
	}
	return appendTrailer(out, testKey)
}

const kinesisNumber = "49590338271490256608559692538361571095921575989136588898"

func TestObject(t *testing.T) {
	c, err := newCompressor(1 << 20)
	if err != nil {
		t.Fatal(err)
	}
	state := bytes.Repeat([]byte("state"), 1000)
	for _, compress := range []bool{false, true} {
		body := seed(t, compress, kinesisNumber, state)
		o, err := parseObject(testKey, body)
		if err != nil {
			t.Fatal(err)
		}
		got, err := c.stateOf(o)
		if err != nil || !bytes.Equal(got, state) || o.watermark != kinesisNumber || o.nonce != (nonce{1, 2, 3}) {
			t.Errorf("zstd %t: got %d bytes at %s, %x, %v", compress, len(got), o.watermark, o.nonce, err)
		}
		if overhead := len(body) - len(state); !compress && overhead != 83 {
			t.Errorf("got %d bytes of overhead, want 83", overhead)
		}
		for i := range body {
			damaged := bytes.Clone(body)
			damaged[i] ^= 0x10
			if _, err := parseObject(testKey, damaged); !errors.Is(err, telemetry.ErrInvalid) {
				t.Fatalf("zstd %t: byte %d damaged: got %v, want telemetry.ErrInvalid", compress, i, err)
			}
			if _, err := parseObject(testKey, body[:i]); !errors.Is(err, telemetry.ErrInvalid) {
				t.Fatalf("zstd %t: truncated at %d: got %v, want telemetry.ErrInvalid", compress, i, err)
			}
		}
		if _, err := parseObject(testKey+"1", body); !errors.Is(err, telemetry.ErrInvalid) {
			t.Errorf("under another key: got %v, want telemetry.ErrInvalid", err)
		}
	}
}

func TestDecompressedStateIsLimited(t *testing.T) {
	c, err := newCompressor(1 << 16)
	if err != nil {
		t.Fatal(err)
	}
	o, err := parseObject(testKey, seed(t, true, "1", make([]byte, 1<<20)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.stateOf(o); !errors.Is(err, telemetry.ErrInvalid) {
		t.Errorf("1 MiB of zeros with a limit of 64 KiB: got %v, want telemetry.ErrInvalid", err)
	}
}

// FuzzObject: no body makes the parser panic, and each body that it accepts is equal to
// the encoding of its parts.
func FuzzObject(f *testing.F) {
	for _, compress := range []bool{false, true} {
		for _, state := range []string{"", "x", strings.Repeat("state ", 100)} {
			f.Add(seed(f, compress, kinesisNumber, []byte(state)))
			f.Add(seed(f, compress, "0", []byte(state)))
		}
	}
	f.Add(seed(f, false, "", nil))
	f.Add(seed(f, false, "007", nil))
	f.Add(appendTrailer([]byte(magic+"\x01\x02"), testKey))
	c, err := newCompressor(1 << 16)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if len(body) >= crcBytes { // so that the checksum matches
			body = appendTrailer(bytes.Clone(body[:len(body)-crcBytes]), testKey)
		}
		o, err := parseObject(testKey, body)
		if err != nil {
			if !errors.Is(err, telemetry.ErrInvalid) {
				t.Fatal(err)
			}
			return
		}
		encoded := append(appendHeader(nil, o.nonce, o.watermark, o.zstd), o.state...)
		if !bytes.Equal(appendTrailer(encoded, testKey), body) {
			t.Fatalf("got %x, want %x", encoded, body)
		}
		if state, err := c.stateOf(o); err != nil && !errors.Is(err, telemetry.ErrInvalid) || len(state) > 1<<16 {
			t.Fatalf("got %d bytes, %v, want at most 64 KiB or telemetry.ErrInvalid", len(state), err)
		}
	})
}
