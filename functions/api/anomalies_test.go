package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/insighthub/insighthub/lib/api/apitest"
	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/timescale/timescaletest"
)

type anomaly struct {
	ID             string   `json:"id"`
	Device         string   `json:"device"`
	Metric         string   `json:"metric"`
	AcknowledgedBy string   `json:"acknowledged_by"`
	AcknowledgedAt *string  `json:"acknowledged_at"`
	Active         bool     `json:"active"`
	EndedAt        *string  `json:"ended_at"`
	Reason         string   `json:"end_reason"`
	Duration       *float64 `json:"duration_seconds"`
	Late           bool     `json:"late"`
	Lag            float64  `json:"lag_seconds"`
	Comments       []struct {
		Author string `json:"author"`
		Text   string `json:"text"`
	} `json:"comments"`
}

// addAnomalies stores n anomalies, one second apart.
func (p *platform) addAnomalies(t *testing.T, n int) {
	t.Helper()
	value := 99.5
	var all []directory.Anomaly
	for i := range n {
		all = append(all, directory.Anomaly{
			Gateway: "gw-1", Device: "device-1", Metric: "metric-1", Time: telemetry.Micros(1_700_000_000_000_000 + 1_000_000*i),
			Kind: directory.ByScore, Score: 0.9, Value: &value, Severity: directory.Warning, Message: "unusual",
		})
	}
	for range 2 { // finding them twice stores them once
		if _, unknown, err := p.Owner.AddAnomalies(t.Context(), all); err != nil || unknown != 0 {
			t.Fatal(unknown, err)
		}
	}
}

func TestAnomalies(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	p.machines(t)
	p.addAnomalies(t, 5)
	viewer, operator := apitest.Person("eve", "plant-1=viewer"), apitest.Person("bob", "plant-1=operator")
	const all = "/v1/sites/plant-1/anomalies"
	var ids []string
	for target := all + "?limit=2"; target != ""; {
		var page list[anomaly]
		p.get(t, viewer, target, &page)
		for _, a := range page.Items {
			ids = append(ids, a.ID)
		}
		if target = ""; page.Next != "" {
			target = all + "?limit=2&cursor=" + page.Next
		}
	}
	if got := strings.Join(ids, " "); got != "5 4 3 2 1" {
		t.Errorf("got %s, want 5 4 3 2 1", got)
	}
	one := all + "/3"
	p.Do(t, viewer, "POST", one+"/acknowledge", "").Want(t, 403)
	p.Do(t, operator, "POST", one+"/acknowledge", "").Want(t, 200)
	p.Do(t, apitest.Person("second", "plant-1=operator"), "POST", one+"/acknowledge", "").Want(t, 200)
	p.Do(t, operator, "POST", one+"/comments", `{"text":"Lager getauscht <script>alert(1)</script>"}`).Want(t, 201)
	p.Do(t, operator, "POST", one+"/comments", `{"text":""}`).Want(t, 422)
	var a anomaly
	p.get(t, viewer, one, &a)
	if a.AcknowledgedBy != "bob" || len(a.Comments) != 1 || a.Comments[0].Author != "bob" {
		t.Errorf("got %+v", a)
	}
	var open list[anomaly]
	p.get(t, viewer, all+"?state=open&from=2023-11-14T22:13:21Z", &open)
	if len(open.Items) != 3 { // 1 is before, 3 is acknowledged
		t.Errorf("got %+v", open)
	}
	for _, bad := range []string{"kind=x", "state=closed", "from=yesterday", "cursor=x", "gateway=a&gateway=b", "device=%00"} {
		p.Do(t, viewer, "GET", all+"?"+bad, "").Want(t, 400)
	}
	for _, sql := range []string{"gateway", "device", "metric"} {
		var none list[anomaly]
		p.get(t, viewer, all+"?"+sql+"=x'%20OR%20'1'='1", &none)
		if len(none.Items) != 0 {
			t.Errorf("%s: got %+v", sql, none)
		}
	}
	if got := p.Trail(t); got["anomaly.acknowledge"] != 1 || got["anomaly.comment"] != 1 {
		t.Errorf("trail %v", got)
	}
}

