package remotewrite

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The headers in which a receiver of 2.0 reports what it has written.
const (
	headerSamples    = "X-Prometheus-Remote-Write-Samples-Written"
	headerHistograms = "X-Prometheus-Remote-Write-Histograms-Written"
	headerExemplars  = "X-Prometheus-Remote-Write-Exemplars-Written"
)

// maxMessage limits how much of a response body is read.
const maxMessage = 64 << 10

// maxReason limits how much of it each rejected series has as its reason.
const maxReason = 256

// response is a receiver's response to a request.
type response struct {
	status     int
	message    string // the beginning of the body, when the status is not 2xx
	retryAfter time.Duration
	sent       counts
	written    counts
	confirmed  bool // written comes from the receiver's headers
	rejected   bool // because of its samples: 400 or 413, or another status whose text says so
}

// whole reports whether the receiver rejected the request as a whole because of something in
// it, so that a part of it may be accepted. A 400 of 2.0 that reports what was written is the
// receiver's last word: it has processed all samples.
func (r *response) whole() bool {
	final := r.confirmed && (r.status == http.StatusBadRequest || r.written.total() > 0)
	return r.rejected && !final
}

func readResponse(from *http.Response, sent counts, now time.Time) response {
	r := response{status: from.StatusCode, sent: sent}
	r.written, r.confirmed = readWritten(from.Header)
	if r.ok() && !r.confirmed {
		r.written = sent
	}
	body, _ := io.ReadAll(io.LimitReader(from.Body, maxMessage)) // the status is enough
	if !r.ok() {
		r.message = strings.TrimSpace(strings.ToValidUTF8(string(body), "�"))
		r.retryAfter = parseRetryAfter(from.Header.Get("Retry-After"), now)
	}
	switch r.status {
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge:
		r.rejected = true
	case http.StatusConflict, http.StatusUnprocessableEntity:
		r.rejected = causeOf(r.status, r.message) != Other // as Thanos does; else it is not about samples
	default:
		r.rejected = r.tooOld()
	}
	return r
}

// tooOld reports whether an older Prometheus (2.42) rejects a sample that is older than its
// out_of_order_time_window: with 500, and for ever. It has written nothing.
func (r *response) tooOld() bool {
	return r.status == http.StatusInternalServerError && r.message == "too old sample"
}

func (r *response) ok() bool { return r.status/100 == 2 }

func (r *response) retryable() bool {
	return r.status == http.StatusTooManyRequests || r.status/100 == 5
}

func (r *response) err() *StatusError {
	return &StatusError{Status: r.status, Message: shorten(r.message)}
}

func shorten(s string) string {
	if len(s) <= maxReason {
		return s
	}
	return strings.ToValidUTF8(s[:maxReason], "") + "…"
}

// readWritten reads the headers of 2.0. One that is missing while others are set means 0.
func readWritten(h http.Header) (written counts, confirmed bool) {
	for name, to := range map[string]*int{
		headerSamples: &written.samples, headerHistograms: &written.histograms, headerExemplars: &written.exemplars,
	} {
		n, err := strconv.Atoi(h.Get(name))
		if err != nil || n < 0 {
			continue
		}
		*to, confirmed = n, true
	}
	return written, confirmed
}

// parseRetryAfter reads both forms of the header (RFC 9110, 10.2.3): seconds, or a date.
func parseRetryAfter(v string, now time.Time) time.Duration {
	if n, err := strconv.ParseInt(v, 10, 32); err == nil {
		return max(0, time.Duration(n)*time.Second)
	}
	if at, err := http.ParseTime(v); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}

// rejectNamed records what a receiver of 2.0 has not written: the series of the request if it
// is the only one, each series that the message names, and one entry for all samples that it
// does not name. The message is not about these, whatever it says of others.
func (w *write) rejectNamed(parts []part, r *response, missing int) {
	message := withoutTypes(r.message)
	for _, p := range parts {
		if missing <= 0 {
			return
		}
		n, line := lineWith(message, &w.series[p.series])
		if n == 0 && len(parts) == 1 {
			n, line = missing, r.message
		}
		if n > 0 {
			n = min(n, p.to-p.from, missing)
			w.reject(p, &response{status: r.status, message: line})
			w.result.Rejected[len(w.result.Rejected)-1].Samples = n
			missing -= n
		}
	}
	if missing > 0 {
		w.result.Rejected = append(w.result.Rejected, Rejection{
			Series: Unknown, Samples: missing, Status: r.status, Reason: shorten(r.message), Cause: Other,
		})
	}
}

// withoutTypes removes the labels that a Prometheus with the feature type-and-unit-labels
// adds from the metadata, after the metric's name.
func withoutTypes(message string) string {
	for _, label := range [...]string{`, __type__="`, `, __unit__="`} {
		if !strings.Contains(message, label) {
			continue
		}
		var b strings.Builder
		for rest := message; ; {
			before, after, found := strings.Cut(rest, label)
			b.WriteString(before)
			if !found {
				break
			}
			_, rest, _ = strings.Cut(after, `"`) // neither types nor units contain quotes
		}
		message = b.String()
	}
	return message
}

// lineWith returns how often a receiver's message names the series, and the first line that does.
func lineWith(message string, s *Series) (times int, line string) {
	if message == "" || !strings.Contains(message, s.name()) {
		return 0, ""
	}
	labels := s.String()
	before, after, found := strings.Cut(message, labels)
	if !found {
		return 0, ""
	}
	after, _, _ = strings.Cut(after, "\n")
	line = before[strings.LastIndexByte(before, '\n')+1:] + labels + after
	return strings.Count(message, labels), shorten(line)
}
