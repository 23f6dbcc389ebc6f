package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/insighthub/insighthub/lib/api/apitest"
	lambdahttp "github.com/insighthub/insighthub/lib/lambda/http"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/timescale/timescaletest"
	"github.com/insighthub/insighthub/lib/trail"
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

// TestArchivedAudit: whoever asks for entries that are in the archive is told where they are, instead
// of getting a trail with a gap; and without a number the trail begins with what there is.
func TestArchivedAudit(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	old := telemetry.MicrosOf(time.Now().Add(-60 * 24 * time.Hour))
	for range 3 {
		entry := trail.Entry{Time: old, Action: "site.change", Site: "plant-1", Detail: "{}"}
		if err := p.Pool.AppendTrail(t.Context(), entry); err != nil {
			t.Fatal(err)
		}
	}
	p.site(t, "plant-1")
	entries, err := p.Pool.TrailAfter(t.Context(), 0, 10)
	if err != nil || len(entries) != 4 {
		t.Fatal(len(entries), err)
	}
	s := trail.Segment{First: 1, Last: 3, Hash: entries[2].Hash}
	timescaletest.Exec(t, p.DSN, "SELECT trail_archived(1, 3, $1, $2)", s.Hash[:], s.Key())
	for path, want := range map[string]int{
		"/v1/audit": 200, "/v1/audit?after=3": 200, "/v1/audit?after=99": 200,
		"/v1/audit?after=0": 410, "/v1/audit?format=ndjson&after=2": 410,
	} {
		for _, who := range []*lambdahttp.Caller{apitest.Administrator(), apitest.Person("eve", "plant-1=admin")} {
			got := p.Do(t, who, "GET", path, "")
			got.Want(t, want)
			detail := "Entries up to 3 are in the archive: the last of its objects is " + s.Key()
			if want == 410 && !strings.Contains(got.Body, detail) {
				t.Errorf("%s: got %s, want %q", path, got.Body, detail)
			}
		}
	}
	var page list[auditEntry]
	p.get(t, apitest.Administrator(), "/v1/audit", &page)
	if len(page.Items) != 1 || page.Items[0].Seq != 4 {
		t.Errorf("got %+v, want entry 4", page)
	}
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
	p.Do(t, viewer, "PUT", path, machine(own), "If-Match", "*").Want(t, 403)
	p.Do(t, operator, "PUT", path, machine(own), "If-Match", `"1"`).Want(t, 412) // it has only an inherited one
	p.Do(t, operator, "PUT", path, machine(own), "If-Match", `*`).Want(t, 200)
	p.Do(t, operator, "PUT", path, machine(own), "If-Match", `"1"`).Want(t, 200)
	a := p.Do(t, viewer, "GET", path, "").Want(t, 200)
	if a.Decode(t, &got); got.Inherited || got.StateMetric != "mode" || got.IdealCycle != 1.5 || a.Headers["etag"] != `"2"` {
		t.Errorf("got %+v", a)
	}
	// The bridge reads the same rows.
	configs, err := p.Pool.KPIConfigs(t.Context())
	if err != nil || configs[0].Devices.Device != "device-1" ||
		configs[0].Document.States["7"].Reason != "jam" || len(configs[0].Document.Planned["mon"]) != 2 {
		t.Errorf("got %+v, %v", configs, err)
	}
	for _, bad := range []string{
		`{"stale_after_seconds":0}`,
		`{"stale_after_seconds":1,"states":{"x":{"element":"production"}}}`,
		`{"stale_after_seconds":1,"states":{"1":{"element":"magic"}}}`,
		`{"stale_after_seconds":1,"planned":{"mon":[["14:00","06:00"]]}}`,
		`{"stale_after_seconds":1,"planned":{"day":[]}}`,
		`{"stale_after_seconds":1,"ideal_cycle_seconds":-1}`,
	} {
		p.Do(t, operator, "PUT", path, machine(bad), "If-Match", "*").Want(t, 422)
	}
	p.Do(t, operator, "DELETE", path, "").Want(t, 204)
	p.Do(t, operator, "DELETE", path, "").Want(t, 404)
	p.get(t, viewer, path, &got)
	if !got.Inherited {
		t.Errorf("got %+v", got)
	}
}

