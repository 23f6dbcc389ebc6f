package main

import (
	"fmt"
	"log/slog"
	"testing"

	"github.com/insighthub/insighthub/lib/api"
	"github.com/insighthub/insighthub/lib/api/apitest"
	lambdahttp "github.com/insighthub/insighthub/lib/lambda/http"
	"github.com/insighthub/insighthub/lib/timescale"
	"github.com/insighthub/insighthub/lib/timescale/timescaletest"
)

// platform is the function over a real database, with KPIs that the test sets.
type platform struct {
	*apitest.Platform
	kpis *fakeKPIs
}

func newPlatform(t *testing.T) *platform {
	t.Helper()
	pool, dsn := timescaletest.OpenAs(t, timescale.FunctionAPI)
	return platformOver(t, pool, dsn)
}

func platformOver(t *testing.T, pool *timescale.Pool, dsn string) *platform {
	t.Helper()
	kpis := &fakeKPIs{}
	handler := wire(pool, slog.New(slog.DiscardHandler), services{files: exportBucket(t), kpis: kpis, ice: testICE()})
	return &platform{apitest.New(t, pool, dsn, handler), kpis}
}

// site creates a site.
func (p *platform) site(t *testing.T, name string) {
	t.Helper()
	p.Do(t, apitest.Administrator(), "POST", "/v1/sites", fmt.Sprintf(`{"name":%q,"title":"A plant"}`, name)).Want(t, 201)
}

// get reads a resource into v.
func (p *platform) get(t *testing.T, caller *lambdahttp.Caller, target string, v any) {
	t.Helper()
	p.Do(t, caller, "GET", target, "").Want(t, 200).Decode(t, v)
}

func testICE() api.ICE {
	return api.ICE{STUN: []string{"stun:stun.test:3478"}, TURN: []string{"turn:turn.test:3478"}, Secret: []byte("shared")}
}
