package detect

import (
	"encoding/binary"
	"math"

	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// reader reads a serialised state. After the first failure every read returns zero.
type reader struct {
	rest    []byte
	version byte
	failed  string // the field that could not be read; empty if none
	// scratch is the buffer of sparse.
	scratch []byte
}

func (r *reader) fail(what string) {
	if r.failed == "" {
		r.failed = what
	}
	r.rest = nil
}

func (r *reader) uvarint(what string) uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.fail(what)
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *reader) micros(what string) telemetry.Micros {
	v, n := binary.Varint(r.rest)
	if n <= 0 {
		r.fail(what)
		return 0
	}
	r.rest = r.rest[n:]
	return telemetry.Micros(v)
}

func (r *reader) bytes(n uint64, what string) []byte {
	if n > uint64(len(r.rest)) {
		r.fail(what)
		return nil
	}
	out := r.rest[:n]
	r.rest = r.rest[n:]
	return out
}

func (r *reader) byte(what string) byte {
	if b := r.bytes(1, what); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) text(what string) string { return string(r.bytes(r.uvarint(what), what)) }

func (r *reader) float(what string) float64 {
	if b := r.bytes(8, what); b != nil {
		return math.Float64frombits(binary.LittleEndian.Uint64(b))
	}
	return 0
}

// count reads the length of a list whose items have at least minBytes bytes each.
func (r *reader) count(minBytes int, what string) int {
	n := r.uvarint(what)
	if n > uint64(len(r.rest)/minBytes) {
		r.fail(what)
		return 0
	}
	return int(n)
}

func (r *reader) point(what string) point { return point{r.micros(what), r.float(what), true} }

func (r *reader) optional(what string) point {
	switch r.byte(what) {
	case 0:
	case 1:
		return r.point(what)
	default:
		r.fail(what)
	}
	return point{}
}

func (r *reader) side(what string) side {
	s := side(r.byte(what))
	if s > below {
		r.fail(what)
	}
	return s
}

func (r *reader) episode() episode {
	const what = "episode of an alarm"
	flags := r.byte(what)
	if flags>>1 > byte(below) {
		r.fail(what)
	}
	return episode{side: side(flags >> 1), late: flags&1 == 1, since: r.micros(what), from: r.micros(what), to: r.micros(what)}
}

// alarm reads an alarm; State.configureSeries replaces its rule by that of the configuration.
func (r *reader) alarm() alarm {
	const what = "alarm"
	out := alarm{rule: &rule{id: directory.RuleID(r.text(what))}}
	if r.version == 1 {
		out.raised = above
		return out
	}
	out.kind, out.severity = directory.AnomalyKind(r.text(what)), directory.Severity(r.text(what))
	if b := r.bytes(8, what); b != nil {
		out.print = binary.LittleEndian.Uint64(b)
	}
	flags := r.uvarint(what)
	if flags == 0 || flags>>alarmBits > uint64(below) {
		r.fail(what)
		return out
	}
	if out.raised = side(flags >> alarmBits); out.raised != none {
		out.since = r.micros(what)
	}
	if flags&alarmChange != 0 {
		out.change.current, out.change.previous = r.point(what), r.optional(what)
	}
	if flags&alarmAhead != 0 {
		out.ahead.current, out.ahead.previous = r.point(what), r.optional(what)
	}
	if flags&alarmPast == 0 {
		return out
	}
	out.past = &past{}
	for range r.count(4, what) {
		out.past.episodes = append(out.past.episodes, r.episode())
	}
	if len(out.past.episodes) > maxEpisodes {
		r.fail(what)
	}
	out.past.arrival = r.micros(what)
	for range r.count(10, what) {
		s := r.side(what)
		out.past.values = append(out.past.values, lateValue{r.point(what), s})
	}
	if len(out.past.values) > maxLate {
		r.fail(what)
	}
	return out
}

func (r *reader) early() *early {
	const what = "values ahead"
	out := &early{last: r.micros(what), since: r.micros(what)}
	out.held, out.value, out.present = r.optional(what), r.optional(what), r.optional(what)
	n := r.count(9, what)
	if n > maxJudged {
		r.fail(what)
		return out
	}
	for range n {
		out.judged = append(out.judged, r.point(what))
	}
	return out
}

func (r *reader) taken() (out taken) {
	const what = "times of anomalies ahead"
	n := r.count(1, what)
	if n > maxTaken {
		r.fail(what)
		return nil
	}
	for range n {
		out = append(out, r.micros(what))
	}
	return out
}

// sparse is the inverse of appendSparse. The result is valid until the next call.
func (r *reader) sparse(what string) []byte {
	size := r.uvarint(what)
	if r.failed != "" || size == 0 || size > maxSparse {
		r.fail(what)
		return nil
	}
	words := int(size-1) / 8
	r.scratch = append(r.scratch[:0], r.byte(what))
	bits := r.bytes(uint64(words+7)/8, what)
	for i := range words {
		if r.failed != "" {
			return nil
		}
		if bits[i/8]&(1<<(i%8)) == 0 {
			r.scratch = append(r.scratch, 0, 0, 0, 0, 0, 0, 0, 0)
			continue
		}
		r.scratch = append(r.scratch, r.bytes(8, what)...)
	}
	r.scratch = append(r.scratch, r.bytes(uint64(int(size)-1-8*words), what)...)
	return r.scratch
}
