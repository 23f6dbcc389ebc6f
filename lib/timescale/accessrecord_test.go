package timescale

import (
	"testing"
	"time"

	"github.com/insighthub/insighthub/lib/directory"
)

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
