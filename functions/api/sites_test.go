package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/insighthub/insighthub/lib/api/apitest"
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
	a := p.Do(t, apitest.Administrator(), "POST", "/v1/sites", `{"name":"plant-1","title":"Linz","time_zone":"Europe/Vienna"}`).Want(t, 201)
	if a.Headers["etag"] != `"1"` {
		t.Errorf("got ETag %s, want \"1\"", a.Headers["etag"])
	}
	p.Do(t, apitest.Administrator(), "POST", "/v1/sites", `{"name":"plant-1"}`).Want(t, 409)
	change := `{"title":"Linz 2","time_zone":"UTC"}`
	p.Do(t, apitest.Administrator(), "PUT", "/v1/sites/plant-1", change).Want(t, 428)
	p.Do(t, apitest.Administrator(), "PUT", "/v1/sites/plant-1", change, "If-Match", `"7"`).Want(t, 412)
	p.Do(t, apitest.Administrator(), "PUT", "/v1/sites/plant-1", change, "If-Match", "x").Want(t, 400)
	a = p.Do(t, apitest.Administrator(), "PUT", "/v1/sites/plant-1", change, "If-Match", `"1"`).Want(t, 200)
	var s site
	if a.Decode(t, &s); a.Headers["etag"] != `"2"` || s != (site{"plant-1", "Linz 2", "UTC"}) {
		t.Errorf("got %+v", a)
	}
	p.Do(t, apitest.Administrator(), "PUT", "/v1/sites/none", change, "If-Match", "*").Want(t, 404)
	if got := p.Trail(t); got["site.create"] != 1 || got["site.change"] != 1 || len(got) != 2 {
		t.Errorf("trail %v", got)
	}
}

// TestMethods checks that 405 lists the methods that the path supports.
func TestMethods(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	for path, allow := range map[string]string{
		"/v1/sites": "GET, HEAD, POST", "/v1/sites/none": "GET, HEAD, PUT", "/v1/users/none/password": "PUT", "/openapi.yaml": "GET, HEAD",
	} {
		a := p.Do(t, apitest.Administrator(), "DELETE", path, "").Want(t, 405)
		if a.Headers["allow"] != allow || a.Headers["content-type"] != "application/problem+json" {
			t.Errorf("%s: got %v, want Allow %s", path, a.Headers, allow)
		}
	}
	for _, path := range []string{"/", "/v1", "/v1/sites/", "/v1/other"} {
		p.Do(t, apitest.Administrator(), "DELETE", path, "").Want(t, 404)
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
		p.get(t, apitest.Administrator(), target, &page)
		for _, s := range page.Items {
			names = append(names, s.Name)
		}
		if target = ""; page.Next != "" {
			target = "/v1/sites?limit=2&cursor=" + page.Next
		}
	}
	if got := strings.Join(names, " "); got != "plant-0 plant-1 plant-2 plant-3 plant-4" {
		t.Errorf("got %s, want plant-0 to plant-4", got)
	}
}

// TestSitesOfOthers checks that a site that the caller may not see looks like one that
// does not exist, and that a viewer cannot change one.
func TestSitesOfOthers(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	p.site(t, "plant-1")
	p.site(t, "plant-2")
	viewer := apitest.Person("bob", "plant-1=viewer")
	var page list[site]
	p.get(t, viewer, "/v1/sites", &page)
	if len(page.Items) != 1 || page.Items[0].Name != "plant-1" {
		t.Errorf("got %+v", page)
	}
	p.Do(t, viewer, "GET", "/v1/sites/plant-1", "").Want(t, 200)
	hidden := p.Do(t, viewer, "GET", "/v1/sites/plant-2", "").Want(t, 404)
	absent := p.Do(t, viewer, "GET", "/v1/sites/none", "").Want(t, 404)
	if hidden.Body != absent.Body {
		t.Errorf("got %s for a hidden site and %s for an absent one, want the same", hidden.Body, absent.Body)
	}
	p.Do(t, viewer, "PUT", "/v1/sites/plant-1", `{}`, "If-Match", "*").Want(t, 403)
	p.Do(t, viewer, "PUT", "/v1/sites/plant-2", `{}`, "If-Match", "*").Want(t, 404)
	p.Do(t, apitest.Person("eve", "plant-1=admin"), "POST", "/v1/sites", `{"name":"plant-3"}`).Want(t, 403)
	p.Do(t, apitest.Gateway("gw-1", "plant-1"), "GET", "/v1/sites/plant-1", "").Want(t, 404)
	expired := apitest.Administrator()
	expired.Expires = 1
	p.Do(t, expired, "GET", "/v1/sites", "").Want(t, 401)
}

func TestIdempotencyKey(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	body := `{"name":"plant-1"}`
	first := p.Do(t, apitest.Administrator(), "POST", "/v1/sites", body, "Idempotency-Key", "k").Want(t, 201)
	again := p.Do(t, apitest.Administrator(), "POST", "/v1/sites", body, "Idempotency-Key", "k").Want(t, 201)
	if again.Body != first.Body || again.Headers["etag"] != first.Headers["etag"] || again.Headers["idempotency-replayed"] != "true" {
		t.Errorf("got %+v, want %+v", again, first)
	}
	p.Do(t, apitest.Administrator(), "POST", "/v1/sites", `{"name":"plant-2"}`, "Idempotency-Key", "k").Want(t, 409)
	// Another caller has her own keys: for her, the site exists already.
	p.Do(t, apitest.Person("eve", "*=admin"), "POST", "/v1/sites", body, "Idempotency-Key", "k").Want(t, 409)
	if got := p.Trail(t); got["site.create"] != 1 {
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
			p.Do(t, apitest.Administrator(), c.method, c.target, c.body).Want(t, c.status)
		})
	}
}
