package stack

import (
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/insighthub/insighthub/lib/eventually"
	"github.com/insighthub/insighthub/loadtest/fleet"
)

// fleetIsDescribed waits until the API returns the metrics of a simulated gateway as the
// fleet describes them.
func fleetIsDescribed(t *testing.T, s *Stack, gateway string) {
	t.Helper()
	token := logIn(t, s)
	eventually.True(t, "the metrics of "+gateway+" as the fleet describes them", func() bool {
		var page struct {
			Items []struct{ Name, Unit string }
		}
		call(t, http.MethodGet, s.Info().HTTP+"/v1/sites/plant-1/gateways/"+gateway+"/metrics", token, nil, &page)
		got := make(map[string]string)
		for _, m := range page.Items {
			if m.Name != "state" { // a code, without a unit
				got[m.Name] = m.Unit
			}
		}
		return cmp.Equal(fleet.Units(), got)
	})
}
