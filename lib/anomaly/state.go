package anomaly

import "math"

const (
	stateVersion = 1
	stateWords   = 5

	// StateSize is the length of a saved state in bytes: version, words, checksum.
	StateSize = 1 + 8*stateWords + 8
)

// StateError says why a saved state was refused.
type StateError struct {
	// Reason names what is wrong: the length, the version, the checksum or a field.
	Reason string
}

func (e *StateError) Error() string { return "anomaly: saved state: " + e.Reason }

// AppendState appends the state, [StateSize] bytes, to dst.
func (d *Detector) AppendState(dst []byte) []byte {
	start := len(dst)
	dst = append(dst, stateVersion)
	words := d.words()
	for _, word := range words {
		dst = appendWord(dst, word)
	}
	return appendWord(dst, checksum(dst[start:]))
}

// Restore makes the detector what it was when the state was saved. Of a state
// that no detector saved it returns a *[StateError] and changes nothing.
func (d *Detector) Restore(state []byte) error {
	if len(state) != StateSize {
		return &StateError{Reason: "wrong length"}
	}
	if state[0] != stateVersion {
		return &StateError{Reason: "unknown version"}
	}
	if checksum(state[:StateSize-8]) != wordAt(state, StateSize-8) {
		return &StateError{Reason: "wrong checksum"}
	}
	var words [stateWords]uint64
	for i := range words {
		words[i] = wordAt(state, 1+8*i)
	}
	var restored Detector
	restored.setWords(&words)
	if field := restored.invalid(); field != "" {
		return &StateError{Reason: field + " out of range"}
	}
	*d = restored
	return nil
}

// Hash returns a hash of the state: equal states have equal hashes, on every
// platform.
func (d *Detector) Hash() uint64 {
	words := d.words()
	sum := uint64(offsetBasis)
	for _, word := range words {
		sum = (sum ^ word) * prime
		sum ^= sum >> 32
	}
	return sum
}

func (d *Detector) words() [stateWords]uint64 {
	return [stateWords]uint64{
		d.seen, uint64(d.rest),
		math.Float64bits(d.last), math.Float64bits(d.mean), math.Float64bits(d.spread),
	}
}

func (d *Detector) setWords(words *[stateWords]uint64) {
	d.seen, d.rest = words[0], uint32(words[1])
	d.last, d.mean, d.spread = math.Float64frombits(words[2]), math.Float64frombits(words[3]), math.Float64frombits(words[4])
}

// invalid names a field whose value no sequence of samples leads to.
func (d *Detector) invalid() string {
	switch {
	case d.rest > resting:
		return "rest"
	case !(math.Abs(d.last) <= valueMax):
		return "last"
	case !(math.Abs(d.mean) <= 2*valueMax):
		return "mean"
	case !(d.spread >= 0 && d.spread <= 8*valueMax*valueMax):
		return "spread"
	}
	return ""
}

// The hash is FNV-1a's.
const (
	offsetBasis = 0xcbf29ce484222325
	prime       = 0x100000001b3
)

func checksum(data []byte) uint64 {
	sum := uint64(offsetBasis)
	for _, b := range data {
		sum = (sum ^ uint64(b)) * prime
	}
	return sum
}

func appendWord(dst []byte, word uint64) []byte {
	return append(dst, byte(word), byte(word>>8), byte(word>>16), byte(word>>24),
		byte(word>>32), byte(word>>40), byte(word>>48), byte(word>>56))
}

func wordAt(data []byte, at int) uint64 {
	data = data[at : at+8]
	return uint64(data[0]) | uint64(data[1])<<8 | uint64(data[2])<<16 | uint64(data[3])<<24 |
		uint64(data[4])<<32 | uint64(data[5])<<40 | uint64(data[6])<<48 | uint64(data[7])<<56
}
