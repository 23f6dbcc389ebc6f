package main

import (
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/insighthub/insighthub/lib/api/apitest"
	"github.com/insighthub/insighthub/lib/timescale"
	"github.com/insighthub/insighthub/lib/timescale/timescaletest"
	"github.com/insighthub/insighthub/lib/trail"
)

// counted remembers what was counted.
type counted struct {
	mu  sync.Mutex
	all []trail.Occurrence
}

func (c *counted) Count(o trail.Occurrence) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = append(c.all, o)
}

// TestDeniedCallersAreCounted: 403 and 404 of known callers, reads and changes, with the site
// only if the caller's token names it: nobody fills the trail with names of sites.
func TestDeniedCallersAreCounted(t *testing.T) {
	t.Parallel()
	pool, dsn := timescaletest.OpenAs(t, timescale.FunctionAPI)
	log := &counted{}
	kpis := &fakeKPIs{}
	handler := wire(pool, slog.New(slog.DiscardHandler), services{files: exportBucket(t), kpis: kpis, ice: testICE(), refusals: log})
	p := &platform{apitest.New(t, pool, dsn, handler), kpis}
	p.site(t, "plant-1")
	p.site(t, "plant-2")
	eve := apitest.Person("eve", "plant-1=viewer")
	for _, c := range []struct {
		method, target string
		status         int
		want           *trail.Occurrence
	}{
		{"GET", "/v1/sites/plant-1/gateways", 200, nil},
		{"GET", "/v1/sites/plant-1/gateways/gw-9", 404, &trail.Occurrence{Reason: "not found", Site: "plant-1"}},
		{"GET", "/v1/sites/plant-2/gateways/gw-9", 404, &trail.Occurrence{Reason: "not found"}},
		{"GET", "/v1/sites/made-up/gateways/gw-9", 404, &trail.Occurrence{Reason: "not found"}},
		{
			"DELETE", "/v1/sites/plant-1/gateways/gw-9", 403,
			&trail.Occurrence{Reason: "not allowed", Site: "plant-1"},
		},
		{"GET", "/v1/users", 403, &trail.Occurrence{Reason: "not allowed"}},
		{"GET", "/v1/nothing", 404, &trail.Occurrence{Reason: "not found"}},
		{"GET", "/v1//sites", 404, &trail.Occurrence{Reason: "not found"}},
		{"GET", "/v1/sites/plant-1/conflicts?limit=0", 400, nil},
	} {
		log.all = nil
		path, query, _ := strings.Cut(c.target, "?")
		p.Send(t, apitest.Request{
			Method: c.method, Path: path, Query: query, Headers: map[string]string{"if-match": "*"},
			SourceIP: "192.0.2.9", Caller: eve,
		}).Want(t, c.status)
		var want []trail.Occurrence
		if c.want != nil {
			c.want.Action, c.want.Subject, c.want.Source = trail.RefusedAccess, "eve", "192.0.2.9"
			c.want.Route = c.method + " " + path
			want = []trail.Occurrence{*c.want}
		}
		if diff := cmp.Diff(want, log.all); diff != "" {
			t.Errorf("%s %s (-want +got):\n%s", c.method, c.target, diff)
		}
	}
	log.all = nil
	p.Do(t, nil, "GET", "/v1/nothing", "").Want(t, 404)
	p.Do(t, nil, "GET", "/v1/sites", "").Want(t, 401)
	if len(log.all) > 0 {
		t.Errorf("without a caller: got %+v", log.all)
	}
}
