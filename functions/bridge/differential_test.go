package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/insighthub/insighthub/cdk/local/prometheus"
	"github.com/insighthub/insighthub/lib/bridge"
	"github.com/insighthub/insighthub/lib/kpi"
	"github.com/insighthub/insighthub/lib/kpi/kpitest"
	"github.com/insighthub/insighthub/lib/prometheus/promquery"
	"github.com/insighthub/insighthub/lib/prometheus/remotewrite"
	"github.com/insighthub/insighthub/lib/readings"
	"github.com/insighthub/insighthub/lib/shardstate/shardstatetest"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/loadtest/fleet/fleettest"
)

// fixedRules are rules that do not change.
type fixedRules []bridge.Rule

func (r *fixedRules) Rules(context.Context) ([]bridge.Rule, error) { return *r, nil }

// scope is a device, a gateway or a site.
type scope struct{ site, gateway, device string }

// recorded adds up the samples of machines on their way to Prometheus, by device. Others do
// not go there, which saves half of the time.
type recorded struct {
	*remotewrite.Client
	sums map[scope]kpitest.Sums
}

func (r *recorded) Write(ctx context.Context, series []remotewrite.Series) (remotewrite.Result, error) {
	var machines []remotewrite.Series
	for i := range series {
		label := map[string]string{}
		for _, l := range series[i].Labels {
			label[l.Name] = l.Value
		}
		name, is := strings.CutPrefix(label[remotewrite.NameLabel], "insighthub_window_")
		if !is || label["device"] == "" || len(series[i].Samples) != 1 {
			continue
		}
		machines = append(machines, series[i])
		at := scope{label["site"], label["gateway"], label["device"]}
		if r.sums[at] == nil {
			r.sums[at] = kpitest.Sums{}
		}
		r.sums[at][name] += series[i].Samples[0].Value
		if name == "down_seconds" && label["reason"] != "" {
			r.sums[at][name+"/"+label["reason"]] += series[i].Samples[0].Value
		}
	}
	if len(machines) == 0 {
		return remotewrite.Result{}, nil
	}
	return r.Client.Write(ctx, machines)
}

// exact returns the sums with times in µs, without down times of 0 by reason.
func exact(sums kpitest.Sums) kpitest.Sums {
	out := kpitest.Sums{}
	for name, v := range sums {
		base, reason, _ := strings.Cut(name, "/")
		if strings.HasSuffix(base, "_seconds") {
			v = math.Round(v * 1e6)
		}
		if reason == "" || v != 0 {
			out[name] = v
		}
	}
	return out
}

// group is the brute force's sums of some machines.
type group struct {
	sums     kpitest.Sums
	machines map[string]int // with windows of a sum
}

func (g *group) add(sums kpitest.Sums) {
	if g.sums == nil {
		g.sums, g.machines = kpitest.Sums{}, map[string]int{}
	}
	for name, v := range sums {
		g.sums[name] += v
		g.machines[name]++
	}
}

// kpis computes the KPIs of docs/KPIS.md over a range of 300 s of the clock. Those that are
// null are not in it.
func (g *group) kpis() map[string]float64 {
	out := map[string]float64{}
	clock := 300e6
	put := func(name, over, under string, factor float64) {
		o, ok := g.sums[over]
		if u, is := g.sums[under]; ok && is && u > 0 {
			out[name] = o / u * factor
		}
	}
	put("availability", "production_seconds", "busy_seconds", 1)
	put("performance", "ideal_seconds", "performance_production_seconds", 1)
	put("oee", "oee_good_ideal_seconds", "oee_busy_seconds", 1)
	put("mtbf_seconds", "production_seconds", "failures", 1e-6)
	put("mttr_seconds", "down_seconds", "failures", 1e-6)
	if g.machines["quality_produced"] == 1 {
		put("quality", "quality_good", "quality_produced", 1)
	} else {
		put("quality", "quality_good_ideal_seconds", "quality_ideal_seconds", 1)
	}
	if quality, ok := out["quality"]; ok {
		out["scrap"] = 1 - quality
	}
	if good, ok := g.sums["oee_good_ideal_seconds"]; ok {
		out["teep"] = good / (clock * float64(g.machines["oee_busy_seconds"]))
	}
	if produced, ok := g.sums["produced"]; ok {
		out["throughput_per_hour"] = produced * 3600 / 300
	}
	return out
}

func differ(t *testing.T, what string, want, got map[string]float64, tolerance float64) {
	t.Helper()
	for name, w := range want {
		if g, ok := got[name]; !ok || math.Abs(g-w) > tolerance*max(1, math.Abs(w)) {
			t.Errorf("%s: %s: got %v (%t), want %v", what, name, g, ok, w)
		}
	}
	for name, g := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%s: %s: got %v, want null", what, name, g)
		}
	}
}

