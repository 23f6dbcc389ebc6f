package timescale

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/insighthub/insighthub/lib/directory"
)

// TestAccessRange: the lines of several environments are one, with the range of all; a range
// that is open stays open.
func TestAccessRange(t *testing.T) {
	t.Parallel()
	pool := migrated(t, FlavourPlain)
	at := time.Now().Truncate(time.Minute)
	add := func(lines ...directory.Access) {
		t.Helper()
		for i := range lines {
			lines[i].First, lines[i].Last, lines[i].Count = at, at, 1
			lines[i].Role, lines[i].Operation, lines[i].Status = directory.Viewer, "getReadings", 200
		}
		if err := pool.AddAccesses(t.Context(), lines); err != nil {
			t.Fatal(err)
		}
	}
	hour := func(n int) time.Time { return at.Add(time.Duration(n) * time.Hour) }
	add(
		directory.Access{Subject: "open", From: hour(3)}, directory.Access{Subject: "closed", From: hour(2), To: hour(4)},
		directory.Access{Subject: "opened", From: hour(2), To: hour(4)}, directory.Access{Subject: "none"},
	)
	add(
		directory.Access{Subject: "closed", From: hour(3), To: hour(9)}, directory.Access{Subject: "opened", To: hour(1)},
		directory.Access{Subject: "open", From: hour(1), To: hour(2)}, directory.Access{Subject: "none", From: hour(1)},
	)
	add(directory.Access{Subject: "closed", From: hour(1), To: hour(2)}, directory.Access{Subject: "opened", From: hour(1), To: hour(2)})
	lines, err := pool.Accesses(t.Context(), directory.AccessFilter{Limit: 9})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string][2]time.Time{}
	for _, a := range lines {
		got[a.Subject] = [2]time.Time{a.From, a.To}
	}
	want := map[string][2]time.Time{"open": {hour(1)}, "closed": {hour(1), hour(9)}, "opened": {{}, hour(4)}, "none": {}}
	if diff := cmp.Diff(want, got); diff != "" || len(lines) != len(want) {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestAccessRetention: with and without the extension, days before the last ones are dropped
// and the others are not.
func TestAccessRetention(t *testing.T) {
	for _, flavour := range flavours {
		t.Run(string(flavour), func(t *testing.T) {
			t.Parallel()
			pool := migrated(t, flavour)
			now := time.Now()
			for _, days := range []int{0, 29, 31, 32, 400} {
				at := now.AddDate(0, 0, -days)
				line := directory.Access{
					First: at, Last: at, Count: 1, Subject: "ada", Role: directory.Admin, Operation: "getMe", Status: 200,
				}
				if err := pool.AddAccesses(t.Context(), []directory.Access{line, line}); err != nil {
					t.Fatal(err)
				}
			}
			for _, c := range []struct{ days, want int }{{0, 5}, {401, 5}, {30, 2}, {30, 2}} {
				if _, err := pool.DropAccesses(t.Context(), c.days); err != nil {
					t.Fatal(err)
				}
				if got := query[int](t, pool, "SELECT count(*) FROM access_record"); got != c.want {
					t.Errorf("of %d days: got %d lines, want %d", c.days, got, c.want)
				}
			}
			if got := query[int](t, pool, "SELECT sum(count)::int FROM access_record"); got != 4 {
				t.Errorf("got a count of %d, want 4", got)
			}
		})
	}
}
