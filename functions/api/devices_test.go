package main

import (
	"testing"

	"github.com/insighthub/insighthub/lib/api/apitest"
	"github.com/insighthub/insighthub/lib/timescale/timescaletest"
)

// machines creates the gateway gw-1 of plant-1 with two devices and two metrics.
func (p *platform) machines(t *testing.T) {
	t.Helper()
	p.site(t, "plant-1")
	p.register(t, "plant-1", "gw-1")
	for _, table := range []string{"device", "metric"} {
		timescaletest.Exec(t, p.DSN, "INSERT INTO "+table+
			" (gateway_id, name) SELECT id, $2 || n FROM gateway, generate_series(1, 2) n WHERE name = $1", "gw-1", table+"-")
	}
}

func TestDevicesAndMetrics(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	p.machines(t)
	operator, viewer := apitest.Person("bob", "plant-1=operator"), apitest.Person("eve", "plant-1=viewer")
	for _, c := range []struct{ kind, change, want string }{
		{
			"device", `{"title":"Press","description":"Hall 2"}`,
			`{"site":"plant-1","gateway":"gw-1","name":"device-1","title":"Press","description":"Hall 2"}`,
		},
		{
			"metric", `{"title":"Temperature","unit":"Cel"}`,
			`{"site":"plant-1","gateway":"gw-1","name":"metric-1","title":"Temperature","unit":"Cel"}`,
		},
	} {
		list1 := "/v1/sites/plant-1/gateways/gw-1/" + c.kind + "s"
		one := list1 + "/" + c.kind + "-1"
		var page list[map[string]string]
		p.get(t, viewer, list1+"?limit=1", &page)
		if len(page.Items) != 1 || page.Items[0]["name"] != c.kind+"-1" {
			t.Errorf("got %+v", page)
		}
		p.get(t, viewer, list1+"?limit=1&cursor="+page.Next, &page)
		if len(page.Items) != 1 || page.Items[0]["name"] != c.kind+"-2" {
			t.Errorf("got %+v", page)
		}
		p.Do(t, viewer, "PUT", one, c.change, "If-Match", "*").Want(t, 403)
		p.Do(t, operator, "PUT", one, c.change, "If-Match", `"2"`).Want(t, 412)
		p.Do(t, operator, "PUT", one, c.change, "If-Match", `"1"`).Want(t, 200)
		if a := p.Do(t, viewer, "GET", one, "").Want(t, 200); a.Body != c.want+"\n" || a.Headers["etag"] != `"2"` {
			t.Errorf("got %+v", a)
		}
		p.Do(t, operator, "PUT", list1+"/none", c.change, "If-Match", "*").Want(t, 404)
		p.Do(t, operator, "PUT", one, `{"title":"\u0001"}`, "If-Match", "*").Want(t, 422)
		p.Do(t, operator, "PUT", one, `{"version":9}`, "If-Match", "*").Want(t, 400)
		p.Do(t, viewer, "GET", "/v1/sites/plant-1/gateways/none/"+c.kind+"s", "").Want(t, 404)
		p.Do(t, apitest.Person("mal", "plant-2=admin"), "GET", one, "").Want(t, 404)
		p.Do(t, apitest.Person("mal", "plant-2=admin"), "GET", "/v1/sites/plant-2/gateways/gw-1/"+c.kind+"s/"+c.kind+"-1", "").Want(t, 404)
	}
	if got := p.Trail(t); got["device.change"] != 1 || got["metric.change"] != 1 {
		t.Errorf("trail %v", got)
	}
}
