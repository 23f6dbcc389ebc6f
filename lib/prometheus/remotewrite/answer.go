package remotewrite

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The headers of 2.0 by which a receiver says what it has written.
const (
	headerSamples    = "X-Prometheus-Remote-Write-Samples-Written"
	headerHistograms = "X-Prometheus-Remote-Write-Histograms-Written"
	headerExemplars  = "X-Prometheus-Remote-Write-Exemplars-Written"
)

// maxMessage bounds what is read of an answer's body.
const maxMessage = 64 << 10

// maxReason bounds what is kept of it for each rejected series.
const maxReason = 256

// answer is what a receiver said to a request that reached it.
type answer struct {
	status     int
	message    string // the beginning of the body, when the status is not 2xx
	retryAfter time.Duration
	sent       counts
	written    counts
	confirmed  bool // written comes from the receiver's headers
	refused    bool // for what is in it: 400 or 413, or 500 for a sample that is too old
}

// partial reports whether the receiver has gone through the whole request and
// written what it could: only then is there nothing to gain from sending a part
// of it again.
func (a *answer) partial() bool {
	return a.confirmed && (a.written.samples+a.written.histograms > 0 || strings.Contains(a.message, "{"))
}

func readAnswer(resp *http.Response, sent counts, now time.Time) answer {
	a := answer{status: resp.StatusCode, sent: sent}
	a.written, a.confirmed = readWritten(resp.Header)
	if a.ok() && !a.confirmed {
		a.written = sent
	}
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxMessage)) // the status says enough
	if !a.ok() {
		a.message = strings.TrimSpace(strings.ToValidUTF8(string(body), "�"))
		a.retryAfter = parseRetryAfter(resp.Header.Get("Retry-After"), now)
	}
	a.refused = a.status == http.StatusBadRequest || a.status == http.StatusRequestEntityTooLarge || a.tooOld()
	return a
}

// tooOld reports whether an older Prometheus (2.42) refuses a sample that is older than
// its out_of_order_time_window: with 500, and for good. It has written nothing.
func (a *answer) tooOld() bool {
	return a.status == http.StatusInternalServerError && a.message == "too old sample"
}

func (a *answer) ok() bool { return a.status/100 == 2 }

func (a *answer) retryable() bool {
	return a.status == http.StatusTooManyRequests || a.status/100 == 5
}

func (a *answer) err() *StatusError {
	return &StatusError{Status: a.status, Message: shorten(a.message)}
}

func shorten(s string) string {
	if len(s) <= maxReason {
		return s
	}
	return strings.ToValidUTF8(s[:maxReason], "") + "…"
}

// readWritten reads the headers of 2.0. One that is missing beside others means 0.
func readWritten(h http.Header) (written counts, confirmed bool) {
	for name, to := range map[string]*int{headerSamples: &written.samples, headerHistograms: &written.histograms, headerExemplars: &written.exemplars} {
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

// rejectNamed notes what a receiver of 2.0 has left out: the series that its
// message names, and for what it does not name one entry for all.
func (w *write) rejectNamed(parts []part, a *answer, missing int) {
	reason := shorten(a.message)
	if a.message != "" {
		message := withoutTypes(a.message)
		for _, p := range parts {
			if missing <= 0 {
				break
			}
			s := &w.series[p.series]
			if n, line := lineWith(message, s); n > 0 {
				n = min(n, p.to-p.from, missing)
				w.reject(p, a.status, line, true)
				w.result.Rejected[len(w.result.Rejected)-1].Samples = n
				missing -= n
			}
		}
	}
	if missing > 0 {
		w.result.Rejected = append(w.result.Rejected, Rejection{
			Series: Unknown, Samples: missing, Status: a.status, Reason: reason, Duplicate: duplicate(reason),
		})
	}
}

// withoutTypes drops the labels that a Prometheus with type-and-unit-labels makes
// of the metadata and puts after the metric's name.
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
			_, rest, _ = strings.Cut(after, `"`) // neither types nor units hold quotes
		}
		message = b.String()
	}
	return message
}

// lineWith returns how often a receiver's message names the series, and the
// first of the lines that do.
func lineWith(message string, s *Series) (times int, line string) {
	if !strings.Contains(message, s.name()) {
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