// TestActiveAnomalies ends one of three anomalies, of which one was late.
func TestActiveAnomalies(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	p.machines(t)
	p.addAnomalies(t, 2)
	ended := directory.Anomaly{
		Gateway: "gw-1", Device: "device-1", Metric: "metric-1", Time: 1_700_000_000_000_000, Kind: directory.ByScore,
		EndedAt: 1_700_000_002_500_000, EndReason: directory.EndCleared, Severity: directory.Warning,
	}
	late := ended
	late.Kind, late.Time, late.EndedAt, late.EndReason = directory.ByRate, 1_699_999_000_000_000, 1_699_999_001_000_000, directory.EndPast
	late.Late, late.Lag = true, 1000*time.Second
	if _, _, err := p.Owner.AddAnomalies(t.Context(), []directory.Anomaly{late}); err != nil {
		t.Fatal(err)
	}
	if err := p.Owner.EndAnomalies(t.Context(), []directory.Anomaly{ended}); err != nil {
		t.Fatal(err)
	}
	viewer := apitest.Person("eve", "plant-1=viewer")
	const all = "/v1/sites/plant-1/anomalies"
	for filter, want := range map[string]string{
		"":                        "2 true, 1 2023-11-14T22:13:22.5Z cleared 2.5 false, 5 2023-11-14T21:56:41Z past 1 true 1000",
		"?active=true":            "2 true",
		"?active=false":           "1 2023-11-14T22:13:22.5Z cleared 2.5 false, 5 2023-11-14T21:56:41Z past 1 true 1000",
		"?active=true&state=open": "2 true",
	} {
		var page list[anomaly]
		p.get(t, viewer, all+filter, &page)
		var got []string
		for _, a := range page.Items {
			text := a.ID + " true"
			if !a.Active {
				text = fmt.Sprint(a.ID, " ", *a.EndedAt, " ", a.Reason, " ", *a.Duration, " ", a.Late)
			}
			if a.Late {
				text += fmt.Sprint(" ", a.Lag)
			}
			got = append(got, text)
		}
		if strings.Join(got, ", ") != want {
			t.Errorf("%s: got %v, want %s", filter, got, want)
		}
	}
	p.Do(t, viewer, "GET", all+"?active=yes", "").Want(t, 400)
	p.Do(t, viewer, "GET", all+"?active=1", "").Want(t, 400)
}

// TestAnomaliesOfOthers checks that anomalies of another site are not found by path, by
// filter or by number.
func TestAnomaliesOfOthers(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	p.machines(t)
	p.addAnomalies(t, 1)
	p.site(t, "plant-2")
	mal := apitest.Person("mal", "plant-2=admin")
	p.Do(t, mal, "GET", "/v1/sites/plant-1/anomalies", "").Want(t, 404)
	p.Do(t, mal, "GET", "/v1/sites/plant-2/anomalies/1", "").Want(t, 404)
	p.Do(t, mal, "POST", "/v1/sites/plant-2/anomalies/1/acknowledge", "").Want(t, 404)
	p.Do(t, mal, "POST", "/v1/sites/plant-2/anomalies/1/comments", `{"text":"x"}`).Want(t, 404)
	var none list[anomaly]
	p.get(t, mal, "/v1/sites/plant-2/anomalies?gateway=gw-1", &none)
	if len(none.Items) != 0 {
		t.Errorf("got %+v", none)
	}
}

