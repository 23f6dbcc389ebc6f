package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/insighthub/insighthub/lib/api/apitest"
	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/timescale/timescaletest"
)

// TestIfMatch: the forms of RFC 9110, and numbers at the borders of PostgreSQL's types, at
// every operation that has the header.
func TestIfMatch(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	p.machines(t)
	user := p.person(t, "bob", "plant-1", "viewer").Subject
	const gateway = "/v1/sites/plant-1/gateways/gw-1"
	rule := p.Do(t, apitest.Administrator(), "POST", "/v1/sites/plant-1/alarm-rules",
		`{"gateway":"gw-1","device":"device-1","metric":"metric-1","kind":"threshold","high":90}`).Want(t, 201).Member(t, "id")
	kid := p.register(t, "plant-1", "gw-9")
	p.Do(t, apitest.Administrator(), "PUT", gateway+"/devices/device-2/kpi-config", machine(`{}`), "If-Match", "*").Want(t, 200)
	for _, o := range []struct{ method, path, body string }{
		{"PUT", "/v1/sites/plant-1", `{"title":"x","time_zone":"UTC"}`},
		{"PUT", gateway, `{"title":"x"}`},
		{"DELETE", gateway, ""},
		{"PUT", gateway + "/devices/device-1", `{"title":"x","description":""}`},
		{"DELETE", gateway + "/devices/device-1", ""},
		{"PUT", gateway + "/metrics/metric-1", `{"title":"x","unit":""}`},
		{"DELETE", gateway + "/metrics/metric-1", ""},
		{"PUT", gateway + "/devices/device-2/kpi-config", machine(`{}`)},
		{"DELETE", gateway + "/devices/device-2/kpi-config", ""},
		{"PUT", "/v1/sites/plant-1/alarm-rules/" + rule, wholeRule(
			`{"gateway":"gw-1","device":"device-1","metric":"metric-1","kind":"threshold","high":90}`)},
		{"DELETE", "/v1/sites/plant-1/alarm-rules/" + rule, ""},
		{"DELETE", "/v1/sites/plant-1/gateways/gw-9/keys/" + kid, ""},
		{"PUT", "/v1/users/" + user, `{"disabled":false,"grants":{"plant-1":"viewer"}}`},
	} {
		for match, want := range map[string]int{
			`"2147483647"`: 412, `"2147483648"`: 412, `"9223372036854775807"`: 412, `"9223372036854775808"`: 412, `"0"`: 412, `"-1"`: 412,
			`"01"`: 412, `"1.5"`: 412, `""`: 412, `"x"`: 412, `W/"1"`: 412, `W/"1", "x"`: 412, `"` + strings.Repeat("9", 400) + `"`: 412,
			`"7", "8"`: 400, `1`: 400, `"1`: 400, `1"`: 400, `*, "1"`: 400, `'1'`: 400, `"7" "7"`: 400, `,`: 400,
		} {
			a := p.Do(t, apitest.Administrator(), o.method, o.path, o.body, "If-Match", match)
			if a.Status != want {
				t.Errorf("%s %s, If-Match %s: got %d %.200s, want %d", o.method, o.path, match, a.Status, a.Body, want)
			}
		}
	}
	for match, want := range map[string]int{`"1"`: 200, `"x", "2"`: 200, ` "3" , "3"`: 200, `W/"3", "4"`: 200} {
		a := p.Do(t, apitest.Administrator(), "PUT", "/v1/sites/plant-1", `{"title":"x","time_zone":"UTC"}`, "If-Match", match)
		if a.Status != want && a.Status != 412 { // in any order
			t.Errorf("If-Match %s: got %d %s", match, a.Status, a.Body)
		}
	}
}

