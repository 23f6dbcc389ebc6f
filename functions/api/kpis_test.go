package main

import (
	"context"
	"net/url"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/insighthub/insighthub/lib/api"
	"github.com/insighthub/insighthub/lib/api/apitest"
	"github.com/insighthub/insighthub/lib/kpi"
	"github.com/insighthub/insighthub/lib/readings"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// fakeKPIs returns what the test sets; lib/prometheus/promquery is tested with a real
// Prometheus.
type fakeKPIs struct {
	asked  []readings.Selection
	totals kpi.Totals
	err    error
}

var _ api.KPIs = (*fakeKPIs)(nil)

func (f *fakeKPIs) Sums(_ context.Context, s readings.Selection) (kpi.Totals, error) {
	f.asked = append(f.asked, s)
	return f.totals, f.err
}

func TestKPIs(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	p.kpis.totals = kpi.Totals{
		Sums: kpi.Sums{
			Calendar: time.Hour, Planned: 50 * time.Minute, Busy: 40 * time.Minute, Production: 30 * time.Minute,
			Idle: 4 * time.Minute, Setup: 2 * time.Minute, Down: 4 * time.Minute, Unknown: 10 * time.Minute,
			IdealSeconds: 1350, Produced: 675, Good: 600, Failures: 2,
		},
		Downtime: map[string]time.Duration{"fault": 3 * time.Minute, "": time.Minute}, Windows: 720,
	}
	const want = `{"site":"plant-1","gateway":"gw-1","device":"press \"1\"","from":0,"to":3600000000,"windows":720,` +
		`"availability":0.75,"performance":0.75,"quality":0.8888888888888888,"oee":0.5,"teep":0.3333333333333333,` +
		`"scrap":0.1111111111111111,"throughput_per_hour":675,"mtbf_seconds":900,"mttr_seconds":120,` +
		`"calendar_seconds":3600,"planned_seconds":3000,"busy_seconds":2400,"production_seconds":1800,"idle_seconds":240,` +
		`"setup_seconds":120,"down_seconds":240,"unknown_seconds":600,"ideal_seconds":1350,` +
		`"produced":675,"good":600,"failures":2,"downtime":[{"reason":"fault","seconds":180},{"reason":"","seconds":60}]}` + "\n"
	viewer := apitest.Person("eve", "plant-1=viewer")
	a := p.Do(t, viewer, "GET", "/v1/sites/plant-1/kpis?gateway=gw-1&device=press+%221%22&from=0&to=1970-01-01T01:00:00Z", "").Want(t, 200)
	if diff := cmp.Diff(want, a.Body); diff != "" {
		t.Errorf("response differs (-want +got):\n%s", diff)
	}
	asked := readings.Selection{Site: "plant-1", Gateway: "gw-1", Device: `press "1"`, Range: readings.Range{To: 3_600_000_000}}
	if diff := cmp.Diff([]readings.Selection{asked}, p.kpis.asked); diff != "" {
		t.Errorf("selections differ (-want +got):\n%s", diff)
	}
	// Nothing was reported: undefined ratios are null.
	p.kpis.totals = kpi.Totals{}
	var empty map[string]any
	p.get(t, viewer, "/v1/sites/plant-1/kpis", &empty)
	for _, ratio := range []string{
		"availability", "performance", "quality", "oee", "teep", "scrap", "throughput_per_hour", "mtbf_seconds", "mttr_seconds",
	} {
		if v, ok := empty[ratio]; !ok || v != nil {
			t.Errorf("%s: got %v, want null", ratio, v)
		}
	}
	for target, status := range map[string]int{
		"/v1/sites/plant-2/kpis":                                    404,
		"/v1/sites/plant-1/kpis?site=plant-2":                       400,
		"/v1/sites/plant-1/kpis?device=d":                           400, // gateway is missing
		"/v1/sites/plant-1/kpis?from=0&to=" + "2678400000001":       422,
		"/v1/sites/plant-1/kpis?from=5&to=5":                        400,
		"/v1/sites/plant-1/kpis?metric=m":                           400,
		"/v1/sites/plant-1/kpis?gateway=" + url.QueryEscape("a\nb"): 400,
	} {
		p.Do(t, viewer, "GET", target, "").Want(t, status)
	}
	for err, status := range map[error]int{telemetry.ErrUnavailable: 503, telemetry.ErrInvalid: 422, context.Canceled: 500} {
		p.kpis.err = err
		a := p.Do(t, viewer, "GET", "/v1/sites/plant-1/kpis", "").Want(t, status)
		if status == 503 && a.Headers["retry-after"] == "" {
			t.Errorf("got %+v, want Retry-After", a)
		}
	}
}
