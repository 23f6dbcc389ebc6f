package telemetry

import (
	"encoding/binary"
	"hash/crc32"
)

// castagnoli returns the table of the polynomial for which processors have an instruction.
func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// appendChecksum appends the checksum of the record that begins at start.
func appendChecksum(dst []byte, start int) []byte {
	return binary.LittleEndian.AppendUint32(dst, crc32.Checksum(dst[start:], castagnoli()))
}

// checked returns the message of a record as it was sent, without its checksum, which it
// verifies. A record without the flag that ends with the checksum that it would have with it
// has lost the flag.
func checked(record []byte) ([]byte, error) {
	end := len(record) - checksumBytes
	if record[1]&flagChecksum == 0 {
		if end >= headerBytes && binary.LittleEndian.Uint32(record[end:]) == flaggedChecksum(record[:end]) {
			return nil, invalid("checksum: flag %#02x is missing in %#02x: the record was damaged", flagChecksum, record[1])
		}
		return record[headerBytes:], nil
	}
	if end < headerBytes {
		return nil, invalid("checksum: want %d bytes, have %d", checksumBytes, len(record)-headerBytes)
	}
	want, have := binary.LittleEndian.Uint32(record[end:]), crc32.Checksum(record[:end], castagnoli())
	if have != want {
		return nil, invalid("checksum: want %#08x, have %#08x of %d bytes: the record was damaged", want, have, end)
	}
	return record[headerBytes:end], nil
}

// flaggedChecksum returns the checksum that the record would have with the flag.
func flaggedChecksum(record []byte) uint32 {
	table := castagnoli()
	crc := ^uint32(0)
	for _, b := range [headerBytes]byte{record[0], record[1] | flagChecksum} {
		crc = table[byte(crc)^b] ^ crc>>8
	}
	return crc32.Update(^crc, table, record[headerBytes:])
}
