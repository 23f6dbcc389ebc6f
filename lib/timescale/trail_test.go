package timescale

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/timescale/timescaletest/pgtest"
	"github.com/insighthub/insighthub/lib/trail"
)

func TestTrail(t *testing.T) {
	t.Parallel()
	pool := openPool(t, pgtest.NewDatabase(t))
	ctx := t.Context()
	if _, err := Migrate(ctx, pool, FlavourDetect); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for writer := range 4 {
		wg.Go(func() {
			for i := range 25 {
				e := trail.Entry{
					Time: telemetry.Micros(1_700_000_000_123_456 + i), Actor: fmt.Sprint("writer ", writer),
					Action: "site.create", Object: fmt.Sprint("sites/", i), Site: "plant-1", Detail: `{"title":"ü"}`,
				}
				if err := pool.AppendTrail(ctx, e); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	// A change that fails leaves no entry, and no gap.
	failed := errors.New("no")
	err := pool.change(ctx, trail.Entry{Action: "never"}, func(context.Context, pgx.Tx) error { return failed })
	if !errors.Is(err, failed) {
		t.Errorf("got %v, want %v", err, failed)
	}
	var verifier trail.Verifier
	for after := int64(0); ; {
		entries, err := pool.TrailAfter(ctx, after, 30)
		if err != nil {
			t.Fatal(err)
		}
		if len(entries) == 0 {
			break
		}
		for _, e := range entries {
			if err := verifier.Next(e); err != nil {
				t.Fatal(err)
			}
			after = e.Seq
		}
	}
	if seq, _ := verifier.Head(); seq != 100 {
		t.Errorf("got %d entries, want 100", seq)
	}
	for _, statement := range []string{
		"UPDATE trail SET actor = 'x'", "DELETE FROM trail", "TRUNCATE trail",
		"DELETE FROM trail_delivery", "UPDATE trail_delivery SET id = 'x'", "TRUNCATE trail_delivery",
		"DELETE FROM trail_pending", "UPDATE trail_pending SET actor = 'x'", "TRUNCATE trail_pending",
		"DELETE FROM trail_sum", "UPDATE trail_sum SET number = 1", "TRUNCATE trail_sum",
	} {
		err := pool.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
			_, err := conn.Exec(ctx, statement)
			return err
		})
		if !hasState(err, insufficientPrivilege) {
			t.Errorf("%s: got %v, want insufficient_privilege", statement, err)
		}
	}
}

// TestReportOnce: a report that arrives several times, also concurrently, is added up once. One
// that failed can be repeated.
func TestReportOnce(t *testing.T) {
	t.Parallel()
	dsn := pgtest.NewDatabase(t)
	pool := openPool(t, dsn)
	ctx := t.Context()
	if _, err := Migrate(ctx, pool, FlavourDetect); err != nil {
		t.Fatal(err)
	}
	o := trail.Occurrence{Action: trail.RefusedAccessToken, Reason: "expired", Source: "192.0.2.1"}
	line := o.Line(time.Now())
	report := func(id string) trail.Report {
		return trail.Report{ID: id, Action: o.Action, Number: 1, Lines: []trail.Line{line}}
	}
	bad := report("d-0")
	bad.Action = "unknown"
	if added, err := pool.AddReports(ctx, []trail.Report{bad}); err == nil || added != 0 {
		t.Errorf("an invalid report: got %v, %v; want an error", added, err)
	}
	var wg sync.WaitGroup
	var added [3]atomic.Int64
	for i := range 30 {
		wg.Go(func() {
			n, err := pool.AddReports(ctx, []trail.Report{report(fmt.Sprint("d-", i%3))})
			if err != nil {
				t.Error(err)
			}
			added[i%3].Add(int64(n))
		})
	}
	wg.Wait()
	entries, err := pool.TrailAfter(ctx, 0, 100)
	if err != nil || len(entries) != 1 {
		t.Fatalf("got %d entries, %v; want one of 3 reports", len(entries), err)
	}
	sum, err := trail.ParseSum([]byte(entries[0].Detail), o.Action)
	if err != nil || sum.Number != 3 {
		t.Errorf("got %s, %v; want 3 refusals", entries[0].Detail, err)
	}
	for i := range added {
		if n := added[i].Load(); n != 1 {
			t.Errorf("%d calls report that they added report %d, want 1", n, i)
		}
	}
}
