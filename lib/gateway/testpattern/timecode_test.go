package testpattern

import (
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// luma renders a picture's blocks as samples.
func luma(blocks []block, cols int) (samples []byte, stride int) {
	stride = cols * 16
	samples = make([]byte, len(blocks)*256)
	for i, b := range blocks {
		text := appendGlyph(nil, b)
		for y := range 16 {
			at := (i/cols*16+y)*stride + i%cols*16
			for x := range 16 {
				samples[at+x] = b.y
				if b.glyph != 0 {
					samples[at+x] = text[y*16+x]
				}
			}
		}
	}
	return samples, stride
}

func TestTimeCodeIsReadBack(t *testing.T) {
	t.Parallel()
	p := newPattern("press-01", 640, 360)
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		want := TimeCode{Captured: time.UnixMicro(random.Int64N(1<<48) * 100), Frame: uint16(random.Uint32())}
		samples, stride := luma(p.draw(want, "running"), p.cols)
		got, err := ReadTimeCode(samples, stride)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
	}
}

// The layout is a contract with pages that read it: these bits must not change.
func TestTimeCodeBits(t *testing.T) {
	t.Parallel()
	code := TimeCode{Captured: time.UnixMicro(1_790_000_000_123_456), Frame: 0xABCD}
	want := [timeCodeBytes]byte{0x10, 0x47, 0xab, 0x24, 0x3c, 0xd2, 0xab, 0xcd, 0, 0}
	sum := crc(want[:8])
	want[8], want[9] = byte(sum>>8), byte(sum)
	if diff := cmp.Diff(want, code.bytes()); diff != "" {
		t.Error(diff)
	}
	if got := crc([]byte("123456789")); got != 0x29B1 {
		t.Errorf("the checksum of 123456789 is %04x, want 29b1, that of CRC-16/CCITT-FALSE", got)
	}
}

func TestDamagedTimeCodeIsRejected(t *testing.T) {
	t.Parallel()
	p := newPattern("press-01", 320, 240)
	samples, stride := luma(p.draw(TimeCode{Captured: time.UnixMicro(1e15), Frame: 7}, "running"), p.cols)
	for cell := range TimeCodeCols * TimeCodeRows {
		damaged := append([]byte(nil), samples...)
		for y := range TimeCodeCell {
			at := (cell/TimeCodeCols*TimeCodeCell+y)*stride + cell%TimeCodeCols*TimeCodeCell
			for x := range TimeCodeCell {
				damaged[at+x] = 251 - damaged[at+x] // black and white exchanged
			}
		}
		if _, err := ReadTimeCode(damaged, stride); !errors.Is(err, ErrNoTimeCode) {
			t.Errorf("cell %d inverted: error %v, want %v", cell, err, ErrNoTimeCode)
		}
	}
	for name, level := range map[string]byte{"black": 16, "white": 235, "grey": 128} {
		for i := range samples {
			samples[i] = level
		}
		if _, err := ReadTimeCode(samples, stride); !errors.Is(err, ErrNoTimeCode) {
			t.Errorf("%s: error %v, want %v", name, err, ErrNoTimeCode)
		}
	}
	if _, err := ReadTimeCode(samples[:100], 320); !errors.Is(err, ErrNoTimeCode) {
		t.Errorf("too few samples: error %v, want %v", err, ErrNoTimeCode)
	}
}
