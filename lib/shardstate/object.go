package shardstate

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/klauspost/compress/zstd"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// The object's format; see the package comment.
const (
	magic       = "ISHS"
	version     = 1
	flagZstd    = 1 << 0
	nonceBytes  = 16
	fixedHeader = len(magic) + 2 + nonceBytes + 1
	crcBytes    = 4
)

// nonce identifies a save.
type nonce [nonceBytes]byte

// object is a decoded object. Its state refers to the body that it was decoded from.
type object struct {
	nonce     nonce
	watermark Sequence
	zstd      bool
	state     []byte // as in the body: compressed when zstd
}

// checksum covers the object's key, so that an object copied to another key is not
// valid there.
func checksum(key string, body []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	return crc32.Update(crc32.Checksum([]byte(key), table), table, body)
}

// appendHeader appends the part before the state.
func appendHeader(dst []byte, n nonce, watermark Sequence, compressed bool) []byte {
	var flags byte
	if compressed {
		flags |= flagZstd
	}
	dst = append(dst, magic...)
	dst = append(dst, version, flags)
	dst = append(dst, n[:]...)
	dst = append(dst, byte(len(watermark)))
	return append(dst, watermark...)
}

// appendTrailer ends an object that begins where dst does.
func appendTrailer(dst []byte, key string) []byte {
	return binary.BigEndian.AppendUint32(dst, checksum(key, dst))
}

// parseObject decodes an object. Errors wrap telemetry.ErrInvalid.
func parseObject(key string, body []byte) (object, error) {
	o, err := parse(key, body)
	if err != nil {
		return object{}, fmt.Errorf("state object of %d bytes: %w: %w", len(body), telemetry.ErrInvalid, err)
	}
	return o, nil
}

func parse(key string, body []byte) (object, error) {
	var o object
	if len(body) < fixedHeader+crcBytes {
		return o, errors.New("too short")
	}
	if string(body[:len(magic)]) != magic {
		return o, errors.New("not a state")
	}
	if v := body[len(magic)]; v != version {
		return o, fmt.Errorf("version %d, want %d", v, version)
	}
	content, sum := body[:len(body)-crcBytes], binary.BigEndian.Uint32(body[len(body)-crcBytes:])
	if checksum(key, content) != sum {
		return o, errors.New("checksum does not match: damaged, or written under another key")
	}
	flags := body[len(magic)+1]
	if flags&^flagZstd != 0 {
		return o, fmt.Errorf("flags %#x: unknown", flags)
	}
	o.zstd = flags&flagZstd != 0
	at := len(magic) + 2
	at += copy(o.nonce[:], content[at:at+nonceBytes])
	digits := int(content[at])
	at++
	if digits > len(content)-at {
		return o, errors.New("watermark: truncated")
	}
	o.watermark = Sequence(content[at : at+digits])
	if err := o.watermark.Validate(); err != nil {
		return o, fmt.Errorf("watermark: %w", err)
	}
	o.state = content[at+digits:]
	return o, nil
}

// compressor compresses states; it is safe for concurrent use.
type compressor struct {
	encoder *zstd.Encoder
	decoder *zstd.Decoder
}

func newCompressor(maxBytes int) (*compressor, error) {
	encoder, err := zstd.NewWriter(nil,
		zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false))
	if err != nil {
		return nil, fmt.Errorf("zstd: %w", err)
	}
	decoder, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(uint64(maxBytes)))
	if err != nil {
		return nil, fmt.Errorf("zstd: %w", err)
	}
	return &compressor{encoder: encoder, decoder: decoder}, nil
}

// stateOf returns the object's encoded state.
func (c *compressor) stateOf(o object) ([]byte, error) {
	if !o.zstd {
		return o.state, nil
	}
	state, err := c.decoder.DecodeAll(o.state, nil)
	if err != nil {
		return nil, fmt.Errorf("state: %w: %w", telemetry.ErrInvalid, err)
	}
	return state, nil
}
