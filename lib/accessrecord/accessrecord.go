// Package accessrecord records who read what.
//
// A read is recorded before its response leaves the function. Reads that are alike (the same
// caller, operation, selection, status and address) within a minute are one line with a
// count: the first is written at once, the others are counted in memory and written with the
// next line, or when the environment ends. So no read is missing, and a console that polls
// costs a write a minute, also if its from and to move: the line has the range of all its
// reads. If a process is killed, counts of its last minute may be too low.
//
// A caller has MaxLines lines in a minute. Its other reads are counted in one line for each
// operation, site and status, whose selection is Others: who read what kind of data, when and
// how often, is never lost.
//
// If the database does not take a line, the line is logged with all its members, counted by
// insighthub_access_unrecorded_total, and the reader gets the response.
// See docs/adr/0044-access-record.md.
package accessrecord

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"math"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/insighthub/insighthub/lib/directory"
)

// Store stores lines. The count of a line that is stored already is added to it, so a
// repetition after a failure may count twice.
type Store interface {
	AddAccesses(ctx context.Context, lines []directory.Access) error
}

// Config configures a Recorder. All but the durations are required.
type Config struct {
	Store      Store
	Log        *slog.Logger
	Registerer prometheus.Registerer
	Now        func() time.Time
	// Timeout limits how long a response waits for a write; 1 s.
	Timeout time.Duration
	// ShutdownTimeout limits Shutdown; 250 ms: Lambda allows about 300.
	ShutdownTimeout time.Duration
}

const (
	// MaxLines is how many lines a caller has in a minute, not counting those of Others.
	MaxLines = 60
	// Others is the selection of the reads beyond MaxLines.
	Others = "others"
	// maxSources is how many addresses the lines of Others of a caller have in a minute. The
	// line of reads from further addresses has none: an IPv6 host has any number of them.
	maxSources = 4
	// maxRemembered is how many lines a Recorder remembers. Beyond it, it writes and forgets
	// them: a repetition is written again, and counted as another line of its caller.
	maxRemembered = 2000
	// maxCallers is how many callers a Recorder counts lines of. Those beyond have Others.
	maxCallers = 10_000
)

// Recorder records reads. It is safe for concurrent use.
type Recorder struct {
	config     Config
	unrecorded prometheus.Counter

	mu      sync.Mutex
	minute  int64
	callers map[string]*caller
	lines   map[line]*known
	counted []*known // those of lines whose count is not 0
}

// known is a line with the count that is not written yet.
type known struct {
	directory.Access
	written time.Duration // the length of the range that is written
}

// line is what the reads of one line have in common.
type line struct {
	minute                                             int64
	subject, site, operation, selection, role, address string
	status                                             int
}

// caller is what a caller has used of its bounds in the minute.
type caller struct {
	lines   int
	sources []string // of its lines of Others
}

// New returns a Recorder. The error is that of registering its metrics.
func New(config Config) (*Recorder, error) {
	config.Timeout = cmp.Or(config.Timeout, time.Second)
	config.ShutdownTimeout = cmp.Or(config.ShutdownTimeout, 250*time.Millisecond)
	r := &Recorder{config: config, callers: make(map[string]*caller), lines: make(map[line]*known)}
	r.unrecorded = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "insighthub_access_unrecorded_total", Help: "Lines of the access record that are in the log and not in the database.",
	})
	if err := config.Registerer.Register(r.unrecorded); err != nil {
		return nil, fmt.Errorf("access record: %w", err)
	}
	return r, nil
}

// Record records one read at the present time, whose Count, First and Last are not set.
func (r *Recorder) Record(ctx context.Context, a directory.Access) {
	now := r.config.Now().UTC().Truncate(time.Microsecond)
	a.First, a.Last, a.Count = now, now, 1
	if due := r.add(a); len(due) > 0 {
		// The response leaves in any case; the client may even have gone.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.config.Timeout)
		defer cancel()
		r.write(ctx, due)
	}
}

func lineOf(a *directory.Access) line {
	return line{a.Minute().Unix(), a.Subject, string(a.Site), a.Operation, a.Selection, string(a.Role), a.Source, a.Status}
}

