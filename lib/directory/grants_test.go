package directory

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/insighthub/insighthub/lib/telemetry"
)

func TestTakesAway(t *testing.T) {
	t.Parallel()
	type of = map[telemetry.SiteID]Role
	for name, c := range map[string]struct {
		from, to      of
		before, after bool // disabled
		want          bool
	}{
		"nothing changes":               {from: of{"a": Viewer}, to: of{"a": Viewer}},
		"a site more":                   {from: of{"a": Viewer}, to: of{"a": Viewer, "b": Admin}},
		"a higher role":                 {from: of{"a": Viewer}, to: of{"a": Operator}},
		"every site instead of one":     {from: of{"a": Viewer}, to: of{EverySite: Viewer}},
		"one that every site has":       {from: of{"a": Viewer, EverySite: Admin}, to: of{EverySite: Admin}},
		"first grant":                   {from: nil, to: of{"a": Viewer}},
		"enabled":                       {from: of{"a": Viewer}, to: of{"a": Viewer}, before: true},
		"enabled with less":             {from: of{"a": Admin}, to: nil, before: true},
		"a site less":                   {from: of{"a": Viewer, "b": Viewer}, to: of{"b": Admin}, want: true},
		"a lower role":                  {from: of{"a": Admin}, to: of{"a": Operator}, want: true},
		"all":                           {from: of{"a": Viewer}, to: nil, want: true},
		"one site instead of every":     {from: of{EverySite: Viewer}, to: of{"a": Admin}, want: true},
		"every site at a lower role":    {from: of{"a": Admin}, to: of{EverySite: Operator}, want: true},
		"disabled":                      {from: of{"a": Viewer}, to: of{"a": Viewer}, after: true, want: true},
		"disabled with more":            {from: of{"a": Viewer}, to: of{"a": Admin}, after: true, want: true},
		"changed while it was disabled": {from: of{"a": Viewer}, to: of{"a": Viewer, "b": Admin}, before: true, after: true},
	} {
		before, after := Account{Grants: c.from, Disabled: c.before}, Account{Grants: c.to, Disabled: c.after}
		if got := before.TakesAway(&after); got != c.want {
			t.Errorf("%s: got %t, want %t", name, got, c.want)
		}
	}
}

// TestTakesAwayRights compares with the rights at sites, known and unknown ones.
func TestTakesAwayRights(t *testing.T) {
	t.Parallel()
	grants := rapid.MapOf(rapid.SampledFrom([]telemetry.SiteID{"a", "b", EverySite}), rapid.SampledFrom([]Role{Viewer, Operator, Admin}))
	rapid.Check(t, func(t *rapid.T) {
		before, after := Account{Grants: grants.Draw(t, "before")}, Account{Grants: grants.Draw(t, "after")}
		want := false
		for _, site := range []telemetry.SiteID{"a", "b", "any other"} {
			want = want || roleAt(after.Grants, site) < roleAt(before.Grants, site)
		}
		if got := before.TakesAway(&after); got != want {
			t.Fatalf("%v to %v: got %t, want %t", before.Grants, after.Grants, got, want)
		}
	})
}
