package anomaly

import "math"

const (
	// stateVersion is the first byte of a saved state. States of the first version have no
	// strides, and a checksum over bytes; they can be restored too.
	stateVersion = 2
	stateFirst   = 1

	stateHead    = 36 // counts and float64s
	stateStrides = 4  // the last of the float64s
	stateHours   = hoursOfDay + hoursOfWeek
	statePacked  = (stateHours + 15) / 16 // counts of hours, four bits each
	stateWords   = stateHead + stateHours + statePacked

	// StateSize is the length of a saved state in bytes: version, words, checksum.
	StateSize = 1 + 8*stateWords + 8
)

// StateError is the reason why a saved state was rejected.
type StateError struct {
	// Reason names the problem: the length, the version, the checksum or a field.
	Reason string
}

func (e *StateError) Error() string { return "anomaly: saved state: " + e.Reason }

// AppendState appends the state, [StateSize] bytes, to dst.
func (d *Detector) AppendState(dst []byte) []byte {
	start := len(dst)
	dst = append(dst, stateVersion)
	var words [stateWords]uint64
	d.words(&words)
	for _, word := range &words {
		dst = appendWord(dst, word)
	}
	return appendWord(dst, checksum(dst[start:]))
}

// Restore restores the saved state of a detector. For any other input it returns a
// *[StateError] and changes nothing.
func (d *Detector) Restore(state []byte) error {
	size, unknown := StateSize, 0
	if len(state) > 0 && state[0] == stateFirst {
		size, unknown = StateSize-8*stateStrides, stateStrides
	}
	if reason := unsound(state, size); reason != "" {
		return &StateError{Reason: reason}
	}
	var words [stateWords]uint64
	at := 1
	for i := range &words {
		if i < stateHead && i >= stateHead-unknown {
			continue // zero: the next value outside a range counts as the first
		}
		words[i] = wordAt(state, at)
		at += 8
	}
	var restored Detector
	restored.setWords(&words)
	if field := restored.invalid(); field != "" {
		return &StateError{Reason: field + " out of range"}
	}
	var again [stateWords]uint64
	restored.words(&again)
	for i, word := range &again {
		if word != words[i] {
			return &StateError{Reason: "a count out of range"}
		}
	}
	*d = restored
	return nil
}

// Hash returns a hash of the state. Equal states have equal hashes, on every platform.
func (d *Detector) Hash() uint64 {
	var words [stateWords]uint64
	d.words(&words)
	sum := uint64(offsetBasis)
	for _, word := range &words {
		sum = mix(sum, word)
	}
	return sum
}

// words writes the words of the saved state to words, which must be zero. It takes a
// pointer because TinyGo unrolls copies of arrays, which would double the module's size.
func (d *Detector) words(words *[stateWords]uint64) {
	words[0], words[1], words[2] = uint64(d.seen), uint64(d.daily.seen), uint64(d.epoch.seen)
	words[3], words[4] = uint64(d.epoch.start), uint64(d.daily.start)
	words[5], words[6] = d.daily.count, uint64(d.daily.known)
	for i := range stateHead - 7 {
		words[7+i] = math.Float64bits(*d.float(i))
	}
	for i := range stateHours {
		mean, over := d.daily.at(i)
		words[stateHead+i] = math.Float64bits(*mean)
		words[stateHead+stateHours+i/16] |= uint64(*over) << (i % 16 * 4)
	}
}

func (d *Detector) setWords(words *[stateWords]uint64) {
	d.seen, d.daily.seen, d.epoch.seen = uint32(words[0]), uint32(words[1]), uint32(words[2])
	d.epoch.start, d.daily.start = int64(words[3]), int64(words[4])
	d.daily.count, d.daily.known = words[5], uint8(words[6])
	for i := range stateHead - 7 {
		*d.float(i) = math.Float64frombits(words[7+i])
	}
	for i := range stateHours {
		mean, over := d.daily.at(i)
		*mean = math.Float64frombits(words[stateHead+i])
		*over = uint8(words[stateHead+stateHours+i/16] >> (i % 16 * 4) & 15)
	}
}

// at returns the mean and count of hour i: those of the day, then those of the week.
func (d *daily) at(i int) (mean *float64, over *uint8) {
	if i < hoursOfDay {
		return &d.day[i], &d.dayOver[i]
	}
	return &d.week[i-hoursOfDay], &d.weekOver[i-hoursOfDay]
}

