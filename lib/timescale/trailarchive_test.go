package timescale

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/timescale/timescaletest/pgtest"
	"github.com/insighthub/insighthub/lib/trail"
)

// TestArchiveTrail: entries leave the trail only for a segment that is its oldest part, whose last hash
// is right, which is old enough and not the newest; and the chain goes on.
func TestArchiveTrail(t *testing.T) {
	t.Parallel()
	pool, dsn := openTrail(t)
	old := time.Now().Add(-60 * 24 * time.Hour)
	for i := range 8 {
		e := someEntry(i)
		e.Time = telemetry.MicrosOf(old)
		if i > 5 {
			e.Time = telemetry.MicrosOf(time.Now())
		}
		if err := pool.AppendTrail(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := pool.TrailAfter(t.Context(), 0, 10)
	if err != nil || len(entries) != 8 {
		t.Fatal(len(entries), err)
	}
	segment := func(first, last int64) trail.Segment {
		return trail.Segment{First: first, Last: last, Hash: entries[last-1].Hash}
	}
	wrong := segment(1, 4)
	wrong.Hash[0]++
	for name, s := range map[string]trail.Segment{
		"another hash": wrong, "not the oldest": segment(2, 4), "too young": segment(1, 7), "the newest": segment(1, 8),
		"entries that do not exist": {First: 1, Last: 9, Hash: entries[7].Hash},
	} {
		if n, err := pool.ArchiveTrail(t.Context(), s); !errors.Is(err, telemetry.ErrInvalid) || n != 0 {
			t.Errorf("%s: got %d removed, %v; want ErrInvalid", name, n, err)
		}
	}
	if s, err := pool.ArchivedTrail(t.Context()); err != nil || s != (trail.Segment{}) {
		t.Errorf("got %+v, %v; want nothing archived", s, err)
	}
	for _, c := range []struct {
		s    trail.Segment
		want int64
	}{{segment(1, 4), 4}, {segment(1, 4), 0}, {segment(5, 6), 2}} {
		if n, err := pool.ArchiveTrail(t.Context(), c.s); err != nil || n != c.want {
			t.Errorf("%+v: got %d removed, %v; want %d", c.s, n, err, c.want)
		}
	}
	if s, err := pool.ArchivedTrail(t.Context()); err != nil || s != segment(5, 6) {
		t.Errorf("got %+v, %v; want the last segment", s, err)
	}
	if err := pool.AppendTrail(t.Context(), someEntry(9)); err != nil {
		t.Fatal(err)
	}
	rest, err := pool.TrailAfter(t.Context(), 0, 10)
	if err != nil || len(rest) != 3 || rest[0].Seq != 7 {
		t.Fatalf("got %+v, %v; want the entries 7 to 9", rest, err)
	}
	var v trail.Verifier
	v.StartAfter(6, entries[5].Hash)
	for _, e := range rest {
		if err := v.Next(e); err != nil {
			t.Error(err)
		}
	}
	// Nothing else removes entries, or changes what the archive has.
	pgtest.Connect(t, dsn, func(ctx context.Context, conn *pgx.Conn) error {
		for _, statement := range []string{
			"DELETE FROM trail", "UPDATE trail SET detail = ''", "TRUNCATE trail", "DELETE FROM trail_archive",
			"UPDATE trail_archive SET last = 9",
			"SET insighthub.trail_step = 'archive'; UPDATE trail SET detail = ''",
		} {
			if _, err := conn.Exec(ctx, statement); !hasState(err, insufficientPrivilege) {
				t.Errorf("%s: got %v, want insufficient_privilege", statement, err)
			}
		}
		return nil
	})
}
