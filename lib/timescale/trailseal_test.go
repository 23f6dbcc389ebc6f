package timescale

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/timescale/timescaletest/pgtest"
	"github.com/insighthub/insighthub/lib/trail"
)

// openTrail returns a pool on a migrated database, and its DSN.
func openTrail(t *testing.T) (*Pool, string) {
	t.Helper()
	dsn := pgtest.NewDatabase(t)
	pool := openPool(t, dsn)
	if _, err := Migrate(t.Context(), pool, FlavourDetect); err != nil {
		t.Fatal(err)
	}
	return pool, dsn
}

func someEntry(i int) trail.Entry {
	return trail.Entry{
		Time: telemetry.Micros(1_700_000_000_000_000 + int64(i)), Actor: fmt.Sprint("actor ", i), Action: "site.create",
		Object: fmt.Sprint("sites/", i), Site: "plant-1", Detail: `{"title":"ü"}`,
	}
}

// TestChangesDoNotWaitForTheSealer: while a sealer holds the lock of the chain, in a transaction
// that does not end, changes commit. They are sealed when it has ended, in the order of their commits.
func TestChangesDoNotWaitForTheSealer(t *testing.T) {
	t.Parallel()
	pool, dsn := openTrail(t)
	if err := pool.AppendTrail(t.Context(), someEntry(0)); err != nil {
		t.Fatal(err)
	}
	pgtest.Connect(t, dsn, func(ctx context.Context, conn *pgx.Conn) error {
		tx, err := conn.Begin(ctx)
		if err != nil {
			return err
		}
		var sealed int
		if err := tx.QueryRow(ctx, "SELECT sealed FROM trail_seal(10)").Scan(&sealed); err != nil || sealed != 1 {
			t.Errorf("got %d sealed, %v; want 1", sealed, err)
		}
		// Two changes are in flight at once, and commit in the other order.
		first := make(chan struct{})
		var both sync.WaitGroup
		both.Go(func() {
			err := pool.change(ctx, someEntry(1), func(context.Context, pgx.Tx) error { <-first; return nil })
			if err != nil {
				t.Error(err)
			}
		})
		if err := pool.AppendTrail(ctx, someEntry(2)); err != nil {
			t.Error(err)
		}
		close(first)
		both.Wait()
		return tx.Commit(ctx)
	})
	entries, err := pool.TrailAfter(t.Context(), 0, 10)
	if err != nil || len(entries) != 3 || entries[1].Actor != "actor 2" || entries[2].Actor != "actor 1" {
		t.Fatalf("got %+v, %v; want the entries 0, 2, 1", entries, err)
	}
	verifyEntries(t, entries)
}

func verifyEntries(t *testing.T, entries []trail.Entry) {
	t.Helper()
	var v trail.Verifier
	for _, e := range entries {
		if err := v.Next(e); err != nil {
			t.Fatal(err)
		}
	}
}

// TestSealerThatDies: a sealer whose connection ends in the middle leaves nothing half done.
func TestSealerThatDies(t *testing.T) {
	t.Parallel()
	pool, dsn := openTrail(t)
	for i := range 5 {
		if err := pool.AppendTrail(t.Context(), someEntry(i)); err != nil {
			t.Fatal(err)
		}
	}
	pgtest.Connect(t, dsn, func(ctx context.Context, conn *pgx.Conn) error {
		if _, err := conn.Exec(ctx, "BEGIN; SELECT trail_seal(3)"); err != nil {
			t.Error(err)
		}
		return conn.PgConn().Conn().Close() // without a word to the server
	})
	if sealed, err := pool.SealTrail(t.Context()); err != nil || sealed != 5 {
		t.Errorf("got %d sealed, %v; want 5", sealed, err)
	}
	entries, err := pool.TrailAfter(t.Context(), 0, 10)
	if err != nil || len(entries) != 5 {
		t.Fatalf("got %d entries, %v; want 5", len(entries), err)
	}
	verifyEntries(t, entries)
}

// TestSealersAtOnce: many changes and many sealers make one chain with each entry once, and a
// reader finds the change that it made before.
func TestSealersAtOnce(t *testing.T) {
	t.Parallel()
	pool, _ := openTrail(t)
	var all sync.WaitGroup
	for w := range 4 {
		all.Go(func() {
			for i := range 20 {
				e := someEntry(w*100 + i)
				if err := pool.AppendTrail(t.Context(), e); err != nil {
					t.Error(err)
					return
				}
				found := false
				entries, err := pool.TrailAfter(t.Context(), 0, 1000)
				for _, got := range entries {
					found = found || got.Actor == e.Actor
				}
				if err != nil || !found {
					t.Errorf("entry %s is not in the next read: %v", e.Actor, err)
				}
			}
		})
	}
	all.Wait()
	entries, err := pool.TrailAfter(t.Context(), 0, 1000)
	if err != nil || len(entries) != 80 {
		t.Fatalf("got %d entries, %v; want 80", len(entries), err)
	}
	verifyEntries(t, entries)
}

