package timescale

import (
	"encoding/binary"
	"io"
)

// copyStatement names the columns in the order of copyReader.
const copyStatement = "COPY event (device_id, metric_id, time, value, quality) FROM STDIN (FORMAT binary)"

// PostgreSQL's binary COPY format (manual, "COPY", Binary Format).
const (
	copyHeader  = "PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	copyTrailer = "\xff\xff"
	// copyRow is a row of five fields, each with its length; all values are zero:
	// int4, int4, timestamptz, float8, int2.
	copyRow = "\x00\x05" +
		"\x00\x00\x00\x04" + "\x00\x00\x00\x00" +
		"\x00\x00\x00\x04" + "\x00\x00\x00\x00" +
		"\x00\x00\x00\x08" + "\x00\x00\x00\x00\x00\x00\x00\x00" +
		"\x00\x00\x00\x08" + "\x00\x00\x00\x00\x00\x00\x00\x00" +
		"\x00\x00\x00\x02" + "\x00\x00"
	copyRowBytes = len(copyRow)
)

// postgresEpoch is the epoch of timestamptz, 2000-01-01T00:00:00Z, in microseconds
// since 1970.
const postgresEpoch = 946684800 * 1_000_000

// copyReader encodes rows as a COPY stream, directly into the buffer of its reader.
type copyReader struct {
	rows    []row
	started bool
	ended   bool
	// left is the part that did not fit into the last buffer; store is its memory.
	left  []byte
	store [copyRowBytes]byte
}

// Read fills p with whole rows, or completely if p is smaller than a row.
func (c *copyReader) Read(p []byte) (int, error) {
	n := copy(p, c.left)
	c.left = c.left[n:]
	for len(c.left) == 0 && n < len(p) {
		// Rows that fit are encoded into p without a copy.
		if c.started {
			whole := min((len(p)-n)/copyRowBytes, len(c.rows))
			for _, r := range c.rows[:whole] {
				encodeRow(p[n:n+copyRowBytes], r)
				n += copyRowBytes
			}
			c.rows = c.rows[whole:]
			if whole > 0 && len(c.rows) > 0 {
				return n, nil
			}
		}
		if !c.next() {
			break
		}
		m := copy(p[n:], c.left)
		n, c.left = n+m, c.left[m:]
	}
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

// next encodes the next part of the stream into left. It returns false at the end.
func (c *copyReader) next() bool {
	switch {
	case !c.started:
		c.started = true
		c.left = append(c.store[:0], copyHeader...)
	case len(c.rows) > 0:
		encodeRow(c.store[:], c.rows[0])
		c.left, c.rows = c.store[:], c.rows[1:]
	case !c.ended:
		c.ended = true
		c.left = append(c.store[:0], copyTrailer...)
	default:
		return false
	}
	return true
}

func encodeRow(p []byte, r row) {
	_ = p[copyRowBytes-1]
	copy(p, copyRow)
	binary.BigEndian.PutUint32(p[6:], r.device())
	binary.BigEndian.PutUint32(p[14:], r.metric())
	binary.BigEndian.PutUint64(p[22:], uint64(r.time-postgresEpoch))
	binary.BigEndian.PutUint64(p[34:], r.bits())
	binary.BigEndian.PutUint16(p[46:], uint16(r.quality))
}
