package timescale

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/jackc/pgx/v5"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// WriterConfig limits how many names a gateway may have. Zero means telemetry.MaxDevices
// and telemetry.MaxMetrics.
type WriterConfig struct {
	DevicesPerGateway int
	MetricsPerGateway int
}

// Outcome counts the events of a write. Stored, Duplicates, Conflicts and Rejected add up
// to their number.
type Outcome struct {
	Stored     int
	Duplicates int // same identity, value and quality as another event of the write or a stored one
	Conflicts  int // different events with a stored identity and another value or quality; the stored one stays
	// Rejected are the events that can never be stored, in order; they affect no other.
	Rejected []telemetry.RejectedEvent
	// Crowded are gateways that got new names and have nearly as many as they may have.
	Crowded []telemetry.GatewayID
	// Committed is when the database had confirmed the last of it.
	Committed telemetry.Micros
}

// Writer stores batches. It is safe for concurrent use; each concurrent Write
// takes one connection.
type Writer struct {
	pool       *Pool
	config     WriterConfig
	dictionary *dictionary
	scratch    sync.Pool
	// deleted is the last id of a deleted name that was seen, asked when, in ns since 1970.
	deleted, asked atomic.Int64
}

// NewWriter returns a writer to the database of pool, whose schema must be
// migrated.
func NewWriter(pool *Pool, config WriterConfig) *Writer {
	config.DevicesPerGateway = cmp.Or(config.DevicesPerGateway, telemetry.MaxDevices)
	config.MetricsPerGateway = cmp.Or(config.MetricsPerGateway, telemetry.MaxMetrics)
	return &Writer{
		pool:       pool,
		config:     config,
		dictionary: newDictionary(),
		scratch:    sync.Pool{New: func() any { return new(scratch) }},
	}
}

// scratch is the memory of one write.
type scratch struct {
	table    table
	resolved []ids
	reader   copyReader
	columns  rowColumns
	marks    marks
	crowded  []telemetry.GatewayID
}

// Write stores the events of batches. Of events with one identity in several batches
// the first one counts. On return without error all are durable. Write does not retain
// the batches.
//
// After an error any part may have been stored, and writing the same batches again is
// safe. telemetry.ErrInvalid: at least one batch can never be stored; write them one by
// one to find it. telemetry.ErrUnavailable: retry later.
func (w *Writer) Write(ctx context.Context, batches []*telemetry.Batch) (Outcome, error) {
	events := 0
	for _, b := range batches {
		events += b.Len()
	}
	if events == 0 {
		return Outcome{Committed: telemetry.MicrosOf(w.pool.config.Now())}, nil
	}
	s := w.scratch.Get().(*scratch)
	defer w.scratch.Put(s)
	var outcome Outcome
	err := w.pool.do(ctx, func(ctx context.Context, conn *pgx.Conn) (err error) {
		outcome, err = w.attempt(ctx, conn, s, batches)
		return err
	})
	if err != nil {
		return Outcome{}, fmt.Errorf("write %d events of %d batches: %w", events, len(batches), err)
	}
	outcome.Rejected, outcome.Crowded = w.rejections(batches, s), s.crowded
	outcome.Duplicates = events - outcome.Stored - outcome.Conflicts - len(outcome.Rejected)
	outcome.Committed = telemetry.MicrosOf(w.pool.config.Now())
	return outcome, nil
}

// rejections says why events were rejected.
func (w *Writer) rejections(batches []*telemetry.Batch, s *scratch) []telemetry.RejectedEvent {
	var list []telemetry.RejectedEvent
	for _, r := range s.table.rejected {
		b, resolved := batches[r.batch], s.resolved[r.batch]
		reason := fmt.Sprintf("time %d is not within the years -4713 to 9999", b.Time[r.event])
		if device := b.Device[r.event]; resolved.device[device] == 0 {
			reason = w.nameReason("device", string(b.Devices[device]))
		} else if metric := b.Metric[r.event]; resolved.metric[metric] == 0 {
			reason = w.nameReason("metric", string(b.Metrics[metric]))
		}
		list = append(list, telemetry.RejectedEvent{Batch: r.batch, Event: r.event, Reason: reason})
	}
	return list
}

func (w *Writer) nameReason(kind, name string) string {
	if err := telemetry.ValidName(name); err != nil {
		return kind + ": " + err.Error()
	}
	return fmt.Sprintf("%s %q is new, and %s", kind, name, w.noRoom(kind+"s"))
}

// attempt does the whole write over one connection. It resolves the names first: ids
// that were read over a lost connection are not trusted.
func (w *Writer) attempt(ctx context.Context, conn *pgx.Conn, s *scratch, batches []*telemetry.Batch) (Outcome, error) {
	if err := w.resolve(ctx, conn, s, batches); err != nil {
		return Outcome{}, err
	}
	if s.table.fill(batches, s.resolved); len(s.table.rows) == 0 {
		return Outcome{}, nil
	}
	rows, start := s.table.rows, w.pool.config.Now()
	s.marks.collect(rows, telemetry.MicrosOf(start.Add(-lateAfter)), w.dictionary)
	if err := s.marks.registerSeries(ctx, conn, w.dictionary, w.pool.generation.Load()); err != nil {
		return Outcome{}, err
	}
	outcome, err := w.store(ctx, conn, s)
	if err != nil {
		return Outcome{}, err
	}
	return outcome, s.marks.insertAfterSlowWrite(ctx, conn, rows, w.pool.config.Now().Sub(start), w.dictionary)
}

// store copies the rows, or upserts them where at least one is stored already.
func (w *Writer) store(ctx context.Context, conn *pgx.Conn, s *scratch) (outcome Outcome, err error) {
	rows := s.table.rows
	err = s.marks.insertWith(ctx, conn, func() error {
		s.reader = copyReader{rows: rows}
		_, err := conn.PgConn().CopyFrom(ctx, &s.reader, copyStatement)
		return err
	})
	switch {
	case hasState(err, uniqueViolation):
		err = s.marks.insertWith(ctx, conn, func() error {
			outcome, err = s.upsert(ctx, conn)
			return err
		})
		return outcome, err
	case err != nil:
		return Outcome{}, fmt.Errorf("copy %d rows: %w", len(rows), err)
	}
	outcome.Stored = len(rows)
	if len(s.table.conflicting) > 0 {
		s.columns.reset(s.table.conflicting)
		outcome.Conflicts, err = s.columns.insertConflicts(ctx, conn)
	}
	return outcome, err
}

// upsert inserts the rows whose identity is not stored yet, then compares the others
// with what is stored.
func (s *scratch) upsert(ctx context.Context, conn *pgx.Conn) (outcome Outcome, err error) {
	s.columns.reset(s.table.rows)
	if outcome.Stored, err = s.columns.insert(ctx, conn); err != nil {
		return Outcome{}, err
	}
	s.columns.add(s.table.conflicting)
	if outcome.Conflicts, err = s.columns.insertConflicts(ctx, conn); err != nil {
		return Outcome{}, err
	}
	return outcome, nil
}
