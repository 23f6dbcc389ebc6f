package main

import (
	"context"
	"math"
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
	p.site(t, "plant-1")
	p.kpis.totals = kpi.Totals{
		Sums: map[kpi.Name]float64{
			kpi.CalendarSeconds: 3500, kpi.PlannedSeconds: 3000, kpi.BusySeconds: 2400, kpi.ProductionSeconds: 1800,
			kpi.IdleSeconds: 240, kpi.SetupSeconds: 120, kpi.DownSeconds: 240, kpi.UnknownSeconds: 600, kpi.Failures: 2,
			kpi.Produced: 675, kpi.Good: 600, kpi.IdealSeconds: 1350, kpi.PerformanceProductionSeconds: 1800,
			kpi.QualityProduced: 675, kpi.QualityGood: 600, kpi.QualityIdealSeconds: 1350, kpi.QualityGoodIdealSeconds: 1200,
			kpi.OEEGoodIdealSeconds: 1200, kpi.OEEBusySeconds: 2400,
		},
		Machines: map[kpi.Name]int64{
			kpi.CalendarSeconds: 1, kpi.BusySeconds: 1, kpi.PerformanceProductionSeconds: 1, kpi.QualityProduced: 1, kpi.OEEBusySeconds: 1,
		},
		Downtime: map[string]float64{"fault": 180, "": 60}, Windows: 700,
	}
	const want = `{"site":"plant-1","gateway":"gw-1","device":"press \"1\"","from":0,"to":3600000000,"windows":700,"machines":1,` +
		`"machines_in":{"availability":1,"performance":1,"quality":1,"oee":1},"flags":[],` +
		`"availability":0.75,"performance":0.75,"quality":0.8888888888888888,"oee":0.5,"teep":0.3333333333333333,` +
		`"scrap":0.1111111111111111,"throughput_per_hour":675,"mtbf_seconds":900,"mttr_seconds":120,` +
		`"clock_seconds":3600,"calendar_seconds":3600,"oee_calendar_seconds":3600,"unreported_seconds":100,` +
		`"planned_seconds":3000,"busy_seconds":2400,"production_seconds":1800,"idle_seconds":240,` +
		`"setup_seconds":120,"down_seconds":240,"unknown_seconds":600,"failures":2,"produced":675,"good":600,` +
		`"ideal_seconds":1350,"performance_production_seconds":1800,"quality_produced":675,"quality_good":600,` +
		`"quality_ideal_seconds":1350,"quality_good_ideal_seconds":1200,"oee_good_ideal_seconds":1200,"oee_busy_seconds":2400,` +
		`"downtime":[{"reason":"fault","seconds":180},{"reason":"","seconds":60}]}` + "\n"
	viewer := apitest.Person("eve", "plant-1=viewer")
	a := p.Do(t, viewer, "GET", "/v1/sites/plant-1/kpis?gateway=gw-1&device=press+%221%22&from=0&to=1970-01-01T01:00:00Z", "").Want(t, 200)
	if diff := cmp.Diff(want, a.Body); diff != "" {
		t.Errorf("response differs (-want +got):\n%s", diff)
	}
	asked := readings.Selection{Site: "plant-1", Gateway: "gw-1", Device: `press "1"`, Range: readings.Range{To: 3_600_000_000}}
	if diff := cmp.Diff([]readings.Selection{asked}, p.kpis.asked); diff != "" {
		t.Errorf("selections differ (-want +got):\n%s", diff)
	}
	// Of several machines those without an ideal cycle are not in the quality of all.
	p.kpis.totals.Machines[kpi.QualityProduced], p.kpis.totals.Machines[kpi.QualityIdealSeconds] = 3, 2
	var group struct {
		In map[string]int64 `json:"machines_in"`
	}
	p.get(t, viewer, "/v1/sites/plant-1/kpis", &group)
	if diff := cmp.Diff(map[string]int64{"availability": 1, "performance": 1, "quality": 2, "oee": 1}, group.In); diff != "" {
		t.Errorf("machines of a group differ (-want +got):\n%s", diff)
	}
	// Nothing was reported: nothing is zero.
	p.kpis.totals = kpi.Totals{}
	var empty map[string]any
	p.get(t, viewer, "/v1/sites/plant-1/kpis", &empty)
	for member, v := range empty {
		switch member {
		case "site", "from", "to", "windows", "machines", "machines_in", "flags", "clock_seconds":
		default:
			if v != nil {
				t.Errorf("%s: got %v, want null", member, v)
			}
		}
	}
	if n := len(empty); n != 39 {
		t.Errorf("got %d members, want 39", n)
	}
	// The time to come is no calendar time.
	p.get(t, viewer, "/v1/sites/plant-1/kpis?from=1970-01-01T00:00:00Z&to=1970-01-02T00:00:00Z", &empty)
	if got := empty["clock_seconds"]; got != 86400. {
		t.Errorf("a day that has passed: got %v s", got)
	}
	p.get(t, viewer, "/v1/sites/plant-1/kpis?from="+time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)+"&to="+
		time.Now().Add(24*time.Hour).UTC().Format(time.RFC3339), &empty)
	if got := empty["clock_seconds"].(float64); got < 3599 || got > 10*3600 {
		t.Errorf("an hour until now, and a day to come: got %v s", got)
	}
	// More than can be is shown and flagged; a rounding error is not.
	p.kpis.totals = kpi.Totals{
		Sums: map[kpi.Name]float64{
			kpi.IdealSeconds: 12, kpi.PerformanceProductionSeconds: 10, kpi.ProductionSeconds: math.Nextafter(10, 11), kpi.BusySeconds: 10,
		},
	}
	p.get(t, viewer, "/v1/sites/plant-1/kpis", &empty)
	if diff := cmp.Diff([]any{"performance_above_1"}, empty["flags"]); diff != "" || empty["performance"] != 1.2 {
		t.Errorf("performance %v, flags differ (-want +got):\n%s", empty["performance"], diff)
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