// TestKPIConfigIsUsedAsAccepted: what the engine cannot use is rejected with its member, and
// what it accepts is stored as it is.
func TestKPIConfigIsUsedAsAccepted(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	p.machines(t)
	const path = "/v1/sites/plant-1/gateways/gw-1/devices/device-1/kpi-config"
	operator := apitest.Person("bob", "plant-1=operator")
	for body, want := range map[string]string{
		`"state_metric":"s","planned":{"mon":[["06:00","14:00"],["13:00","22:00"]]}`: "planned.mon: 06:00–14:00 and 13:00–22:00 overlap",
		`"state_metric":"s","planned":{"mon":[["22:00","06:00"]]}`:                   "planned.mon: 22:00–06:00 ends before it starts",
		`"count_metric":"c","good_metric":"c"`:                                       "good_metric: is the same metric as count_metric",
		`"state_metric":"s","count_metric":"s"`:                                      "count_metric: is the same metric as state_metric",
		`"count_metric":"c","good_metric":"g","assume_good":true`:                    "assume_good: cannot be true with a good_metric",
		`"count_metric":"c","counter_modulus":65536.5`:                               "counter_modulus: must be a whole number",
		`"state_metric":"s","states":{"9007199254740993":{"element":"idle"}}`:        "states.9007199254740993: the code",
	} {
		response := p.Do(t, operator, "PUT", path, machine(`{`+body+`}`), "If-Match", "*").Want(t, 422)
		if !strings.Contains(response.Body, want) {
			t.Errorf("%s: got %s, want %q in it", body, response.Body, want)
		}
	}
	var got struct {
		Planned  map[string][][]string `json:"planned"`
		Modulus  float64               `json:"counter_modulus"`
		Good     bool                  `json:"assume_good"`
		Problems []string              `json:"problems"`
	}
	p.Do(t, operator, "PUT", path, machine(`{"count_metric":"c","assume_good":true,"counter_modulus":65536,"ideal_cycle_seconds":null,
		"stale_after_seconds":30,"planned":{"mon":[]}}`), "If-Match", "*").Want(t, 200).Decode(t, &got)
	const rounded = `{"count_metric":"c","counter_modulus":9007199254740993,"stale_after_seconds":30}`
	p.Do(t, operator, "PUT", path, rounded, "If-Match", "*").Want(t, 400)
	if shifts, ok := got.Planned["mon"]; !ok || len(shifts) > 0 || got.Modulus != 65536 || !got.Good || len(got.Problems) > 0 {
		t.Errorf("got %+v", got)
	}
}

// TestKPIConfigShowsProblems: a row that was written with SQL has problems; the response
// names them, with what is stored.
func TestKPIConfigShowsProblems(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	p.machines(t)
	const path = "/v1/sites/plant-1/gateways/gw-1/devices/device-1/kpi-config"
	timescaletest.Exec(t, p.DSN, `INSERT INTO device_kpi (gateway_pattern, device_pattern, state_metric, states, planned)
		VALUES ('gw-1', 'device-1', 'mode', '{"1": 7, "2": {"element": "asleep"}}', '{"mon": [["06:00","14:00"],["13:00","22:00"]]}')`)
	var got struct {
		States   map[string]any        `json:"states"`
		Planned  map[string][][]string `json:"planned"`
		Problems []string              `json:"problems"`
	}
	p.get(t, apitest.Person("eve", "plant-1=viewer"), path, &got)
	want := []string{
		"states.1: must be an object with an element, and a reason for down",
		"states.1: element must be production, idle, setup, down or not_planned",
		"states.2: element must be production, idle, setup, down or not_planned",
		"planned.mon: 06:00–14:00 and 13:00–22:00 overlap",
	}
	if !slices.Equal(got.Problems, want) || len(got.States) != 2 || len(got.Planned["mon"]) != 2 {
		t.Errorf("got %+v, want problems %q", got, want)
	}
	const corrected = `{"state_metric":"mode","stale_after_seconds":30}`
	p.Do(t, apitest.Person("bob", "plant-1=operator"), "PUT", path, machine(corrected), "If-Match", "*").Want(t, 200)
	p.get(t, apitest.Person("eve", "plant-1=viewer"), path, &got)
	if len(got.Problems) != 0 {
		t.Errorf("after the correction: got %q", got.Problems)
	}
}

