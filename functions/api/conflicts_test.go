package main

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/insighthub/insighthub/lib/api/apitest"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/timescale"
	"github.com/insighthub/insighthub/lib/timescale/timescaletest"
)

// TestConflicts: a device whose source clock stands still.
func TestConflicts(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	p.site(t, "plant-1")
	at := hour()
	bad := event("pump", "flow", at, math.NaN())
	bad.Quality = telemetry.Bad
	p.send(t, "plant-1", "gw-1", event("press", "force", at, 0), event("pump", "flow", at+1, 5))
	p.send(t, "plant-1", "gw-1", event("press", "force", at, 1), event("press", "force", at, 2), bad)
	p.send(t, "plant-1", "gw-1", event("press", "force", at, 3), event("press", "force", at, 2), event("pump", "flow", at, 6))
	viewer := apitest.Person("eve", "plant-1=viewer")

	type conflict struct {
		Gateway, Device, Metric, Quality string
		Time                             int64
		Value                            *float64
		StoredValue                      *float64 `json:"stored_value"`
		StoredQuality                    string   `json:"stored_quality"`
	}
	show := func(c conflict) string {
		number := func(f *float64) string {
			if f == nil {
				return "null"
			}
			return fmt.Sprint(*f)
		}
		return fmt.Sprint(c.Gateway, " ", c.Device, " ", c.Metric, " ", c.Time-int64(at), " ", number(c.Value), " ", c.Quality, ", stored ",
			number(c.StoredValue), " ", c.StoredQuality)
	}
	read := func(query string) (all []string) {
		t.Helper()
		target := "/v1/sites/plant-1/conflicts?limit=2" + query
		for next := ""; ; {
			var page list[conflict]
			p.get(t, viewer, target+next, &page)
			for _, c := range page.Items {
				all = append(all, show(c))
			}
			if page.Next == "" {
				return all
			}
			next = "&cursor=" + page.Next
		}
	}
	const three, two, one = "gw-1 press force 0 3 good, stored 0 good", "gw-1 press force 0 2 good, stored 0 good",
		"gw-1 press force 0 1 good, stored 0 good"
	pump := "gw-1 pump flow 0 6 good, stored null bad"
	got := read("")
	slices.Sort(got)
	want := []string{one, two, three, pump}
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("conflicts (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{three, two, one}, read("&device=press")); diff != "" {
		t.Errorf("of a device (-want +got):\n%s", diff)
	}
	for _, none := range []string{"&device=press&metric=flow", "&gateway=gw-2", fmt.Sprint("&from=", at+1), fmt.Sprint("&to=", at)} {
		if got := read(none); len(got) > 0 {
			t.Errorf("%s: got %v, want none", none, got)
		}
	}

	type count struct {
		Gateway, Device string
		Conflicts       int
		Metrics         []string
	}
	var counts list[count]
	p.get(t, viewer, "/v1/sites/plant-1/conflicts/devices?limit=1", &counts)
	var second list[count]
	p.get(t, viewer, "/v1/sites/plant-1/conflicts/devices?limit=1&cursor="+counts.Next, &second)
	if diff := cmp.Diff([]count{
		{"gw-1", "press", 3, []string{"force"}}, {"gw-1", "pump", 1, []string{"flow"}},
	}, append(counts.Items, second.Items...)); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
	for target, status := range map[string]int{
		"/v1/sites/plant-2/conflicts":                                    404,
		"/v1/sites/plant-2/conflicts/devices":                            404,
		"/v1/sites/plant-1/conflicts?from=1795425713123":                 400,
		"/v1/sites/plant-1/conflicts?cursor=x":                           400,
		"/v1/sites/plant-1/conflicts?cursor=" + counts.Next:              400,
		"/v1/sites/plant-1/conflicts?device=%00":                         400,
		"/v1/sites/plant-1/conflicts/devices?since=1795425713":           400,
		"/v1/sites/plant-1/conflicts/devices?since=2199-01-01T00:00:00Z": 200,
	} {
		p.Do(t, viewer, "GET", target, "").Want(t, status)
	}
}

type publishedNames []telemetry.GatewayID

func (p *publishedNames) Publish(_ context.Context, gateway telemetry.GatewayID) error {
	*p = append(*p, gateway)
	return nil
}

