package timescale

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

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
		"DELETE FROM trail_delivery",
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

// TestTrailOnce: a delivery that arrives several times, also concurrently, becomes one
// entry. A delivery whose entry failed can be repeated.
func TestTrailOnce(t *testing.T) {
	t.Parallel()
	pool := openPool(t, pgtest.NewDatabase(t))
	ctx := t.Context()
	if _, err := Migrate(ctx, pool, FlavourDetect); err != nil {
		t.Fatal(err)
	}
	entry := trail.Entry{Time: 1_700_000_000_000_000, Action: "access_token.refuse", Object: "access_tokens", Detail: `{}`}
	bad := entry
	bad.Detail = "\x00" // not a valid text in PostgreSQL
	if added, err := pool.AppendTrailOnce(ctx, "d-0", bad); err == nil || added {
		t.Errorf("an invalid entry: got %v, %v; want an error", added, err)
	}
	var wg sync.WaitGroup
	var added [3]atomic.Int64
	for i := range 30 {
		wg.Go(func() {
			ok, err := pool.AppendTrailOnce(ctx, fmt.Sprint("d-", i%3), entry)
			if err != nil {
				t.Error(err)
			}
			if ok {
				added[i%3].Add(1)
			}
		})
	}
	wg.Wait()
	entries, err := pool.TrailAfter(ctx, 0, 100)
	if err != nil || len(entries) != 3 {
		t.Fatalf("got %d entries, %v; want one for each of 3 deliveries", len(entries), err)
	}
	var verifier trail.Verifier
	for i, e := range entries {
		if err := verifier.Next(e); err != nil {
			t.Error(err)
		}
		if n := added[i].Load(); n != 1 {
			t.Errorf("%d calls report that they added delivery %d, want 1", n, i)
		}
	}
}
