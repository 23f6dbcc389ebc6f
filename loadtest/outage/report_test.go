package outage

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/insighthub/insighthub/loadtest/kpicheck"
)

func TestCountByPhase(t *testing.T) {
	at := func(end int64, name string) kpicheck.Key {
		return kpicheck.Key{Name: name, Gateway: "gw", End: end}
	}
	database := kpicheck.Samples{at(95, "a"): 1, at(100, "a"): 1, at(105, "a"): 1, at(105, "b"): 1, at(110, "a"): 1, at(115, "a"): 1}
	prometheus := kpicheck.Samples{
		at(95, "a"): 1, at(100, "a"): 2, at(105, "a"): 1, at(110, "a"): 1, at(110, "c"): 1, at(115, "window_late_events"): 3,
	}
	r := Report{Down: 100, Up: 110}
	r.count(database, prometheus)
	want := []Phase{
		{Name: "before", Windows: 1, Expected: 1, Present: 1},
		{Name: "in the outage", Windows: 3, Expected: 4, Present: 3, Missing: 1, Differing: 1, Surplus: 1},
		{Name: "after", Windows: 1, Expected: 1, Missing: 1, LeftOut: 1},
	}
	if diff := cmp.Diff(want, r.Phases); diff != "" {
		t.Error(diff)
	}
	if err := r.problem(); err == nil || !strings.Contains(err.Error(), "5 samples") {
		t.Errorf("got problem %v, want one that counts 5 samples", err)
	}
}

func TestProblem(t *testing.T) {
	good := func() *Report {
		r := &Report{Down: 0, Up: 10}
		set := kpicheck.Samples{kpicheck.Key{Name: "a", End: 5}: 1}
		r.count(set, set)
		return r
	}
	if err := good().problem(); err != nil {
		t.Errorf("got problem %v of a good run, want none", err)
	}
	for name, spoil := range map[string]func(*Report){
		"out of order":   func(r *Report) { r.OutOfOrder = 1 },
		"refused":        func(r *Report) { r.Refused = 1 },
		"rejected":       func(r *Report) { r.Rejected = 1 },
		"nothing tested": func(r *Report) { r.count(nil, nil) },
	} {
		r := good()
		if spoil(r); r.problem() == nil {
			t.Errorf("%s: got no problem, want one", name)
		}
	}
}

func TestReadServer(t *testing.T) {
	page := `# HELP some text
prometheus_build_info{branch="x",goversion="go1.26",revision="y",version="3.16.0"} 1
prometheus_tsdb_head_out_of_order_samples_appended_total{type="float"} 2
prometheus_tsdb_head_out_of_order_samples_appended_total{type="histogram"} 1
prometheus_tsdb_too_old_samples_total{type="float"} 4
prometheus_tsdb_out_of_bound_samples_total{type="float"} 5
prometheus_tsdb_out_of_order_samples_total{type="float"} 6
prometheus_tsdb_head_samples_appended_total{type="float"} 1e+06
`
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(page)) }))
	defer server.Close()
	var r Report
	err := r.readServer(t.Context(), kpicheck.Server(server.URL))
	if err != nil || r.OutOfOrder != 3 || r.Refused != 15 || r.Server != "3.16.0" {
		t.Errorf("got %+v and error %v, want 3 samples out of order, 15 rejected, version 3.16.0", r, err)
	}
	page = "up 1\n"
	if err := r.readServer(t.Context(), kpicheck.Server(server.URL)); err == nil {
		t.Error("got no error without the counters, want one")
	}
}

func TestReadLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bridge.log")
	lines := `{"msg":"bridged","rejected":1,"duplicate_samples":2}
not JSON
{"msg":"not bridged","error":"unavailable"}
{"msg":"sample rejected","reason":"too old"}
`
	if err := os.WriteFile(path, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	var r Report
	if err := r.readLog(path); err != nil || r.Invocations != 2 || r.Failed != 1 || r.Rejected != 3 {
		t.Errorf("got %+v and error %v, want 2 invocations, 1 failed, 3 samples rejected", r, err)
	}
}

func TestServerLink(t *testing.T) {
	tree := t.TempDir()
	if _, err := newServerLink(tree, filepath.Join(t.TempDir(), "p")); err == nil {
		t.Error("got a link without a server, want an error")
	}
	server := filepath.Join(tree, "bin", "prometheus")
	if err := os.MkdirAll(filepath.Dir(server), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(server, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	l, err := newServerLink(tree, filepath.Join(t.TempDir(), "p"))
	if err != nil {
		t.Fatal(err)
	}
	if target, err := os.Readlink(l.path()); err != nil || target != server {
		t.Errorf("got link to %q and error %v, want %q", target, err, server)
	}
}