// add counts the read, and returns the lines to write, if it is the first of its line or
// makes the line's range more than twice as long as the written one: a window that moves does
// not, and who reads years after an hour is not in memory alone.
func (r *Recorder) add(a directory.Access) []directory.Access {
	r.mu.Lock()
	defer r.mu.Unlock()
	if due, repeated := r.repeat(a); repeated {
		return due
	}
	var due []directory.Access
	if minute := a.Minute().Unix(); minute != r.minute {
		due = r.pending()
		clear(r.lines) // the lines of an earlier minute get no more reads
		clear(r.callers)
		r.minute = minute
	}
	if r.bound(&a); a.Selection == Others {
		if more, repeated := r.repeat(a); repeated {
			return append(due, more...)
		}
	}
	due = append(due, r.pending()...)
	if len(r.lines) == maxRemembered {
		clear(r.lines)
	}
	due = append(due, a)
	a.Count = 0 // it is written now
	r.lines[lineOf(&a)] = &known{a, length(a)}
	return due
}

// repeat counts the read if its line is known. Callers hold mu.
func (r *Recorder) repeat(a directory.Access) (due []directory.Access, repeated bool) {
	k := r.lines[lineOf(&a)]
	if k == nil {
		return nil, false
	}
	if k.Count == 0 {
		k.First = a.First
		r.counted = append(r.counted, k)
	}
	k.Last, k.RequestID = a.Last, a.RequestID
	k.Widen(a)
	k.Count++
	if length(k.Access)/2 > k.written {
		due = r.pending()
	}
	return due, true
}

// length returns the length of the range that the reads of a line selected.
func length(a directory.Access) time.Duration {
	if a.From.IsZero() || a.To.IsZero() {
		return math.MaxInt64
	}
	return max(0, a.To.Sub(a.From))
}

// bound counts the line of a read for its caller, or makes it one of the line of Others if
// the caller has MaxLines. Callers hold mu.
func (r *Recorder) bound(a *directory.Access) {
	c := r.callers[a.Subject]
	if c == nil {
		c = &caller{}
		if len(r.callers) < maxCallers {
			r.callers[a.Subject] = c
		} else {
			c.lines = MaxLines
		}
	}
	if c.lines < MaxLines {
		c.lines++
		return
	}
	a.Selection = Others
	if !slices.Contains(c.sources, a.Source) {
		if len(c.sources) == maxSources {
			a.Source = ""
			return
		}
		c.sources = append(c.sources, a.Source)
	}
}

// pending returns the lines with counts that are not written, and sets these to 0. Callers
// hold mu.
func (r *Recorder) pending() (due []directory.Access) {
	for _, k := range r.counted {
		due = append(due, k.Access)
		k.Count, k.written = 0, length(k.Access)
	}
	r.counted = r.counted[:0]
	return due
}

func (r *Recorder) write(ctx context.Context, lines []directory.Access) {
	err := r.config.Store.AddAccesses(ctx, lines)
	if err == nil {
		return
	}
	r.unrecorded.Add(float64(len(lines)))
	for _, a := range lines {
		r.config.Log.ErrorContext(ctx, "access not recorded in the database",
			"subject", a.Subject, "role", string(a.Role), "site", string(a.Site), "operation", a.Operation,
			"selection", Selected(a), "status", a.Status, "source", a.Source, "request_id", a.RequestID,
			"first", a.First, "last", a.Last, "count", a.Count, "error", err)
	}
}

// Shutdown writes the counts that are not written, before the process ends.
func (r *Recorder) Shutdown(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, r.config.ShutdownTimeout)
	defer cancel()
	r.mu.Lock()
	due := r.pending()
	r.mu.Unlock()
	if len(due) > 0 {
		r.write(ctx, due)
	}
}

// maxSelectionBytes limits the text of a selection without its range; with it, the text has
// 1,024 bytes at most.
const maxSelectionBytes = 1024 - 80

// Selection returns the text of what was selected: the values of the path and of the query,
// in the order of their names, in the form of a query. A text that is too long ends with its
// digest, so that it differs from that of another selection.
func Selection(selected url.Values) string {
	text := selected.Encode()
	if len(text) <= maxSelectionBytes {
		return text
	}
	digest := fmt.Sprintf("...sha256=%x", sha256.Sum256([]byte(text)))
	return text[:maxSelectionBytes-len(digest)] + digest
}

// Selected returns the selection of a line with its range, in the form of a query.
func Selected(a directory.Access) string {
	var parts []string
	if a.Selection != "" {
		parts = strings.Split(a.Selection, "&")
	}
	for _, bound := range []struct {
		name string
		at   time.Time
	}{{"from=", a.From}, {"to=", a.To}} {
		if bound.at.IsZero() {
			continue
		}
		written := bound.name + url.QueryEscape(bound.at.UTC().Format(time.RFC3339Nano))
		if i := slices.Index(parts, bound.name); i >= 0 {
			parts[i] = written
		} else { // Others, or the end of a long selection
			parts = append(parts, written)
		}
	}
	return strings.Join(parts, "&")
}