// TestRemovesDevicesAndMetrics: a name makes room at once, and its readings are gone.
func TestRemovesDevicesAndMetrics(t *testing.T) {
	t.Parallel()
	pool, dsn := timescaletest.OpenAs(t, timescale.FunctionAPI)
	var names publishedNames
	p := &platform{Platform: apitest.New(t, pool, dsn, wire(pool, slog.New(slog.DiscardHandler), services{
		files: exportBucket(t), kpis: &fakeKPIs{}, ice: testICE(), names: &names,
	}))}
	p.site(t, "plant-1")
	at := hour()
	p.send(t, "plant-1", "gw-1", event("press", "force", at, 0), event("pump", "flow", at, 5), event("pump", "force", at, 6))
	viewer, operator, admin := apitest.Person("eve", "plant-1=viewer"), apitest.Person("bob", "plant-1=operator"),
		apitest.Person("ada", "plant-1=admin")
	const gateway = "/v1/sites/plant-1/gateways/gw-1"
	for i, c := range []struct{ target, device, metric string }{
		{gateway + "/devices/press", "press", "force"}, {gateway + "/metrics/flow", "pump", "flow"},
	} {
		p.Do(t, viewer, "DELETE", c.target, "").Want(t, 403)
		p.Do(t, operator, "DELETE", c.target, "").Want(t, 403)
		p.Do(t, apitest.Person("mal", "plant-2=admin"), "DELETE", c.target, "").Want(t, 404)
		p.Do(t, admin, "DELETE", c.target, "", "If-Match", `"7"`).Want(t, 412)
		if len(names) != i {
			t.Errorf("published %v before the deletion", names)
		}
		p.Do(t, admin, "DELETE", c.target, "", "If-Match", []string{`"1"`, "*"}[i]).Want(t, 204)
		p.Do(t, admin, "DELETE", c.target, "").Want(t, 404)
		p.Do(t, viewer, "GET", c.target, "").Want(t, 404)
		p.Do(t, viewer, "GET", readingsPath("plant-1", "gw-1", c.device, c.metric), "").Want(t, 404)
	}
	if !slices.Equal(names, []telemetry.GatewayID{"gw-1", "gw-1"}) {
		t.Errorf("published %v, want the gateway's names after each deletion", names)
	}
	var latest list[map[string]any]
	p.get(t, viewer, "/v1/sites/plant-1/latest?gateway=gw-1", &latest)
	if len(latest.Items) != 1 || latest.Items[0]["device"] != "pump" || latest.Items[0]["metric"] != "force" {
		t.Errorf("latest: got %v, want what is left", latest.Items)
	}
	if got := p.Trail(t); got["device.remove"] != 1 || got["metric.remove"] != 1 {
		t.Errorf("trail %v", got)
	}
}

// TestReadingsWithoutAValue: null, never NaN.
func TestReadingsWithoutAValue(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	p.site(t, "plant-1")
	at := hour()
	bad := event("press", "force", at+second, math.NaN())
	bad.Quality = telemetry.Bad
	p.send(t, "plant-1", "gw-1", event("press", "force", at, 1.5), bad)
	viewer := apitest.Person("eve", "plant-1=viewer")
	a := p.Do(t, viewer, "GET", readingsPath("plant-1", "gw-1", "press", "force", "from", at, "to", at+2*second, "quality", "all"), "").
		Want(t, 200)
	want := fmt.Sprintf(`{"resolution":"raw","unit":"","from":%d,"to":%d,"times":[%d,%d],"values":[1.5,null],"qualities":[0,2]}`,
		at, at+2*second, at, at+second) + "\n"
	if a.Body != want {
		t.Errorf("got  %s\nwant %s", a.Body, want)
	}
	a = p.Do(t, viewer, "GET", readingsPath("plant-1", "gw-1", "press", "force", "from", at+second, "to", at+2*second, "quality", "all",
		"resolution", "1s"), "").Want(t, 200)
	if !strings.HasSuffix(a.Body, `"times":[],"min":[],"max":[],"mean":[],"count":[]}`+"\n") {
		t.Errorf("buckets: got %s, want none", a.Body)
	}
}
