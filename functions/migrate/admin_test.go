package main

import (
	"log/slog"
	"testing"

	"github.com/insighthub/insighthub/lib/password"
	"github.com/insighthub/insighthub/lib/timescale/timescaletest"
)

// TestFirstAdministrator: the first deployment creates the account, later ones do not
// change it or its password.
func TestFirstAdministrator(t *testing.T) {
	t.Parallel()
	pool, _ := timescaletest.Open(t)
	log := slog.New(slog.DiscardHandler)
	const secret = "a secret of the deployment"
	for _, s := range []string{secret, "another secret of it"} {
		if err := firstAdministrator(t.Context(), pool, []byte(s), log); err != nil {
			t.Fatal(err)
		}
	}
	account, phc, err := pool.AccountByName(t.Context(), "admin")
	if err != nil || account.Grants["*"] != "admin" {
		t.Fatalf("got account %+v, %v, want an admin", account, err)
	}
	if ok, err := password.Verify(phc, secret); err != nil || !ok {
		t.Errorf("got verified %t, %v, want the first secret", ok, err)
	}
	if entries, err := pool.TrailAfter(t.Context(), 0, 10); err != nil || len(entries) != 1 {
		t.Errorf("got trail %+v, %v, want one entry", entries, err)
	}
	if err := firstAdministrator(t.Context(), pool, []byte("short"), log); err == nil {
		t.Error("got no error for a short password")
	}
}
