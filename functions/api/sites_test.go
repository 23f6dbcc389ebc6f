package main

import (
	"fmt"
	"strings"
	"testing"
)

type site struct {
	Name     string `json:"name"`
	Title    string `json:"title"`
	TimeZone string `json:"time_zone"`
}

type list[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next_cursor"`
}

func TestSites(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	a := p.do(t, administrator(), "POST", "/v1/sites", `{"name":"plant-1","title":"Linz","time_zone":"Europe/Vienna"}`).want(t, 201)
	if a.Headers["etag"] != `"1"` {
		t.Errorf("ETag %s", a.Headers["etag"])
	}
	p.do(t, administrator(), "POST", "/v1/sites", `{"name":"plant-1"}`).want(t, 409)
	change := `{"title":"Linz 2"}`
	p.do(t, administrator(), "PUT", "/v1/sites/plant-1", change).want(t, 428)
	p.do(t, administrator(), "PUT", "/v1/sites/plant-1", change, "If-Match", `"7"`).want(t, 412)
	p.do(t, administrator(), "PUT", "/v1/sites/plant-1", change, "If-Match", "x").want(t, 412)
	a = p.do(t, administrator(), "PUT", "/v1/sites/plant-1", change, "If-Match", `"1"`).want(t, 200)
	var s site
	if a.into(t, &s); a.Headers["etag"] != `"2"` || s != (site{"plant-1", "Linz 2", "UTC"}) {
		t.Errorf("got %+v", a)
	}
	p.do(t, administrator(), "PUT", "/v1/sites/none", change, "If-Match", "*").want(t, 404)
	if got := p.checkTrail(t); got["site.create"] != 1 || got["site.change"] != 1 || len(got) != 2 {
		t.Errorf("trail %v", got)
	}
}

// TestMethods: a path that knows other methods says which.
func TestMethods(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	for path, allow := range map[string]string{
		"/v1/sites": "GET, HEAD, POST", "/v1/sites/none": "GET, HEAD, PUT", "/v1/users/none/password": "PUT", "/openapi.yaml": "GET, HEAD",
	} {
		a := p.do(t, administrator(), "DELETE", path, "").want(t, 405)
		if a.Headers["allow"] != allow || a.Headers["content-type"] != "application/problem+json" {
			t.Errorf("%s: got %v", path, a.Headers)
		}
	}
	for _, path := range []string{"/", "/v1", "/v1/sites/", "/v1/other"} {
		p.do(t, administrator(), "DELETE", path, "").want(t, 404)
	}
}

func TestSitesPages(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	for i := range 5 {
		p.site(t, fmt.Sprint("plant-", i))
	}
	var names []string
	for target := "/v1/sites?limit=2"; target != ""; {
		var page list[site]
		p.do(t, administrator(), "GET", target, "").want(t, 200).into(t, &page)
		for _, s := range page.Items {
			names = append(names, s.Name)
		}
		if target = ""; page.Next != "" {
			target = "/v1/sites?limit=2&cursor=" + page.Next
		}
	}
	if got := strings.Join(names, " "); got != "plant-0 plant-1 plant-2 plant-3 plant-4" {
		t.Errorf("got %s", got)
	}
}

// TestSitesOfOthers: what one may not see does not exist; what one may see only, one
// may not change.
func TestSitesOfOthers(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	p.site(t, "plant-1")
	p.site(t, "plant-2")
	viewer := person("bob", "plant-1=viewer")
	var page list[site]
	p.do(t, viewer, "GET", "/v1/sites", "").want(t, 200).into(t, &page)
	if len(page.Items) != 1 || page.Items[0].Name != "plant-1" {
		t.Errorf("got %+v", page)
	}
	p.do(t, viewer, "GET", "/v1/sites/plant-1", "").want(t, 200)
	hidden, absent := p.do(t, viewer, "GET", "/v1/sites/plant-2", "").want(t, 404), p.do(t, viewer, "GET", "/v1/sites/none", "").want(t, 404)
	if hidden.Body != absent.Body {
		t.Errorf("hidden %s, absent %s", hidden.Body, absent.Body)
	}
	p.do(t, viewer, "PUT", "/v1/sites/plant-1", `{}`, "If-Match", "*").want(t, 403)
	p.do(t, viewer, "PUT", "/v1/sites/plant-2", `{}`, "If-Match", "*").want(t, 404)
	p.do(t, person("eve", "plant-1=admin"), "POST", "/v1/sites", `{"name":"plant-3"}`).want(t, 403)
	p.do(t, caller{Subject: "gw-1", Gateway: "gw-1", Site: "plant-1", Role: "gateway", Expires: viewer.Expires}, "GET", "/v1/sites/plant-1", "").want(t, 404)
	lapsed := administrator()
	lapsed.Expires = 1
	p.do(t, lapsed, "GET", "/v1/sites", "").want(t, 401)
}

