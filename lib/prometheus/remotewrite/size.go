package remotewrite

import "time"

// sizeMemory is how long a limit that was found is believed: a receiver's limits change.
const sizeMemory = 10 * time.Minute

// requestSize learns how many samples the receiver takes in one request, from requests that
// it rejected although it accepted all they contained in smaller ones, and from 413. It
// outlives a Write.
type requestSize struct {
	// passed samples were accepted, failed were rejected for their number; failed is 0 while no
	// limit is known. The limit lies between.
	passed, failed int
	found          time.Time
	now            time.Time
}

// begin is called at the beginning of a Write.
func (z *requestSize) begin(now time.Time) {
	z.now = now
	if z.failed > 0 && now.Sub(z.found) >= sizeMemory {
		z.passed, z.failed = 0, 0
	}
}

// limit returns the samples for the next request: what passed, or while the limit is known
// too roughly, the middle of where it lies.
func (z *requestSize) limit(most int) int {
	switch {
	case z.failed == 0:
		return most
	case z.failed-z.passed <= max(1, z.passed/8):
		return min(max(z.passed, 1), most)
	}
	return min(max((z.passed+z.failed)/2, 1), most)
}

// isProbe reports whether a request of n samples had more than any that passed below a limit.
func (z *requestSize) isProbe(n int) bool { return z.passed > 0 && n > z.passed }

// accepted says that a request of n samples was accepted.
func (z *requestSize) accepted(n int) {
	if z.failed == 0 {
		return
	}
	z.passed = max(z.passed, n)
	if n >= z.failed {
		z.passed, z.failed = 0, 0
	}
}

// tooLarge says that a request of failed samples is more than the receiver takes, and one of
// passed is not.
func (z *requestSize) tooLarge(passed, failed int) {
	z.found = z.now
	if z.failed == 0 || failed < z.failed {
		z.failed = failed
	}
	z.passed = max(z.passed, passed)
	if z.passed >= z.failed { // it depends on more than the number
		z.passed = z.failed / 2
	}
}

// The factors by which a search changes the size of its requests. Growth is fast, because
// each step costs a request between two faults.
const (
	searchGrowth = 32
	searchShrink = 8
)

// searchSize is how many samples the next request of a search has.
type searchSize struct {
	samples int
	run     bool // the last rejected sample followed another, or the beginning
}

// accepted says that a request was accepted; most is the limit of a request.
func (z *searchSize) accepted(most int) { z.samples = min(z.samples*searchGrowth, most) }

// found says that a rejected sample was found behind distance accepted ones: the next is
// expected as far away. In a run of faults the requests have one sample each, so that a replay, in
// which every sample is rejected, costs a request a sample and not a search.
func (z *searchSize) found(distance int) {
	switch {
	case distance == 0 && z.run:
		z.samples = 1
	default:
		z.samples = max(1, min(z.samples, max(2*distance, z.samples/searchShrink)))
	}
	z.run = distance == 0
}
