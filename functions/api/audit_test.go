package main

import (
	"testing"

	"github.com/insighthub/insighthub/lib/api/apitest"
)

type auditEntry struct {
	Seq    int64  `json:"seq"`
	Actor  string `json:"actor"`
	Action string `json:"action"`
	Site   string `json:"site"`
}

func TestAudit(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	p.site(t, "plant-1")
	p.site(t, "plant-2")
	p.register(t, "plant-1", "gw-1")
	var page list[auditEntry]
	p.get(t, apitest.Administrator(), "/v1/audit?limit=2", &page)
	if len(page.Items) != 2 || page.Items[1] != (auditEntry{2, "ada", "site.create", "plant-2"}) || page.Next == "" {
		t.Errorf("got %+v", page)
	}
	var rest list[auditEntry]
	p.get(t, apitest.Administrator(), "/v1/audit?cursor="+page.Next, &rest)
	if len(rest.Items) != 1 || rest.Items[0].Action != "gateway.register" {
		t.Errorf("got %+v", rest)
	}
	var own list[auditEntry]
	p.get(t, apitest.Person("eve", "plant-1=admin", "plant-2=viewer"), "/v1/audit", &own)
	if len(own.Items) != 2 || own.Items[0].Site != "plant-1" || own.Items[1].Site != "plant-1" {
		t.Errorf("got %+v", own)
	}
	p.Do(t, apitest.Person("bob", "plant-1=operator"), "GET", "/v1/audit", "").Want(t, 403)
	p.Do(t, apitest.Administrator(), "GET", "/v1/audit?after=1%3BDROP", "").Want(t, 400)
	p.Do(t, apitest.Administrator(), "GET", "/v1/audit?format=ndjson&after=2", "").Want(t, 200)
}

func TestKPIConfig(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	p.machines(t)
	const path = "/v1/sites/plant-1/gateways/gw-1/devices/device-1/kpi-config"
	operator, viewer := apitest.Person("bob", "plant-1=operator"), apitest.Person("eve", "plant-1=viewer")
	var got struct {
		StateMetric string  `json:"state_metric"`
		IdealCycle  float64 `json:"ideal_cycle_seconds"`
		Inherited   bool    `json:"inherited"`
	}
	p.get(t, viewer, path, &got)
	if !got.Inherited || got.StateMetric != "state" {
		t.Errorf("got %+v", got)
	}
	const own = `{"state_metric":"mode","count_metric":"","good_metric":"",
		"states":{"7":{"element":"down","reason":"jam"},"1":{"element":"production"}},
		"ideal_cycle_seconds":1.5,"stale_after_seconds":30,"planned":{"mon":[["06:00","14:00"],["22:00","24:00"]]}}`
	p.Do(t, viewer, "PUT", path, own, "If-Match", "*").Want(t, 403)
	p.Do(t, operator, "PUT", path, own, "If-Match", `"1"`).Want(t, 412) // it has only an inherited one
	p.Do(t, operator, "PUT", path, own, "If-Match", `*`).Want(t, 200)
	p.Do(t, operator, "PUT", path, own, "If-Match", `"1"`).Want(t, 200)
	a := p.Do(t, viewer, "GET", path, "").Want(t, 200)
	if a.Decode(t, &got); got.Inherited || got.StateMetric != "mode" || got.IdealCycle != 1.5 || a.Headers["etag"] != `"2"` {
		t.Errorf("got %+v", a)
	}
	// The bridge reads the same rows.
	configs, err := p.Pool.KPIConfigs(t.Context())
	if err != nil || configs[0].DevicePattern != "device-1" || configs[0].States[7].Reason != "jam" || len(configs[0].Planned) != 2 {
		t.Errorf("got %+v, %v", configs, err)
	}
	for _, bad := range []string{
		`{}`,
		`{"stale_after_seconds":1,"states":{"x":{"element":"production"}}}`,
		`{"stale_after_seconds":1,"states":{"1":{"element":"magic"}}}`,
		`{"stale_after_seconds":1,"planned":{"mon":[["14:00","06:00"]]}}`,
		`{"stale_after_seconds":1,"planned":{"day":[]}}`,
		`{"stale_after_seconds":1,"ideal_cycle_seconds":-1}`,
	} {
		p.Do(t, operator, "PUT", path, bad, "If-Match", "*").Want(t, 422)
	}
	p.Do(t, operator, "DELETE", path, "").Want(t, 204)
	p.Do(t, operator, "DELETE", path, "").Want(t, 404)
	p.get(t, viewer, path, &got)
	if !got.Inherited {
		t.Errorf("got %+v", got)
	}
}