func TestIdempotencyKey(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	body := `{"name":"plant-1"}`
	first := p.do(t, administrator(), "POST", "/v1/sites", body, "Idempotency-Key", "k").want(t, 201)
	again := p.do(t, administrator(), "POST", "/v1/sites", body, "Idempotency-Key", "k").want(t, 201)
	if again.Body != first.Body || again.Headers["etag"] != first.Headers["etag"] || again.Headers["idempotency-replayed"] != "true" {
		t.Errorf("got %+v, first %+v", again, first)
	}
	p.do(t, administrator(), "POST", "/v1/sites", `{"name":"plant-2"}`, "Idempotency-Key", "k").want(t, 409)
	p.do(t, person("eve", "*=admin"), "POST", "/v1/sites", body, "Idempotency-Key", "k").want(t, 409) // her own key, and there is such a site
	if got := p.checkTrail(t); got["site.create"] != 1 {
		t.Errorf("trail %v", got)
	}
}

func TestBadRequests(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	for name, c := range map[string]struct {
		method, target, body string
		status               int
	}{
		"no JSON":           {"POST", "/v1/sites", `name`, 400},
		"mass assignment":   {"POST", "/v1/sites", `{"name":"a","version":7}`, 400},
		"member twice":      {"POST", "/v1/sites", `{"name":"a","name":"b"}`, 400},
		"other case":        {"POST", "/v1/sites", `{"NAME":"a"}`, 400},
		"half a pair":       {"POST", "/v1/sites", `{"name":"a\ud800b"}`, 400},
		"not UTF-8":         {"POST", "/v1/sites", "{\"name\":\"a\ufffdb\"}", 400}, // as API Gateway hands it over
		"two documents":     {"POST", "/v1/sites", `{"name":"a"}{}`, 400},
		"deep":              {"POST", "/v1/sites", `{"name":` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000) + `}`, 400},
		"huge":              {"POST", "/v1/sites", `{"name":"` + strings.Repeat("a", 1<<20) + `"}`, 413},
		"no name":           {"POST", "/v1/sites", `{}`, 422},
		"every site":        {"POST", "/v1/sites", `{"name":"*"}`, 422},
		"NUL":               {"POST", "/v1/sites", `{"name":"a","title":"\u0000"}`, 422},
		"header lines":      {"POST", "/v1/sites", `{"name":"a\r\nX: y"}`, 422},
		"no zone":           {"POST", "/v1/sites", `{"name":"a","time_zone":"../../etc/passwd"}`, 422},
		"unknown parameter": {"GET", "/v1/sites?sql=1", "", 400},
		"twice":             {"GET", "/v1/sites?limit=1&limit=2", "", 400},
		"limit":             {"GET", "/v1/sites?limit=1001", "", 400},
		"cursor of none":    {"GET", "/v1/sites?cursor=AAAA", "", 400},
		"cursor of SQL":     {"GET", "/v1/sites?cursor=%27%20OR%201=1", "", 400},
		"nowhere":           {"GET", "/v1/nowhere", "", 404},
		"not a clean path":  {"GET", "/v1//sites/", "", 404},
		"dots":              {"GET", "/v1/sites/../users", "", 404},
		"SQL in the path":   {"GET", "/v1/sites/'%20OR%20'1'='1", "", 404},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p.do(t, administrator(), c.method, c.target, c.body).want(t, c.status)
		})
	}
}
