package remotewrite

import "strings"

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
	// their times in milliseconds, both included; 0 when Series is Unknown. A receiver of 2.0
	// does not report which of a series' samples it rejected, only how many.
	Samples     int
	First, Last int64
	// Status is that of the response, or 0 when the client rejected the series.
	Status int
	// Reason is the beginning of the response body, or the client's own words.
	Reason string
	// Duplicate says that the receiver has the samples, or newer ones of the series: nothing is lost.
	Duplicate bool
	// Isolated is false when the samples were rejected together with others and
	// Config.MaxBisections did not allow finding which of them the receiver rejects: valid
	// ones may be among them.
	Isolated bool
}

// duplicate reports whether a receiver's reason says that it has the sample, or a newer
// one of the series. The texts are those of Prometheus, which Thanos uses too, and of Mimir
// and Cortex, on which Amazon Managed Service for Prometheus is built. "Out of bounds" and
// "too old" are not among them: such a sample is older than any that the receiver accepts, and lost.
func duplicate(reason string) bool {
	for _, text := range [...]string{"out of order", "out-of-order", "duplicate sample", "duplicate-timestamp"} {
		if strings.Contains(reason, text) {
			return true
		}
	}
	return false
}

// RejectedSamples is the sum over Rejected.
func (r *Result) RejectedSamples() int {
	n := 0
	for i := range r.Rejected {
		n += r.Rejected[i].Samples
	}
	return n
}
