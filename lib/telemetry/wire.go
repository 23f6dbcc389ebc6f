package telemetry

import (
	"encoding/binary"
	"math/bits"

	"google.golang.org/protobuf/encoding/protowire"
)

// Version is the record's first byte.
const Version = 1

const (
	headerBytes   = 2
	checksumBytes = 4
	flagZstd      = 1 << 0
	flagChecksum  = 1 << 1
	knownFlags    = flagZstd | flagChecksum
)

// Compression is the compression of a record's message.
type Compression uint8

// The compressions of a record.
const (
	NoCompression Compression = iota
	Zstd
)

// field is a field's number in message Batch of record.proto.
type field uint8

const (
	fieldGateway field = iota + 1
	fieldSite
	fieldTrace
	fieldReceived
	fieldDevices
	fieldMetrics
	fieldSeriesDevice
	fieldSeriesMetric
	fieldSeries
	fieldSeriesRuns
	fieldTimes
	fieldTimeRuns
	fieldQualities
	fieldQualityRuns
	fieldValues
	fieldScales
	fieldDecimals
	fieldCount // one more than the last
)

func (f field) String() string {
	return [fieldCount]string{
		"unknown", "gateway", "site", "trace", "received", "devices", "metrics",
		"series_device", "series_metric", "series", "series_runs", "times", "time_runs",
		"qualities", "quality_runs", "values", "scales", "decimals",
	}[f]
}

// The scale of a metric: scaleRaw, scaleDecimal+e or scaleDelta+e.
const (
	scaleRaw     = 0
	scaleDecimal = 1
	scaleDelta   = 17
	maxExponent  = 9
)

// maxDecimal bounds a decimal's magnitude on the wire: below it every integer is a float64.
const maxDecimal = 1 << 53

// pow10 returns 10^e for 0 ≤ e ≤ maxExponent.
func pow10(e int) float64 {
	return [maxExponent + 1]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9}[e]
}

func zigzag(v int64) uint64   { return uint64(v)<<1 ^ uint64(v>>63) }
func unzigzag(u uint64) int64 { return int64(u>>1) ^ -int64(u&1) }

func varintSize(u uint64) int { return (bits.Len64(u|1) + 6) / 7 }

const continuationBits = 0x8080808080808080

// putVarint56 writes u < 2^56 at the start of p, which has 8 bytes or more, and
// returns the size of the varint; the other bytes are overwritten, too. It has no branch
// to mispredict: column entries of two and three bytes alternate at random.
func putVarint56(p []byte, u uint64) int {
	size := varintSize(u)
	u = u&0x000000000fffffff | u&0x00fffffff0000000<<4
	u = u&0x00003fff00003fff | u&0x0fffc0000fffc000<<2
	u = u&0x007f007f007f007f | u&0x3f803f803f803f80<<1
	u |= continuationBits & (1<<(8*(size-1)) - 1)
	binary.LittleEndian.PutUint64(p, u)
	return size
}

// appendVarint is protowire.AppendVarint, faster where p has room.
func appendVarint(p []byte, u uint64) []byte {
	n := len(p)
	if u < 1<<56 && cap(p)-n >= 8 {
		return p[:n+putVarint56(p[n:n+8], u)]
	}
	return protowire.AppendVarint(p, u)
}

// varintAt reads the varint at p[pos] and returns it and the position after it,
// or a negative position if p ends inside it or it exceeds 64 bits.
func varintAt(p []byte, pos int) (uint64, int) {
	if pos+8 <= len(p) {
		u := binary.LittleEndian.Uint64(p[pos:])
		if stop := ^u & continuationBits; stop != 0 {
			return joinGroups(u & (stop ^ (stop - 1))), pos + bits.TrailingZeros64(stop)>>3 + 1
		}
	}
	if pos >= len(p) {
		return 0, -1
	}
	u, n := binary.Uvarint(p[pos:])
	if n <= 0 {
		return 0, -1
	}
	return u, pos + n
}

// joinGroups joins the low seven bits of u's eight bytes.
func joinGroups(u uint64) uint64 {
	u = u&0x007f007f007f007f | u&0x7f007f007f007f00>>1
	u = u&0x00003fff00003fff | u&0x3fff00003fff0000>>2
	return u&0x000000000fffffff | u&0x0fffffff00000000>>4
}

// countVarints returns how many varints end in p.
func countVarints(p []byte) int {
	n := 0
	for ; len(p) >= 8; p = p[8:] {
		n += bits.OnesCount64(^binary.LittleEndian.Uint64(p) & continuationBits)
	}
	for _, c := range p {
		n += int(^c >> 7)
	}
	return n
}
