package timescale

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/insighthub/insighthub/lib/trail"
)

// ArchivedTrail returns the last segment that was moved to the archive; the zero value if there is
// none.
func (p *Pool) ArchivedTrail(ctx context.Context) (s trail.Segment, err error) {
	err = p.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		var hash []byte
		err := conn.QueryRow(ctx, "SELECT first, last, hash FROM trail_archive ORDER BY last DESC LIMIT 1").Scan(&s.First, &s.Last, &hash)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		copy(s.Hash[:], hash)
		return err
	})
	if err != nil {
		return trail.Segment{}, fmt.Errorf("audit trail: archive: %w", err)
	}
	return s, nil
}

// ArchiveTrail removes the entries of a segment that the archive has from the trail, and returns
// how many. telemetry.ErrInvalid: the segment is not the oldest part of the trail, or too young.
func (p *Pool) ArchiveTrail(ctx context.Context, s trail.Segment) (removed int64, err error) {
	err = p.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		return conn.QueryRow(ctx, "SELECT trail_archived($1, $2, $3, $4)", s.First, s.Last, s.Hash[:], s.Key()).Scan(&removed)
	})
	if err != nil {
		return 0, fmt.Errorf("audit trail: archive entries %d to %d: %w", s.First, s.Last, err)
	}
	return removed, nil
}
