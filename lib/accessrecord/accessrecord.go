// Package accessrecord records who read what.
//
// A read is recorded before its response leaves the function. Reads that are alike (the same
// caller, operation, selection, status and address) within a minute are one line with a
// count: the first is written at once, the others are counted in memory and written with the
// next line, or when the environment ends. So no read is missing, and a console that polls
// costs a write a minute; if a process is killed, counts of its last minute may be too low.
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
	"net/url"
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

// maxLines is how many lines a Recorder remembers. Beyond it, it writes and forgets them.
const maxLines = 1000

// Recorder records reads. It is safe for concurrent use.
type Recorder struct {
	config     Config
	unrecorded prometheus.Counter

	mu      sync.Mutex
	minute  int64
	lines   map[line]*directory.Access // with the count that is not written yet
	counted []*directory.Access        // those of lines whose count is not 0
}

// line is what the reads of one line have in common.
type line struct {
	minute                                             int64
	subject, site, operation, selection, role, address string
	status                                             int
}

// New returns a Recorder. The error is that of registering its metrics.
func New(config Config) (*Recorder, error) {
	config.Timeout = cmp.Or(config.Timeout, time.Second)
	config.ShutdownTimeout = cmp.Or(config.ShutdownTimeout, 250*time.Millisecond)
	r := &Recorder{config: config, lines: make(map[line]*directory.Access), unrecorded: prometheus.NewCounter(prometheus.CounterOpts{
		Name: "insighthub_access_unrecorded_total", Help: "Lines of the access record that are in the log and not in the database.",
	})}
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

// add counts the read, and returns the lines to write if it is the first of its line.
func (r *Recorder) add(a directory.Access) []directory.Access {
	key := line{
		a.Minute().Unix(), a.Subject, string(a.Site), a.Operation, a.Selection, string(a.Role), a.Source, a.Status,
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if known := r.lines[key]; known != nil {
		if known.Count == 0 {
			known.First = a.First
			r.counted = append(r.counted, known)
		}
		known.Last, known.RequestID = a.Last, a.RequestID
		known.Count++
		return nil
	}
	due := append(r.pending(), a)
	if key.minute != r.minute || len(r.lines) == maxLines {
		clear(r.lines) // the lines of an earlier minute get no more reads
		r.minute = key.minute
	}
	a.Count = 0 // it is written now
	r.lines[key] = &a
	return due
}

// pending returns the lines with counts that are not written, and sets these to 0. Callers
// hold mu.
func (r *Recorder) pending() (due []directory.Access) {
	for _, known := range r.counted {
		due = append(due, *known)
		known.Count = 0
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
			"selection", a.Selection, "status", a.Status, "source", a.Source, "request_id", a.RequestID,
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

// maxSelectionBytes limits the text of a selection.
const maxSelectionBytes = 1024

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
