package main

import (
	"maps"
	"testing"

	"github.com/insighthub/insighthub/lib/timescale/timescaletest"
	"github.com/insighthub/insighthub/lib/trail"
)

// TestKnownCallersAreAddedUp: refreshes and gateways' tokens are in the trail by name, and a
// caller in a loop adds to a count.
func TestKnownCallersAreAddedUp(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	key, kid := p.gateway(t, "gw-1", "plant-1")
	a := p.login(t, "ada", secret)
	person := p.claims(t, a.Member(t, "access_token")).Subject
	const refreshes, tokens = 5, 3
	for range refreshes {
		a = p.refresh(t, a.Member(t, "refresh_token")).Want(t, 200)
	}
	for range tokens {
		p.token(t, assertion(t, key, kid, nil)).Want(t, 200)
	}
	p.Trail(t)
	entries, err := timescaletest.Owner(t, p.DSN).TrailAfter(t.Context(), 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	type who struct {
		action              trail.Action
		actor, site, source string
	}
	got := map[who]int64{} // the test's intervals are 0, so that there may be several entries
	for _, e := range entries {
		if e.Action == trail.RefreshedSession || e.Action == trail.GrantedToken {
			sum, err := trail.ParseSum([]byte(e.Detail), e.Action)
			if err != nil {
				t.Fatal(err)
			}
			got[who{e.Action, e.Actor, string(e.Site), sum.Lines[0].Source}] += sum.Number
		}
	}
	want := map[who]int64{
		{trail.RefreshedSession, person, "", address}: refreshes, {trail.GrantedToken, "gw-1", "plant-1", address}: tokens,
	}
	if !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