// TestMissingSite: every path of a site that does not exist is the same 404, for an
// administrator of every site and for whoever may not see it.
func TestMissingSite(t *testing.T) {
	t.Parallel()
	target, world, _ := fuzzTarget(t)
	admin, stranger := apitest.Administrator(), apitest.Person("mal", "plant-2=admin")
	for _, o := range []struct{ method, path, body string }{
		{"GET", "", ""},
		{"PUT", "", `{"title":"","time_zone":"UTC"}`},
		{"GET", "/gateways", ""},
		{"POST", "/gateways", `{"name":"g","key":{}}`},
		{"GET", "/gateways/gw-1", ""},
		{"GET", "/latest?gateway=gw-1", ""},
		{"GET", "/readings?gateway=gw-1&device=d&metric=m", ""},
		{"GET", "/kpis", ""},
		{"GET", "/conflicts", ""},
		{"GET", "/conflicts/devices", ""},
		{"GET", "/anomalies", ""},
		{"GET", "/anomalies/1", ""},
		{"POST", "/anomalies/1/acknowledge", ""},
		{"GET", "/alarm-rules", ""},
		{"POST", "/alarm-rules", `{"gateway":"gw-1","device":"d","metric":"m","kind":"threshold","high":1}`},
		{"POST", "/client-reports", `{"kind":"error","message":"m"}`},
		{"GET", "/ice-servers", ""},
		{"POST", "/exports", `{"gateway":"gw-1","from":0,"to":1000000,"format":"csv"}`},
	} {
		missing := target.p.Do(t, admin, o.method, "/v1/sites/nowhere"+o.path, o.body, "If-Match", "*").Want(t, 404)
		for _, site := range []string{world.Site, "nowhere", "%25ff", strings.Repeat("x", 129)} {
			if got := target.p.Do(t, stranger, o.method, "/v1/sites/"+site+o.path, o.body, "If-Match", "*"); got.Status != 404 ||
				!strings.HasPrefix(site, "%") && got.Body != missing.Body {
				t.Errorf("%s %s: got %d %s, want %s", o.method, o.path, got.Status, got.Body, missing.Body)
			}
		}
	}
}

// TestGrantsOfMissingSites: a grant may be there before its site, and says so.
func TestGrantsOfMissingSites(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	p.site(t, "plant-1")
	var got struct {
		ID       string   `json:"id"`
		Warnings []string `json:"warnings"`
	}
	want := []string{"grants: there is no site plant-7"}
	body := fmt.Sprintf(`{"name":"bob","password":%q,"grants":{"plant-1":"viewer","plant-7":"admin","*":"viewer"}}`, apitest.Password)
	p.Do(t, apitest.Administrator(), "POST", "/v1/users", body).Want(t, 201).Decode(t, &got)
	if !slices.Equal(got.Warnings, want) {
		t.Errorf("got %q, want %q", got.Warnings, want)
	}
	got.Warnings = nil
	p.Do(t, apitest.Administrator(), "PUT", "/v1/users/"+got.ID, `{"disabled":false,"grants":{"plant-1":"viewer"}}`, "If-Match", "*").
		Want(t, 200).Decode(t, &got)
	if got.Warnings != nil {
		t.Errorf("got %q, want none", got.Warnings)
	}
}

