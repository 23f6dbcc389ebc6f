package testpattern

import (
	"encoding/binary"
	"errors"
	"time"
)

// The time code's place in the picture: cells of one macroblock, black for 0 and white for 1.
const (
	TimeCodeCols  = 20
	TimeCodeRows  = 4
	TimeCodeCell  = 16 // pixels
	timeCodeBytes = TimeCodeCols * TimeCodeRows / 8
	// TimeCodeUnit is the resolution of the time in the picture.
	TimeCodeUnit = 100 * time.Microsecond
)

// TimeCode is what a picture says about itself.
type TimeCode struct {
	// Captured is the sender's clock when the picture was made, cut to TimeCodeUnit.
	Captured time.Time
	// Frame counts the pictures and wraps.
	Frame uint16
}

// ErrNoTimeCode means that a picture carries no time code, or a damaged one.
var ErrNoTimeCode = errors.New("the picture carries no valid time code")

// bytes returns the bits of the cells, row by row from the top left, the most significant first: 48 bits of time since the Unix epoch
// in TimeCodeUnit, 16 bits of the frame's number, and the CRC-16/CCITT-FALSE of those.
func (c TimeCode) bytes() [timeCodeBytes]byte {
	var code [timeCodeBytes]byte
	units := uint64(c.Captured.UnixMicro() / TimeCodeUnit.Microseconds())
	binary.BigEndian.PutUint64(code[:8], units<<16|uint64(c.Frame))
	binary.BigEndian.PutUint16(code[8:], crc(code[:8]))
	return code
}

// ReadTimeCode reads the time code from the luma samples of a decoded picture, stride bytes a row; only the first
// TimeCodeCols*TimeCodeCell samples of TimeCodeRows*TimeCodeCell rows are looked at. The error is ErrNoTimeCode.
func ReadTimeCode(luma []byte, stride int) (TimeCode, error) {
	if stride < TimeCodeCols*TimeCodeCell || len(luma) < (TimeCodeRows*TimeCodeCell-1)*stride+TimeCodeCols*TimeCodeCell {
		return TimeCode{}, ErrNoTimeCode
	}
	var code [timeCodeBytes]byte
	for cell := range TimeCodeCols * TimeCodeRows {
		const margin = TimeCodeCell / 4
		sum := 0
		for y := margin; y < TimeCodeCell-margin; y++ {
			from := (cell/TimeCodeCols*TimeCodeCell+y)*stride + cell%TimeCodeCols*TimeCodeCell
			for _, v := range luma[from+margin : from+TimeCodeCell-margin] {
				sum += int(v)
			}
		}
		if sum > 128*(TimeCodeCell-2*margin)*(TimeCodeCell-2*margin) {
			code[cell/8] |= 1 << (7 - cell%8)
		}
	}
	if binary.BigEndian.Uint16(code[8:]) != crc(code[:8]) {
		return TimeCode{}, ErrNoTimeCode
	}
	value := binary.BigEndian.Uint64(code[:8])
	micros := int64(value>>16) * TimeCodeUnit.Microseconds()
	return TimeCode{Captured: time.UnixMicro(micros), Frame: uint16(value)}, nil
}

// crc returns the CRC-16/CCITT-FALSE: polynomial 0x1021, initial value 0xFFFF, not reflected.
func crc(data []byte) uint16 {
	sum := uint16(0xFFFF)
	for _, b := range data {
		sum ^= uint16(b) << 8
		for range 8 {
			if sum&0x8000 != 0 {
				sum = sum<<1 ^ 0x1021
			} else {
				sum <<= 1
			}
		}
	}
	return sum
}
