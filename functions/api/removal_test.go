package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/insighthub/insighthub/lib/api/apitest"
	"github.com/insighthub/insighthub/lib/timescale/timescaletest"
)

// TestDeletedDeviceTakesItsConfiguration: the device's own KPI configuration and its alarm rules
// go with it, so that it is no machine and no alarm any more; its neighbour has its own.
func TestDeletedDeviceTakesItsConfiguration(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	p.machines(t)
	operator, admin := apitest.Person("bob", "plant-1=operator"), apitest.Person("ada", "plant-1=admin")
	const devices, config = "/v1/sites/plant-1/gateways/gw-1/devices/", `{"state_metric":"mode","stale_after_seconds":30}`
	for _, device := range []string{"device-1", "device-2"} {
		p.Do(t, operator, "PUT", devices+device+"/kpi-config", machine(config), "If-Match", "*").Want(t, 200)
		for _, metric := range []string{"metric-1", "metric-2"} {
			p.Do(t, operator, "POST", "/v1/sites/plant-1/alarm-rules", `{"gateway":"gw-1","device":"`+device+
				`","metric":"`+metric+`","kind":"no_data","silence_seconds":10}`).Want(t, 201)
		}
	}
	p.Do(t, admin, "DELETE", devices+"device-1", "").Want(t, 204)
	p.Do(t, operator, "GET", devices+"device-1/kpi-config", "").Want(t, 404)
	p.Do(t, operator, "DELETE", devices+"device-1/kpi-config", "").Want(t, 404)
	p.Do(t, operator, "PUT", devices+"device-1/kpi-config", machine(config), "If-Match", "*").Want(t, 404)
	p.Do(t, operator, "GET", devices+"device-2/kpi-config", "").Want(t, 200)
	configs, err := p.Pool.KPIConfigs(t.Context())
	if err != nil || len(configs) != 2 || configs[0].Devices.Device != "device-2" {
		t.Errorf("the bridge reads %+v, %v, want the neighbour's and that for all", configs, err)
	}
	rules := func() (devices []string) {
		t.Helper()
		enabled, err := p.Pool.EnabledAlarmRules(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range enabled {
			devices = append(devices, string(r.Device)+"/"+string(r.Metric))
		}
		return devices
	}
	if got := rules(); len(got) != 2 || !strings.HasPrefix(got[0], "device-2/") || !strings.HasPrefix(got[1], "device-2/") {
		t.Errorf("the detector reads the rules of %v, want the neighbour's two", got)
	}
	var detail struct {
		KPIConfig struct {
			State string  `json:"state_metric"`
			Stale float64 `json:"stale_after_seconds"`
		} `json:"kpi_config"`
		AlarmRules []string `json:"alarm_rules"`
	}
	text := timescaletest.Value(t, p.DSN, "SELECT detail FROM "+timescaletest.Trail+" WHERE action = 'device.remove'")
	if err := json.Unmarshal([]byte(text), &detail); err != nil || detail.KPIConfig.State != "mode" || detail.KPIConfig.Stale != 30 ||
		len(detail.AlarmRules) != 2 {
		t.Errorf("the trail says %s, %v; want the configuration and two rules", text, err)
	}
	p.Do(t, admin, "DELETE", "/v1/sites/plant-1/gateways/gw-1/metrics/metric-1", "").Want(t, 204)
	if got := rules(); len(got) != 1 || got[0] != "device-2/metric-2" {
		t.Errorf("after the deletion of metric-1: got the rules of %v", got)
	}
}

// TestKPIConfigWithoutADevice: a row whose device was deleted before its configuration went
// with it, or that was written before the first event, can be read, changed and removed.
func TestKPIConfigWithoutADevice(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	p.machines(t)
	timescaletest.Exec(t, p.DSN, `INSERT INTO device_kpi (gateway_pattern, device_pattern, exact, priority, state_metric)
		VALUES ('gw-1', 'gone', true, 1000, 'mode')`)
	const path = "/gateways/gw-1/devices/gone/kpi-config"
	operator, other := apitest.Person("bob", "plant-1=operator"), apitest.Person("mal", "plant-2=operator")
	for _, method := range []string{"GET", "DELETE"} {
		p.Do(t, other, method, "/v1/sites/plant-2"+path, "").Want(t, 404)
	}
	p.Do(t, other, "PUT", "/v1/sites/plant-2"+path, machine(`{}`), "If-Match", "*").Want(t, 404)
	var got struct {
		StateMetric string `json:"state_metric"`
		Inherited   bool   `json:"inherited"`
	}
	a := p.Do(t, operator, "GET", "/v1/sites/plant-1"+path, "").Want(t, 200)
	if a.Decode(t, &got); got.StateMetric != "mode" || got.Inherited || a.Headers["etag"] != `"1"` {
		t.Errorf("got %+v", a)
	}
	p.Do(t, operator, "PUT", "/v1/sites/plant-1"+path, machine(`{"state_metric":"state"}`), "If-Match", `"1"`).Want(t, 200)
	p.Do(t, operator, "DELETE", "/v1/sites/plant-1"+path, "").Want(t, 204)
	for _, method := range []string{"GET", "DELETE"} {
		p.Do(t, operator, method, "/v1/sites/plant-1"+path, "").Want(t, 404)
	}
	if trail := p.Trail(t); trail["kpi_config.set"] != 1 || trail["kpi_config.remove"] != 1 {
		t.Errorf("trail %v", trail)
	}
}