// TestBounds: each list that a caller can make longer ends at its bound, with 409 and the
// number. The rows below the bound are made by the owner of the database.
func TestBounds(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	p.machines(t)
	p.addAnomalies(t, 1)
	admin := apitest.Administrator()
	jwk, _ := publicKey(t)
	for _, c := range []struct {
		fill, path, body string
		most             int
	}{
		{
			`INSERT INTO alarm_rule (site, gateway, device, metric, kind, high)
				SELECT 'plant-1', 'gw-1', 'd', n::text, 'threshold', 1 FROM generate_series(1, $1) n`,
			"/v1/sites/plant-1/alarm-rules", `{"gateway":"gw-1","device":"d","metric":"m","kind":"threshold","high":1}`,
			directory.MaxAlarmRules,
		},
		{
			"INSERT INTO anomaly_comment (anomaly_id, author, text) SELECT 1, 'a', n::text FROM generate_series(1, $1) n",
			"/v1/sites/plant-1/anomalies/1/comments", `{"text":"x"}`, directory.MaxComments,
		},
		{
			`INSERT INTO gateway_key (kid, gateway_id, jwk) SELECT n::text, (SELECT id FROM gateway WHERE name = 'gw-1'), '{}'
				FROM generate_series(1, $1 - 1) n`,
			"/v1/sites/plant-1/gateways/gw-1/keys", `{"key":` + jwk + `}`, directory.MaxValidKeys,
		},
		{
			"INSERT INTO gateway (name, site, site_since) SELECT 'gw-x-' || n, 'plant-1', now() FROM generate_series(1, $1 - 1) n",
			"/v1/sites/plant-1/gateways", `{"name":"one-more","key":` + jwk + `}`, directory.MaxGateways,
		},
		{
			"INSERT INTO site (name) SELECT 's-' || n FROM generate_series(1, $1 - 1) n",
			"/v1/sites", `{"name":"one-more"}`, directory.MaxSites,
		},
		{
			"INSERT INTO account (name, password) SELECT 'a-' || n, 'x' FROM generate_series(1, $1) n",
			"/v1/users", fmt.Sprintf(`{"name":"one-more","password":%q}`, apitest.Password), directory.MaxAccounts,
		},
	} {
		timescaletest.Exec(t, p.DSN, c.fill, c.most)
		got := p.Do(t, admin, "POST", c.path, c.body)
		if got.Status != 409 || !strings.Contains(got.Body, fmt.Sprint(c.most)) {
			t.Errorf("%s: got %d %s, want 409 with %d", c.path, got.Status, got.Body, c.most)
		}
	}
	timescaletest.Exec(t, p.DSN, `INSERT INTO idempotency (subject, key, request) SELECT 'ada', 'k-' || n, sha256('')
		FROM generate_series(1, $1) n`, directory.MaxIdempotencyKeys)
	p.Do(t, admin, "POST", "/v1/sites/plant-1/anomalies/1/comments", `{"text":"x"}`, "Idempotency-Key", "k").Want(t, 409)
	// Of reports the newest remain.
	timescaletest.Exec(t, p.DSN, `INSERT INTO client_report (subject, site, kind, message) SELECT 'a', 'plant-1', 'error', 'm'
		FROM generate_series(1, $1) n`, directory.MaxClientReports)
	p.Do(t, admin, "POST", "/v1/sites/plant-1/client-reports", `{"kind":"error","message":"m"}`).Want(t, 202)
	if got := timescaletest.Value(t, p.DSN, "SELECT count(*)::text FROM client_report"); got != fmt.Sprint(directory.MaxClientReports) {
		t.Errorf("got %s reports, want %d", got, directory.MaxClientReports)
	}
}

// TestRulesThatCannotMatch: a rule for what the site does not have is rejected, and one
// for what has not reported says so.
func TestRulesThatCannotMatch(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	p.machines(t)
	p.register(t, "plant-1", "gw-gone")
	p.site(t, "plant-2")
	p.register(t, "plant-2", "gw-2")
	admin := apitest.Administrator()
	p.Do(t, admin, "DELETE", "/v1/sites/plant-1/gateways/gw-gone", "", "If-Match", "*").Want(t, 200)
	rule := func(gateway, device, metric, more string) string {
		return fmt.Sprintf(`{"gateway":%q,"device":%q,"metric":%q,%s}`, gateway, device, metric, more)
	}
	const all, high = "/v1/sites/plant-1/alarm-rules", `"kind":"threshold","high":90`
	for _, body := range []string{
		rule("nowhere", "device-1", "metric-1", high), rule("gw-2", "device-1", "metric-1", high), rule("*", "device-1", "metric-1", high),
		rule("gw-gone", "device-1", "metric-1", high), rule("gw-gone", "device-1", "metric-1", `"kind":"no_data","silence_seconds":9`),
		rule("gw-1", "device-1", "metric-1", `"kind":"threshold","high":1.7976931348623157e308`),
		rule("gw-1", "device-1", "metric-1", `"kind":"threshold","low":-1e301`),
		rule("gw-1", "device-1", "metric-1", `"kind":"threshold","high":1,"hysteresis":1e308`),
		rule("gw-1", "device-1", "metric-1", `"kind":"rate","per_second":1e308`),
	} {
		p.Do(t, admin, "POST", all, body).Want(t, 422)
	}
	for body, want := range map[string][]string{
		rule("gw-1", "device-1", "metric-1", high): nil,
		rule("gw-1", "device-9", "metric-1", high): {"device: the gateway has not reported it: the rule matches nothing today"},
		rule("gw-1", "*", "*", high): {
			"device: the gateway has not reported it: the rule matches nothing today",
			"metric: the gateway has not reported it: the rule matches nothing today",
		},
	} {
		var got struct {
			Warnings []string `json:"warnings"`
		}
		p.Do(t, admin, "POST", all, body).Want(t, 201).Decode(t, &got)
		if !slices.Equal(got.Warnings, want) {
			t.Errorf("%s: got %q, want %q", body, got.Warnings, want)
		}
	}
}
