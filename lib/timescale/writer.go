package timescale

import (
	"context"
	"fmt"
	"sync"

	"github.com/jackc/pgx/v5"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// WriterConfig bounds what a gateway may bring into being. Zero means the
// default in the comment.
type WriterConfig struct {
	DevicesPerGateway int // 10,000
	MetricsPerGateway int // 1,000
}

// Outcome says what became of the events of a write. Stored, Duplicates and
// Conflicts add up to the events offered.
type Outcome struct {
	Stored     int
	Duplicates int // offered again, with the value and quality of another of them or of the stored one
	Conflicts  int // different offers of another value or quality; the stored one stays
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
}

// NewWriter returns a writer to the database of pool, whose schema must be
// migrated.
func NewWriter(pool *Pool, config WriterConfig) *Writer {
	or(&config.DevicesPerGateway, 10_000)
	or(&config.MetricsPerGateway, 1_000)
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
	offers   offers
	marks    marks
}

// Write stores the events of batches, earlier ones first where they contradict
// each other. On return without error all are durable. It does not keep the
// batches.
//
// With an error any part may have been stored, and writing the same batches
// again is always right. telemetry.ErrInvalid: at least one batch can not be
// stored, ever; write them one by one to find it. telemetry.ErrUnavailable: try
// later.
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
	outcome.Duplicates = events - outcome.Stored - outcome.Conflicts
	outcome.Committed = telemetry.MicrosOf(w.pool.config.Now())
	return outcome, nil
}

// attempt does the whole write over one connection, from the names on: what was
// looked up over a connection that is gone is not trusted.
func (w *Writer) attempt(ctx context.Context, conn *pgx.Conn, s *scratch, batches []*telemetry.Batch) (Outcome, error) {
	if err := w.resolve(ctx, conn, s, batches); err != nil {
		return Outcome{}, err
	}
	if err := s.table.fill(batches, s.resolved); err != nil {
		return Outcome{}, err
	}
	rows, start := s.table.rows, w.pool.config.Now()
	s.marks.find(rows, telemetry.MicrosOf(start.Add(-lateAfter)), w.dictionary)
	if err := s.marks.register(ctx, conn, w.dictionary, w.pool.generation.Load()); err != nil {
		return Outcome{}, err
	}
	outcome, err := w.store(ctx, conn, s)
	if err != nil {
		return Outcome{}, err
	}
	return outcome, s.marks.afterwards(ctx, conn, rows, w.pool.config.Now().Sub(start), w.dictionary)
}

// store copies the rows, or offers them where at least one is stored already.
func (w *Writer) store(ctx context.Context, conn *pgx.Conn, s *scratch) (outcome Outcome, err error) {
	rows := s.table.rows
	err = s.marks.marked(ctx, conn, func() error {
		s.reader = copyReader{rows: rows}
		_, err := conn.PgConn().CopyFrom(ctx, &s.reader, copyStatement)
		return err
	})
	switch {
	case hasState(err, uniqueViolation):
		err = s.marks.marked(ctx, conn, func() error {
			outcome, err = w.offer(ctx, conn, s)
			return err
		})
		return outcome, err
	case err != nil:
		return Outcome{}, fmt.Errorf("copy %d rows: %w", len(rows), err)
	}
	outcome.Stored = len(rows)
	if len(s.table.contradicting) > 0 {
		s.offers.reset(s.table.contradicting)
		outcome.Conflicts, err = s.offers.noteConflicts(ctx, conn)
	}
	return outcome, err
}

// offer is the way for rows of which at least one is stored already: insert what
// is new, then compare what was not.
func (w *Writer) offer(ctx context.Context, conn *pgx.Conn, s *scratch) (outcome Outcome, err error) {
	s.offers.reset(s.table.rows)
	if outcome.Stored, err = s.offers.insert(ctx, conn); err != nil {
		return Outcome{}, err
	}
	s.offers.add(s.table.contradicting)
	if outcome.Conflicts, err = s.offers.noteConflicts(ctx, conn); err != nil {
		return Outcome{}, err
	}
	return outcome, nil
}