// TestHashInSQL: the database's hash is that of package trail, for any text and time.
func TestHashInSQL(t *testing.T) {
	t.Parallel()
	pool, _ := openTrail(t)
	random := rand.New(rand.NewPCG(1, 2))
	letters := []rune("aé漢😀\t\n\"\\ \u200b\u0301%")
	text := func() string {
		var b strings.Builder
		for range random.IntN(40) {
			b.WriteRune(letters[random.IntN(len(letters))])
		}
		return b.String()
	}
	for i := range 300 {
		e := trail.Entry{
			Time: telemetry.Micros(random.Int64N(4e15) - 1e15), Actor: text(), Action: trail.Action(text()),
			Object: text(), Site: telemetry.SiteID(text()), Detail: text(),
		}
		if i == 0 {
			e.Detail = strings.Repeat("漢", 100_000)
		}
		if err := pool.AppendTrail(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := pool.TrailAfter(t.Context(), 0, 1000)
	if err != nil || len(entries) != 300 {
		t.Fatalf("got %d entries, %v", len(entries), err)
	}
	verifyEntries(t, entries)
}

// TestOldTrail: entries that were sealed before there was a sealer stay valid, and the chain goes on.
func TestOldTrail(t *testing.T) {
	t.Parallel()
	pool := openPool(t, pgtest.NewDatabase(t))
	ctx := t.Context()
	err := pool.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		_, err := migrate(ctx, conn, FlavourDetect, 15)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	var previous trail.Hash
	for i := range 3 {
		e := someEntry(i)
		e.Seal(int64(i)+1, previous)
		previous = e.Hash
		err := pool.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
			_, err := conn.Exec(ctx, `INSERT INTO trail (seq, time, actor, action, object, site, detail, previous, hash)
				VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
				e.Seq, e.Time.Time(), e.Actor, string(e.Action), e.Object, string(e.Site), e.Detail, e.Previous[:], e.Hash[:])
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Migrate(ctx, pool, FlavourDetect); err != nil {
		t.Fatal(err)
	}
	if err := pool.AppendTrail(ctx, someEntry(3)); err != nil {
		t.Fatal(err)
	}
	entries, err := pool.TrailAfter(ctx, 0, 10)
	if err != nil || len(entries) != 4 {
		t.Fatalf("got %d entries, %v; want 4", len(entries), err)
	}
	verifyEntries(t, entries)
}

// TestSummedActions: the database and package trail have the same list.
func TestSummedActions(t *testing.T) {
	t.Parallel()
	pool, _ := openTrail(t)
	got := make(map[trail.Action]bool)
	type row struct {
		Action trail.Action
		Known  bool
	}
	rows, err := findAll(t.Context(), pool, "actions", pgx.RowToStructByPos[row], "SELECT action, known FROM trail_sum_action")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		got[r.Action] = r.Known
	}
	if diff := cmp.Diff(trail.Summed(), got); diff != "" {
		t.Errorf("package trail and the table (-package +table):\n%s", diff)
	}
}

// reportOf makes a report of lines.
func reportOf(id string, action trail.Action, lines []trail.Line) trail.Report {
	r := trail.Report{ID: id, Action: action, Lines: lines}
	for _, l := range lines {
		r.Number += l.Number
	}
	return r
}

// TestUnknownCallersAreOneEntryAMinute: failures of unknown callers, of however many addresses and
// processes, with the longest texts, are one entry of limited size in a minute. The first is
// an entry at once. Their numbers sum to what happened.
func TestUnknownCallersAreOneEntryAMinute(t *testing.T) {
	t.Parallel()
	pool, dsn := openTrail(t)
	long := strings.Repeat("x", 600)
	lines := func(report int) []trail.Line {
		out := make([]trail.Line, trail.MaxLines)
		for i := range out {
			o := trail.Occurrence{
				Action: trail.RefusedLogin, Reason: fmt.Sprint(i%3, long),
				Source: fmt.Sprintf("2001:db8:1111:2222:3333:4444:%x:%x", 0x1000+report, 0x1000+i),
				Route:  fmt.Sprint(i%7, long)[:128], KeyID: long[:64], Subject: long[:64],
			}
			out[i] = o.Line(time.Date(2026, 12, 1, 0, 0, i, report*1000, time.UTC))
			out[i].Number = int64(1 + i)
		}
		return out
	}
	total := int64(0)
	for report := range 50 {
		r := reportOf(fmt.Sprint("r-", report), trail.RefusedLogin, lines(report))
		total += r.Number
		if n, err := pool.AddReports(t.Context(), []trail.Report{r}); err != nil || n != 1 {
			t.Fatal(n, err)
		}
		if report == 0 || report == 49 { // at once, and then not for a minute
			if entries, err := pool.TrailAfter(t.Context(), 0, 10); err != nil || len(entries) != 1 {
				t.Fatalf("after report %d: got %d entries, %v; want 1", report, len(entries), err)
			}
		}
	}
	pgtest.Exec(t, dsn, "UPDATE trail_sum_action SET summed_at = summed_at - interval '1 minute'")
	entries, err := pool.TrailAfter(t.Context(), 0, 10)
	if err != nil || len(entries) != 2 {
		t.Fatalf("after a minute: got %d entries, %v; want 2", len(entries), err)
	}
	verifyEntries(t, entries)
	sum := int64(0)
	for _, e := range entries {
		r, err := trail.ParseSum([]byte(e.Detail), e.Action)
		if err != nil || e.Actor != "" || e.Site != "" || e.Object != "sessions" || e.Time != telemetry.MicrosOf(r.Last) {
			t.Errorf("got %+v, %v", e, err)
		}
		sum += r.Number
		t.Logf("%d lines, %d bytes", len(r.Lines), len(e.Detail))
	}
	if sum != total {
		t.Errorf("got a sum of %d, want %d", sum, total)
	}
}

// TestKnownCallersAreNotFolded: each known caller has an entry of its own, whatever the number of
// callers, and the lines of one are limited.
func TestKnownCallersAreNotFolded(t *testing.T) {
	t.Parallel()
	pool, _ := openTrail(t)
	const callers = 120
	at := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	lines := make([]trail.Line, 0, 2*callers)
	for i := range callers {
		o := trail.Occurrence{
			Action: trail.GrantedToken, Reason: "granted", Source: "192.0.2.1", Subject: fmt.Sprint("gw-", i), Site: "plant-1",
		}
		lines = append(lines, o.Line(at), o.Line(at.Add(time.Second)))
	}
	if _, err := pool.AddReports(t.Context(), []trail.Report{reportOf("r", trail.GrantedToken, lines)}); err != nil {
		t.Fatal(err)
	}
	entries, err := pool.TrailAfter(t.Context(), 0, 1000)
	if err != nil || len(entries) != callers {
		t.Fatalf("got %d entries, %v; want %d", len(entries), err, callers)
	}
	want := `{"number":2,"first":"2026-12-01T00:00:00.000000Z","last":"2026-12-01T00:00:01.000000Z","refusals":[` +
		`{"reason":"granted","source":"192.0.2.1","number":2,"first":"2026-12-01T00:00:00.000000Z","last":"2026-12-01T00:00:01.000000Z"}]}`
	for i, e := range entries {
		if e.Site != "plant-1" || !strings.HasPrefix(e.Actor, "gw-") || e.Detail != want {
			t.Fatalf("entry %d: got %+v", i, e)
		}
	}
}

// TestFailureOfAKnownAccount: it is an entry of its own at once, and of an unknown one a part of a sum.
func TestFailureOfAKnownAccount(t *testing.T) {
	t.Parallel()
	pool, _ := openTrail(t)
	e := trail.Entry{Time: 1_800_000_000_000_000, Action: trail.RefusedLogin, Object: "accounts/ada", Detail: `{"reason":"wrong password"}`}
	o := trail.Occurrence{Action: trail.RefusedLogin, Reason: "wrong password", Source: "192.0.2.1", Subject: "ada"}
	for i := range 20 {
		if err := pool.AppendFailure(t.Context(), i%10 == 0, e, o); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := pool.TrailAfter(t.Context(), 0, 100)
	if err != nil || len(entries) != 3 || entries[0].Object != "accounts/ada" || entries[1].Object != "accounts/ada" {
		t.Fatalf("got %+v, %v; want two entries and a sum", entries, err)
	}
	if sum, err := trail.ParseSum([]byte(entries[2].Detail), e.Action); err != nil || sum.Number != 18 {
		t.Errorf("got %s, %v; want a sum of 18", entries[2].Detail, err)
	}
}
