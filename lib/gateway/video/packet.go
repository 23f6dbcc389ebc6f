package video

// maxPayload is the size of an RTP payload: a datagram of 1,200 bytes, less the headers of RTP with its extensions and SRTP's tag.
const maxPayload = 1140

// payloads cuts a frame into RTP payloads (RFC 6184 in packetization mode 1, RFC 7741). The last one ends the picture.
func payloads(f *Frame) [][]byte {
	if f.Codec == VP8 {
		return vp8Payloads(f.Units[0])
	}
	list := make([][]byte, 0, len(f.Units)+f.size()/maxPayload)
	for i := 0; i < len(f.Units); i++ {
		if n := aggregate(f.Units[i:]); n > 1 {
			list = append(list, stap(f.Units[i:i+n]))
			i += n - 1
			continue
		}
		list = appendUnit(list, f.Units[i])
	}
	return list
}

// aggregate returns how many of the first units fit one payload together.
func aggregate(units [][]byte) int {
	size := 1
	for n, u := range units {
		size += 2 + len(u)
		if size > maxPayload {
			return n
		}
	}
	return len(units)
}

// stap returns an aggregation packet (RFC 6184, section 5.7.1).
func stap(units [][]byte) []byte {
	const typeSTAPA = 24
	p := []byte{typeSTAPA}
	for _, u := range units {
		// The highest nal_ref_idc of its units.
		p[0] = max(p[0]&0x60, u[0]&0x60) | typeSTAPA
		p = append(p, byte(len(u)>>8), byte(len(u)))
		p = append(p, u...)
	}
	return p
}

// appendUnit appends a NAL unit as it is, or in fragments (RFC 6184, section 5.8).
func appendUnit(list [][]byte, unit []byte) [][]byte {
	if len(unit) <= maxPayload {
		return append(list, unit)
	}
	const typeFUA, start, end = 28, 0x80, 0x40
	header, rest := unit[0], unit[1:]
	mark := byte(start)
	for len(rest) > 0 {
		n := min(len(rest), maxPayload-2)
		if n == len(rest) {
			mark |= end
		}
		p := make([]byte, 0, n+2)
		p = append(p, header&0x60|typeFUA, mark|header&0x1F)
		list = append(list, append(p, rest[:n]...))
		rest, mark = rest[n:], 0
	}
	return list
}

// vp8Payloads cuts a VP8 frame, each piece behind a descriptor of one byte.
func vp8Payloads(frame []byte) [][]byte {
	const startOfPartition = 0x10
	list := make([][]byte, 0, len(frame)/maxPayload+1)
	mark := byte(startOfPartition)
	for len(frame) > 0 {
		n := min(len(frame), maxPayload-1)
		p := make([]byte, 0, n+1)
		list = append(list, append(append(p, mark), frame[:n]...))
		frame, mark = frame[n:], 0
	}
	return list
}