func TestAlarmRules(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	p.site(t, "plant-1")
	p.site(t, "plant-2")
	operator := apitest.Person("bob", "plant-1=operator")
	timescaletest.Exec(t, p.DSN, "INSERT INTO gateway (name, site, site_since) VALUES ('gw-1', 'plant-1', now())")
	const all = "/v1/sites/plant-1/alarm-rules"
	rule := func(more string) string {
		return `{"gateway":"gw-1","device":"press-1","metric":"temperature",` + more + `}`
	}
	var created struct {
		ID      string   `json:"id"`
		High    *float64 `json:"high"`
		Enabled bool     `json:"enabled"`
	}
	threshold := rule(`"kind":"threshold","high":90,"hysteresis":2,"severity":"critical"`)
	p.Do(t, operator, "POST", all, threshold).Want(t, 201).Decode(t, &created)
	if len(created.ID) != 36 || created.High == nil || *created.High != 90 || !created.Enabled {
		t.Fatalf("got %+v", created)
	}
	var rate, silence struct {
		Interval  float64 `json:"min_interval_seconds"`
		IgnoreBad bool    `json:"ignore_bad"`
	}
	p.Do(t, operator, "POST", all, rule(`"kind":"rate","per_second":5`)).Want(t, 201).Decode(t, &rate)
	p.Do(t, operator, "POST", all, rule(`"kind":"no_data","silence_seconds":60,"ignore_bad":true`)).Want(t, 201).Decode(t, &silence)
	if rate.Interval != 1 || rate.IgnoreBad || !silence.IgnoreBad || silence.Interval != 0 {
		t.Errorf("got %+v and %+v, want an interval of 1 s, and ignore_bad", rate, silence)
	}
	p.Do(t, operator, "POST", all, rule(`"kind":"no_data","silence_seconds":1e-9`)).Want(t, 422) // it would be stored as 0
	enabled, err := p.Pool.EnabledAlarmRules(t.Context())
	if err != nil || len(enabled) != 3 {
		t.Fatal(enabled, err)
	}
	one := all + "/" + created.ID
	p.Do(t, operator, "PUT", one, wholeRule(rule(`"kind":"threshold","low":1,"enabled":false`)), "If-Match", `"2"`).Want(t, 412)
	p.Do(t, operator, "PUT", one, wholeRule(rule(`"kind":"threshold","low":1,"enabled":false`)), "If-Match", `"1"`).Want(t, 200)
	for _, bad := range []string{
		`"kind":"threshold"`, `"kind":"threshold","low":2,"high":1`, `"kind":"rate"`, `"kind":"rate","per_second":-1`, `"kind":"no_data"`,
		`"kind":"magic"`, `"kind":"no_data","silence_seconds":60,"min_interval_seconds":1`,
		`"kind":"rate","per_second":1,"ignore_bad":true`,
		`"kind":"rate","per_second":1,"min_interval_seconds":1e-9`, `"kind":"rate","per_second":1,"min_interval_seconds":-1`,
		`"kind":"rate","per_second":1,"min_interval_seconds":86401`, `"kind":"rate","per_second":1,"low":1`,
		`"kind":"threshold","low":1,"severity":"x"`, `"kind":"threshold","low":1,"hysteresis":-1`,
		`"kind":"threshold","low":10,"high":12,"hysteresis":5`, `"kind":"threshold","low":10,"high":12,"hysteresis":1`,
	} {
		p.Do(t, operator, "POST", all, rule(bad)).Want(t, 422)
	}
	p.Do(t, operator, "POST", all, rule(`"kind":"rate","per_second":1,"site":"plant-2"`)).Want(t, 400)
	p.Do(t, operator, "POST", all, rule(`"kind":"rate","per_second":1e999`)).Want(t, 400)
	rounded := p.Do(t, operator, "POST", all, rule(`"kind":"threshold","high":9007199254740993`)).Want(t, 400)
	if !strings.Contains(rounded.Body, `member \"high\": a number cannot be held exactly`) {
		t.Errorf("got %s", rounded.Body)
	}
	var page list[struct{}]
	p.get(t, operator, all+"?limit=2", &page)
	p.get(t, operator, all+"?limit=2&cursor="+page.Next, &page)
	if len(page.Items) != 1 {
		t.Errorf("got %+v", page)
	}
	mal := apitest.Person("mal", "plant-2=admin")
	for _, site := range []string{"plant-1", "plant-2"} {
		other := "/v1/sites/" + site + "/alarm-rules/" + created.ID
		p.Do(t, mal, "GET", other, "").Want(t, 404)
		p.Do(t, mal, "PUT", other, wholeRule(rule(`"kind":"rate","per_second":1,"min_interval_seconds":1`)), "If-Match", "*").Want(t, 404)
		p.Do(t, mal, "DELETE", other, "").Want(t, 404)
	}
	p.Do(t, operator, "DELETE", one, "").Want(t, 204)
	p.Do(t, operator, "GET", one, "").Want(t, 404)
	if got := p.Trail(t); got["alarm_rule.create"] != 3 || got["alarm_rule.change"] != 1 || got["alarm_rule.remove"] != 1 {
		t.Errorf("trail %v", got)
	}
}

func TestConsole(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	p.site(t, "plant-1")
	viewer := apitest.Person("eve", "plant-1=viewer")
	const reports = "/v1/sites/plant-1/client-reports"
	p.Do(t, viewer, "POST", reports, `{"kind":"error","message":"it broke","detail":{"line":7}}`).Want(t, 202)
	for _, bad := range []string{
		`{"kind":"x","message":"m"}`, `{"kind":"error","message":""}`, `{"kind":"error","message":"a\nb"}`,
		`{"kind":"error","message":"m","detail":[1]}`,
		fmt.Sprintf(`{"kind":"error","message":"m","detail":{"x":%q}}`, strings.Repeat("a", 20_000)),
	} {
		p.Do(t, viewer, "POST", reports, bad).Want(t, 422)
	}
	p.Do(t, viewer, "POST", "/v1/sites/plant-2/client-reports", `{"kind":"error","message":"m"}`).Want(t, 404)
	var ice struct {
		Servers []struct {
			URLs []string `json:"urls"`
		} `json:"ice_servers"`
	}
	p.get(t, viewer, "/v1/sites/plant-1/ice-servers", &ice)
	if ice.Servers == nil {
		t.Error("ice_servers: got null, want a list")
	}
}