// TestPlantsByEveryPath computes the KPIs of random plants in four ways: by brute force from
// the events, by the engine, by what the API reads from a Prometheus, and by the recording
// rules that this Prometheus evaluates. Counts are equal, and times to the microsecond.
func TestPlantsByEveryPath(t *testing.T) {
	plants := 1000
	if testing.Short() {
		plants = 50
	}
	r := rand.New(rand.NewPCG(10, 2026))
	var machines []*plantMachine
	for n := range plants {
		machines = append(machines, drawPlant(r, n)...)
	}
	server, err := prometheus.Start(t.Context(), prometheus.Config{Binary: prometheusBinary(t), DataDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.Stop(context.Background()) }()
	engine := &recorded{newClient(t, server.URL()+"/api/v1/write"), map[scope]kpitest.Sums{}}
	f := &fixture{objects: &shardstatetest.Memory{}, sink: engine, rules: plantRules(t, machines)}
	f.restart(t)
	records := plantRecords(t, r, machines)
	for from := 0; from < len(records); {
		to := min(len(records), from+1+r.IntN(8000))
		if _, err := f.handler.Invoke(t.Context(), fleettest.Payload(records[from:to])); err != nil {
			t.Fatal(err)
		}
		if from = to; r.IntN(4) == 0 {
			f.restart(t)
		}
	}

	groups := map[scope]*group{}
	devices := 0
	for _, m := range machines {
		if t.Failed() {
			return
		}
		sums := m.sums()
		at := scope{string(m.site), string(m.gateway), string(m.device)}
		differ(t, fmt.Sprint("engine: ", at), exact(unscaled(sums)), exact(engine.sums[at]), 0)
		if len(sums) == 0 {
			continue
		}
		devices++
		for _, at := range []scope{{at.site, "", ""}, {at.site, at.gateway, ""}, at} {
			if groups[at] == nil {
				groups[at] = &group{}
			}
			groups[at].add(sums)
		}
	}
	if t.Failed() {
		return
	}
	asAPI(t, server, groups)
	asRules(t, server, engine.Client, groups)
	if t.Failed() {
		return
	}
	t.Logf("%d plants with %d devices, %d of them machines, in %d records: equal in all four ways",
		plants, len(machines), devices, len(records))
}

// unscaled returns the sums of the brute force with times in seconds.
func unscaled(sums kpitest.Sums) kpitest.Sums {
	out := maps.Clone(sums)
	for name := range out {
		if base, _, _ := strings.Cut(name, "/"); strings.HasSuffix(base, "_seconds") {
			out[name] /= 1e6
		}
	}
	return out
}

// asAPI compares the sums and KPIs of the API: of each site, and of the gateways and devices
// of every tenth.
func asAPI(t *testing.T, server *prometheus.Server, groups map[scope]*group) {
	t.Helper()
	kpis, err := promquery.NewKPIs(promquery.Config{URL: server.URL(), HTTP: http.DefaultClient, Now: time.Now}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	to := telemetry.MicrosOf(plantsTo)
	for at, g := range groups {
		if at.gateway != "" && !strings.HasSuffix(at.site, "0") {
			continue
		}
		totals, err := kpis.Sums(t.Context(), readings.Selection{
			Site: telemetry.SiteID(at.site), Gateway: telemetry.GatewayID(at.gateway), Device: telemetry.DeviceName(at.device),
			Range: readings.Range{From: to - 300_000_000, To: to},
		})
		if err != nil {
			t.Fatal(err)
		}
		got := kpitest.Sums{}
		for name, v := range totals.Sums {
			got[strings.TrimPrefix(string(name), "insighthub_window_")] = v
		}
		for reason, v := range totals.Downtime {
			if reason != "" {
				got["down_seconds/"+reason] = v
			}
		}
		if t.Failed() { // the first one says enough
			return
		}
		differ(t, fmt.Sprint("API: sums of ", at), exact(unscaled(g.sums)), exact(got), 0)
		values := map[string]float64{}
		totals = totals.WithClock(5 * time.Minute)
		for _, d := range kpi.Definitions() {
			if v, ok := d.Of(totals, at.device == ""); ok {
				values[d.Name] = v
			}
		}
		differ(t, fmt.Sprint("API: KPIs of ", at), g.kpis(), values, 1e-9)
		clock := map[string]float64{
			"calendar_seconds":   300 * float64(g.machines["calendar_seconds"]),
			"unreported_seconds": 300*float64(g.machines["calendar_seconds"]) - g.sums["calendar_seconds"]/1e6,
		}
		if n := g.machines["oee_busy_seconds"]; n > 0 {
			clock["oee_calendar_seconds"] = 300 * float64(n)
		}
		reported := map[string]float64{}
		for _, name := range []kpi.Name{kpi.AllCalendarSeconds, kpi.OEECalendarSeconds, kpi.UnreportedSeconds} {
			if v, ok := totals.Sums[name]; ok {
				reported[string(name)] = v
			}
		}
		differ(t, fmt.Sprint("API: clock of ", at), clock, reported, 1e-9)
	}
}

// recordingRule is a rule of a group.
type recordingRule struct {
	Record string            `yaml:"record"`
	Expr   string            `yaml:"expr"`
	Labels map[string]string `yaml:"labels"`
}

// asRules evaluates the recording rules of production one after the other, as a server
// does, at the end of the range, and compares their sums and KPIs.
func asRules(t *testing.T, server *prometheus.Server, client *remotewrite.Client, groups map[scope]*group) {
	t.Helper()
	text, err := os.ReadFile("../../cdk/grafana/rules/production.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Groups []struct {
			Rules []recordingRule `yaml:"rules"`
		} `yaml:"groups"`
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	sums, values := map[scope]kpitest.Sums{}, map[scope]map[string]float64{}
	for _, g := range file.Groups {
		for _, rule := range g.Rules {
			var series []remotewrite.Series
			for _, v := range evaluate(t, server, rule.Expr) {
				maps.Copy(v.labels, rule.Labels)
				at := scope{v.labels["site"], v.labels["gateway"], v.labels["device"]}
				if sums[at] == nil {
					sums[at], values[at] = kpitest.Sums{}, map[string]float64{}
				}
				name, kind, _ := strings.Cut(strings.TrimPrefix(rule.Record, "insighthub:"), ":")
				switch {
				case strings.HasPrefix(kind, "sum"):
					sums[at][name+":"+kind] = v.value
				case kind == "ratio5m" || kind == "1h":
					values[at][name] = v.value
				}
				v.labels[remotewrite.NameLabel] = rule.Record
				series = append(series, v.series())
			}
			if len(series) > 0 {
				if result, err := client.Write(t.Context(), series); err != nil || len(result.Rejected) > 0 {
					t.Fatal(rule.Record, err, result.Rejected)
				}
			}
		}
	}
	for at, g := range groups {
		if t.Failed() {
			return
		}
		differ(t, fmt.Sprint("rules: KPIs of ", at), g.kpis(), values[at], 1e-9)
		for record, v := range sums[at] {
			name, _, _ := strings.Cut(record, ":")
			want, ok := g.sums[name]
			switch name {
			case "calendar_seconds", "oee_calendar_seconds", "unreported_seconds": // of the clock
				continue
			case "down_seconds_by_reason":
				continue
			}
			if !ok || exact(kpitest.Sums{name: v})[name] != exact(unscaled(kpitest.Sums{name: want}))[name] {
				t.Errorf("rules: %s of %v: got %v, want %v (%t)", record, at, v, want, ok)
			}
		}
	}
	for at := range sums {
		if groups[at] == nil {
			t.Errorf("rules: %v has sums, and is no machine", at)
		}
	}
}

// vectorSample is a sample of a query's result.
type vectorSample struct {
	labels map[string]string
	value  float64
}

// series returns the sample at the end of the range.
func (v *vectorSample) series() remotewrite.Series {
	s := remotewrite.Series{Samples: []remotewrite.Sample{{Timestamp: plantsTo.UnixMilli(), Value: v.value}}}
	for _, name := range slices.Sorted(maps.Keys(v.labels)) {
		s.Labels = append(s.Labels, remotewrite.Label{Name: name, Value: v.labels[name]})
	}
	return s
}

// evaluate returns the vector of an expression at the end of the range.
func evaluate(t *testing.T, server *prometheus.Server, expression string) (out []vectorSample) {
	t.Helper()
	q := url.Values{"query": {expression}, "time": {strconv.FormatInt(plantsTo.Unix(), 10)}}
	resp, err := http.PostForm(server.URL()+"/api/v1/query", q)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var response struct {
		Status, Error string
		Data          struct {
			Result []struct {
				Metric map[string]string
				Value  [2]any
			}
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&response); err != nil || response.Status != "success" {
		t.Fatal(expression, err, response.Error)
	}
	for _, r := range response.Data.Result {
		delete(r.Metric, remotewrite.NameLabel)
		v, err := strconv.ParseFloat(r.Value[1].(string), 64)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, vectorSample{r.Metric, v})
	}
	return out
}
