package main

import (
	"testing"
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
	p.do(t, administrator(), "GET", "/v1/audit?limit=2", "").want(t, 200).into(t, &page)
	if len(page.Items) != 2 || page.Items[1] != (auditEntry{2, "ada", "site.create", "plant-2"}) || page.Next == "" {
		t.Errorf("got %+v", page)
	}
	var rest list[auditEntry]
	p.do(t, administrator(), "GET", "/v1/audit?cursor="+page.Next, "").want(t, 200).into(t, &rest)
	if len(rest.Items) != 1 || rest.Items[0].Action != "gateway.register" {
		t.Errorf("got %+v", rest)
	}
	var own list[auditEntry]
	p.do(t, person("eve", "plant-1=admin", "plant-2=viewer"), "GET", "/v1/audit", "").want(t, 200).into(t, &own)
	if len(own.Items) != 2 || own.Items[0].Site != "plant-1" || own.Items[1].Site != "plant-1" {
		t.Errorf("got %+v", own)
	}
	p.do(t, person("bob", "plant-1=operator"), "GET", "/v1/audit", "").want(t, 403)
	p.do(t, administrator(), "GET", "/v1/audit?after=1%3BDROP", "").want(t, 400)
	p.do(t, administrator(), "GET", "/v1/audit?format=ndjson&after=2", "").want(t, 200)
}

func TestKPIConfig(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	p.machines(t)
	const path = "/v1/sites/plant-1/gateways/gw-1/devices/device-1/kpi-config"
	operator, viewer := person("bob", "plant-1=operator"), person("eve", "plant-1=viewer")
	var got struct {
		StateMetric string  `json:"state_metric"`
		IdealCycle  float64 `json:"ideal_cycle_seconds"`
		Inherited   bool    `json:"inherited"`
	}
	p.do(t, viewer, "GET", path, "").want(t, 200).into(t, &got)
	if !got.Inherited || got.StateMetric != "state" {
		t.Errorf("got %+v", got)
	}
	const own = `{"state_metric":"mode","count_metric":"","good_metric":"","states":{"7":{"element":"down","reason":"jam"},"1":{"element":"production"}},
		"ideal_cycle_seconds":1.5,"stale_after_seconds":30,"planned":{"mon":[["06:00","14:00"],["22:00","24:00"]]}}`
	p.do(t, viewer, "PUT", path, own, "If-Match", "*").want(t, 403)
	p.do(t, operator, "PUT", path, own, "If-Match", `"1"`).want(t, 412) // none of its own yet
	p.do(t, operator, "PUT", path, own, "If-Match", `*`).want(t, 200)
	p.do(t, operator, "PUT", path, own, "If-Match", `"1"`).want(t, 200)
	a := p.do(t, viewer, "GET", path, "").want(t, 200)
	if a.into(t, &got); got.Inherited || got.StateMetric != "mode" || got.IdealCycle != 1.5 || a.Headers["etag"] != `"2"` {
		t.Errorf("got %+v", a)
	}
	// The bridge reads the same rows.
	configs, err := p.pool.KPIConfigs(t.Context())
	if err != nil || configs[0].DevicePattern != "device-1" || configs[0].States[7].Reason != "jam" || len(configs[0].Planned) != 2 {
		t.Errorf("got %+v, %v", configs, err)
	}
	for _, bad := range []string{
		`{}`, `{"stale_after_seconds":1,"states":{"x":{"element":"production"}}}`, `{"stale_after_seconds":1,"states":{"1":{"element":"magic"}}}`,
		`{"stale_after_seconds":1,"planned":{"mon":[["14:00","06:00"]]}}`, `{"stale_after_seconds":1,"planned":{"day":[]}}`, `{"stale_after_seconds":1,"ideal_cycle_seconds":-1}`,
	} {
		p.do(t, operator, "PUT", path, bad, "If-Match", "*").want(t, 422)
	}
	p.do(t, operator, "DELETE", path, "").want(t, 204)
	p.do(t, operator, "DELETE", path, "").want(t, 404)
	p.do(t, viewer, "GET", path, "").want(t, 200).into(t, &got)
	if !got.Inherited {
		t.Errorf("got %+v", got)
	}
}