// TestKPIConfigOfADeviceWithAStar: a device named device-* has a configuration of its own, and
// its neighbours have theirs.
func TestKPIConfigOfADeviceWithAStar(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	p.machines(t)
	timescaletest.Exec(t, p.DSN, "INSERT INTO device (gateway_id, name) SELECT id, 'device-*' FROM gateway")
	const devices = "/v1/sites/plant-1/gateways/gw-1/devices/"
	operator := apitest.Person("bob", "plant-1=operator")
	const own = `{"state_metric":"mode","stale_after_seconds":30}`
	p.Do(t, operator, "PUT", devices+"device-*/kpi-config", machine(own), "If-Match", "*").Want(t, 200)
	type config struct {
		StateMetric string `json:"state_metric"`
		Inherited   bool   `json:"inherited"`
	}
	for device, want := range map[string]config{"device-*": {"mode", false}, "device-1": {"state", true}} {
		var got config
		p.get(t, operator, devices+device+"/kpi-config", &got)
		if got != want {
			t.Errorf("%s: got %+v, want %+v", device, got, want)
		}
	}
	configs, err := p.Pool.KPIConfigs(t.Context())
	if err != nil || !configs[0].Devices.Exact || configs[0].Devices.Device != "device-*" {
		t.Errorf("got %+v, %v", configs, err)
	}
	p.Do(t, operator, "DELETE", devices+"device-*/kpi-config", "").Want(t, 204)
}

// TestKPIConfigSaysWhatHasNoEffect: members that are accepted and not used are in warnings.
func TestKPIConfigSaysWhatHasNoEffect(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	p.machines(t)
	const path = "/v1/sites/plant-1/gateways/gw-1/devices/device-1/kpi-config"
	for body, want := range map[string]string{
		`"states":{"1":{"element":"production"}}`:   "states: not used, there is no state_metric",
		`"state_metric":"s"`:                        "states: there are none, so the state is always unknown",
		`"good_metric":"g","ideal_cycle_seconds":5`: "ideal_cycle_seconds: not used, there is no count_metric",
		`"state_metric":"s","states":{"1":{"element":"production"}},"count_metric":"c","ideal_cycle_seconds":5`: "",
	} {
		var got struct {
			Warnings []string `json:"warnings"`
		}
		p.Do(t, apitest.Person("bob", "plant-1=operator"), "PUT", path, machine(`{`+body+`}`), "If-Match", "*").
			Want(t, 200).Decode(t, &got)
		if strings.Join(got.Warnings, ", ") != want || got.Warnings == nil {
			t.Errorf("%s: got %q, want %q", body, got.Warnings, want)
		}
	}
}

// TestProblemsAreLimited: a day of 2,000 shifts or 2,000 unknown days has a short response.
func TestProblemsAreLimited(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	p.machines(t)
	const path = "/v1/sites/plant-1/gateways/gw-1/devices/device-1/kpi-config"
	var shifts, days strings.Builder
	for i := range 2000 {
		shifts.WriteString(`,["06:00","07:00"]`)
		fmt.Fprintf(&days, `,"day %d":[]`, i)
	}
	for body, want := range map[string]string{
		`{"mon":[` + shifts.String()[1:] + `]}`: "planned.mon: must have at most 24 shifts",
		`{` + days.String()[1:] + `}`:           "and 1950 more",
	} {
		body = `{"state_metric":"s","stale_after_seconds":30,"planned":` + body + `}`
		a := p.Do(t, apitest.Person("bob", "plant-1=operator"), "PUT", path, machine(body), "If-Match", "*").Want(t, 422)
		if !strings.Contains(a.Body, want) || len(a.Body) > 10_000 {
			t.Errorf("got %d bytes, %.300s", len(a.Body), a.Body)
		}
	}
}
