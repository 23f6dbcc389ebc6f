package remotewrite

import (
	"net/http"
	"strings"
)

// Protocol is a version of the remote-write protocol.
type Protocol uint8

// The protocols. Auto is 2.0 with fall-back to 1.0.
const (
	Auto Protocol = iota
	V1
	V2
)

func (p Protocol) String() string {
	switch p {
	case V1:
		return "1.0"
	case V2:
		return "2.0"
	case Auto:
	}
	return "auto"
}

// Result of a Write. The counts are the receiver's where it reports them (2.0), else those of
// the requests with a response of 2xx. A histogram in its classic form counts as the samples
// of its series.
type Result struct {
	Protocol   Protocol // of the last request
	Requests   int      // sent, with retries
	Retries    int
	Bytes      int // of the bodies sent, compressed
	Samples    int
	Histograms int
	Exemplars  int
	// Rejected lists what will never be written.
	Rejected []Rejection
	// NotSent is the number of samples and histograms that an error left unsent, or whose response
	// did not come: neither written nor rejected.
	NotSent int
	// Settled is the number of leading series of the input that are written or in
	// Rejected. Without an error it is all of them; with one, series[Settled:] can be
	// written again.
	Settled int
}

// Unknown is the index of a rejected series that the receiver did not name.
const Unknown = -1

// Rejection is a series, or samples of one, that the receiver rejected or that no receiver
// would accept.
type Rejection struct {
	// Series is its index in the input, or Unknown.
	Series int
	// Labels as Prometheus writes them: {__name__="up", site="plant-1"}.
	Labels string
	// Samples is the number of rejected samples or histograms, First and Last are the range of
	// their times in milliseconds, both included; 0 when Series is Unknown. Samples is 0 for an
	// exemplar that is not valid, which the samples are written without. A receiver of 2.0
	// does not report which of a series' samples it rejected, only how many.
	Samples     int
	First, Last int64
	// Status is that of the response, or 0 when the client rejected the series.
	Status int
	// Reason is the beginning of the response body, or the client's own words.
	Reason string
	Cause  Cause
	// Duplicate says that the receiver has a sample of that time, or newer ones of the
	// series. It is true only for a reason that is about this sample or series alone.
	Duplicate bool
	// Isolated says that Reason is about these samples alone: the request had no others, or the
	// receiver's message names the series. It is false for what a receiver of 2.0 counts but
	// does not name.
	Isolated bool
}

// Cause is the kind of a reason, as a label of metrics has it.
type Cause string

// The causes of rejections.
const (
	Invalid    Cause = "invalid"      // by the client: no receiver would accept it
	OutOfOrder Cause = "out_of_order" // the receiver has a newer sample of the series
	Conflict   Cause = "conflict"     // it has another value at that time
	TooOld     Cause = "too_old"
	TooNew     Cause = "too_new"
	Limit      Cause = "limit" // on series or labels
	TooLarge   Cause = "too_large"
	Other      Cause = "other"
)

// duplicate reports whether the receiver has the sample, or a newer one of the series.
func (c Cause) duplicate() bool { return c == OutOfOrder || c == Conflict }

// causeOf returns the cause that a receiver's reason is about. The texts are those of
// Prometheus, which Thanos uses too, and of Mimir and Cortex, on which Amazon Managed Service
// for Prometheus is built. "Out of bounds" is older than any sample that the receiver accepts.
func causeOf(status int, reason string) Cause {
	switch status {
	case 0:
		return Invalid
	case http.StatusRequestEntityTooLarge:
		return TooLarge
	}
	for _, text := range [...]struct {
		part  string
		cause Cause
	}{
		{"duplicate sample", Conflict},
		{"duplicate-timestamp", Conflict},
		{"out of order", OutOfOrder},
		{"out-of-order", OutOfOrder},
		{"too old", TooOld},
		{"too-old", TooOld},
		{"out of bounds", TooOld},
		{"too new", TooNew},
		{"too-far-in-future", TooNew},
		{"too far in the future", TooNew},
		{"limit", Limit},
		{"err-mimir-max-", Limit},
	} {
		if strings.Contains(reason, text.part) {
			return text.cause
		}
	}
	return Other
}

// duplicate reports whether a reason about one sample says that the receiver has it, or a
// newer one of the series.
func duplicate(reason string) bool { return causeOf(http.StatusBadRequest, reason).duplicate() }

// RejectedSamples is the sum over Rejected.
func (r *Result) RejectedSamples() int {
	n := 0
	for i := range r.Rejected {
		n += r.Rejected[i].Samples
	}
	return n
}