// float returns float64 i of the state, without the means of hours.
func (d *Detector) float(i int) *float64 {
	switch i {
	case 0:
		return &d.hold
	case 1:
		return &d.last
	case 2:
		return &d.short
	case 3:
		return &d.long
	case 4:
		return &d.quiet.moves
	case 5:
		return &d.quiet.least
	case 6:
		return &d.quiet.newest
	case 7:
		return &d.daily.sum
	case 8:
		return &d.daily.usual
	}
	spans := [...]*span{&d.value, &d.above, &d.level, &d.daily.span}
	i -= 9
	if i >= 4*len(spans) {
		return &spans[i%4].stride
	}
	return spans[i/4].float(i % 4)
}

// invalid returns the name of a field with a value that no sequence of samples produces
// and that could make later computations overflow, or "".
func (d *Detector) invalid() string {
	switch {
	case d.seen > experience:
		return "seen"
	case d.epoch.seen > experience:
		return "samples of the epoch"
	case !(d.hold >= 0 && d.hold <= 5*noveltyMax):
		return "hold"
	case !within(d.last, valueMax):
		return "last"
	case !within(d.short, 2*valueMax) || !within(d.long, 2*valueMax):
		return "means"
	case !d.value.valid(valueMax):
		return "range of values"
	case !d.above.valid(4 * valueMax):
		return "range of distances from the mean"
	case !d.level.valid(4 * valueMax):
		return "range of levels"
	}
	if field := d.quiet.invalid(); field != "" {
		return field
	}
	return d.daily.invalid()
}

func (d *daily) invalid() string {
	switch {
	case d.seen > experience:
		return "distances seen"
	case d.count > 1<<62:
		return "samples of the hour"
	case d.known > daysKept || !within(d.usual, 2*valueMax):
		return "usual value"
	case !within(d.sum, float64(valueMax*(float64(d.count)+1))):
		return "sum of the hour"
	case !d.span.valid(4 * valueMax):
		return "range of distances from the usual"
	}
	for i := range stateHours {
		mean, over := d.at(i)
		if *over > daysKept || i >= hoursOfDay && *over > weeksKept {
			return "hours seen"
		}
		if !within(*mean, 2*valueMax) {
			return "mean of an hour"
		}
	}
	return ""
}

func (q *quiet) invalid() string {
	for _, moves := range [...]float64{q.moves, q.least, q.newest} {
		if !(moves >= 0 && moves <= 4*valueMax) {
			return "moves"
		}
	}
	return ""
}

func (s *span) valid(limit float64) bool {
	return s.lower <= s.upper && within(s.lower, limit) && within(s.upper, limit) &&
		within(s.newLower, limit) && within(s.newUpper, limit) && s.stride >= 0 && s.stride <= 2*limit
}

// float returns bound i of the span.
func (s *span) float(i int) *float64 {
	switch i {
	case 0:
		return &s.lower
	case 1:
		return &s.upper
	case 2:
		return &s.newLower
	}
	return &s.newUpper
}

// within reports whether |value| ≤ limit, which is false for NaN.
func within(value, limit float64) bool { return math.Abs(value) <= limit }

// The constants of FNV-1a.
const (
	offsetBasis = 0xcbf29ce484222325
	prime       = 0x100000001b3
)

// mix adds a word to a checksum. It is a bijection of words for each sum, and of sums for
// each word, so that two states that differ in one word never have the same checksum.
func mix(sum, word uint64) uint64 {
	sum = (sum ^ word) * prime
	return sum ^ sum>>32
}

// checksum returns the checksum of a version byte and the words after it.
func checksum(data []byte) uint64 {
	sum := mix(offsetBasis, uint64(data[0]))
	for data = data[1:]; len(data) >= 8; data = data[8:] {
		sum = mix(sum, wordAt(data, 0))
	}
	return sum
}

// checksumByteWise returns the FNV-1a checksum of the first version.
func checksumByteWise(data []byte) uint64 {
	sum := uint64(offsetBasis)
	for _, b := range data {
		sum = (sum ^ uint64(b)) * prime
	}
	return sum
}

// unsound returns the problem with the length, version or checksum of a saved state, or "".
func unsound(state []byte, size int) (reason string) {
	if len(state) != size {
		return "wrong length"
	}
	sum := checksum
	switch state[0] {
	case stateVersion:
	case stateFirst:
		sum = checksumByteWise
	default:
		return "unknown version"
	}
	if sum(state[:size-8]) != wordAt(state, size-8) {
		return "wrong checksum"
	}
	return ""
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
