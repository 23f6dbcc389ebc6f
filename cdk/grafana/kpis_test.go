package grafana_test

import (
	"context"
	"errors"
	"maps"
	"math"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/insighthub/insighthub/cdk/grafana"
	"github.com/insighthub/insighthub/cdk/local/prometheus"
	"github.com/insighthub/insighthub/cdk/local/prometheus/prometheustest"
	"github.com/insighthub/insighthub/lib/eventually"
	"github.com/insighthub/insighthub/lib/kpi"
	"github.com/insighthub/insighthub/lib/prometheus/promquery"
	"github.com/insighthub/insighthub/lib/prometheus/remotewrite"
	"github.com/insighthub/insighthub/lib/readings"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// plant is a site with one gateway.
type plant struct {
	devices map[telemetry.DeviceName]device
	// want are the KPIs of the site that have a value.
	want map[string]float64
}

// device reports each second, at the same rate for ever, so that any five minutes are alike.
type device struct {
	config kpi.MachineConfig
	state  float64 // with a state metric
	// perSecond are the counters' rates, temperature a metric that no configuration names.
	items, good float64
	temperature bool
	// before is another configuration, until changeAfter.
	before *kpi.MachineConfig
}

func pressOf(ideal time.Duration, items, good float64, change func(*kpi.MachineConfig)) device {
	c := kpi.MachineConfig{
		Own: true, StateMetric: "state", CountMetric: "count", GoodMetric: "good", IdealCycle: ideal,
		States: map[int]kpi.State{0: {Element: kpi.Production}, 1: {Element: kpi.Idle}},
	}
	if change != nil {
		change(&c)
	}
	return device{config: c, items: items, good: good}
}

func everydayPlants() map[telemetry.SiteID]plant {
	press := pressOf(time.Second, 0.8, 0.4, nil)
	noGood := func(c *kpi.MachineConfig) { c.GoodMetric = "" }
	allGood := func(c *kpi.MachineConfig) { c.GoodMetric, c.AssumeGood = "", true }
	conveyor := pressOf(0, 0, 0, func(c *kpi.MachineConfig) { c.CountMetric, c.GoodMetric = "", "" })
	conveyor.state = 1
	tank := pressOf(time.Second, 0, 0, func(c *kpi.MachineConfig) { c.Own = false })
	tank.temperature = true
	// Matched by a rule for many devices at first, which has an ideal cycle, and one whose good
	// counter is removed.
	many := func(c *kpi.MachineConfig) { c.Own = false }
	configured, removed := pressOf(0, 1, 0.6, nil), pressOf(2*time.Second, 1, 0.6, noGood)
	configured.before = new(pressOf(2*time.Second, 0, 0, many).config)
	removed.before = configured.before
	sensors := map[telemetry.DeviceName]device{"press": press}
	for i := range 9 {
		sensors[telemetry.DeviceName("tank-"+strconv.Itoa(i))] = tank
	}
	type devices = map[telemetry.DeviceName]device
	return map[telemetry.SiteID]plant{
		"a press and a conveyor": {devices{"press": press, "conveyor": conveyor}, map[string]float64{
			kpi.Availability: 0.5, kpi.Performance: 0.8, kpi.Quality: 0.5, kpi.Scrap: 0.5,
			kpi.OEE: 0.4, kpi.TEEP: 0.4, kpi.Throughput: 2880,
		}},
		"no good counter": {devices{"saw": pressOf(time.Second, 1, 0, noGood)}, map[string]float64{
			kpi.Availability: 1, kpi.Performance: 1, kpi.Throughput: 3600,
		}},
		"all items good": {devices{"saw": pressOf(time.Second, 1, 0, allGood)}, map[string]float64{
			kpi.Availability: 1, kpi.Performance: 1, kpi.Quality: 1, kpi.Scrap: 0, kpi.OEE: 1, kpi.TEEP: 1, kpi.Throughput: 3600,
		}},
		"no ideal cycle": {devices{"drill": pressOf(0, 1, 0.6, nil)}, map[string]float64{
			kpi.Availability: 1, kpi.Quality: 0.6, kpi.Scrap: 0.4, kpi.Throughput: 3600,
		}},
		// What was measured while there was one stays: 55 of the 60 windows.
		"no ideal cycle any more": {devices{"drill": configured}, map[string]float64{
			kpi.Availability: 1, kpi.Performance: 2, kpi.Quality: 0.6, kpi.Scrap: 0.4, kpi.OEE: 1.2, kpi.TEEP: 1.1, kpi.Throughput: 3600,
		}},
		"no good counter any more": {devices{"drill": removed}, map[string]float64{
			kpi.Availability: 1, kpi.Performance: 2, kpi.Quality: 0.6, kpi.Scrap: 0.4, kpi.OEE: 1.2, kpi.TEEP: 1.1, kpi.Throughput: 3600,
		}},
		"a slow and a fast press": {devices{
			"slow": pressOf(10*time.Second, 0.05, 0.05, nil), "fast": pressOf(100*time.Millisecond, 5, 0, nil),
		}, map[string]float64{
			kpi.Availability: 1, kpi.Performance: 0.5, kpi.Quality: 0.5, kpi.Scrap: 0.5,
			kpi.OEE: 0.25, kpi.TEEP: 0.25, kpi.Throughput: 18180,
		}},
		"two presses": {devices{"one": pressOf(time.Second, 1, 1, nil), "two": pressOf(time.Second, 1, 1, nil)}, map[string]float64{
			kpi.Availability: 1, kpi.Performance: 1, kpi.Quality: 1, kpi.Scrap: 0, kpi.OEE: 1, kpi.TEEP: 1, kpi.Throughput: 7200,
		}},
		"a press among sensors": {sensors, map[string]float64{
			kpi.Availability: 1, kpi.Performance: 0.8, kpi.Quality: 0.5, kpi.Scrap: 0.5, kpi.OEE: 0.4, kpi.TEEP: 0.4, kpi.Throughput: 2880,
		}},
		"an ideal cycle that is too long": {devices{"press": pressOf(2*time.Second, 1, 1, nil)}, map[string]float64{
			kpi.Availability: 1, kpi.Performance: 2, kpi.Quality: 1, kpi.Scrap: 0, kpi.OEE: 2, kpi.TEEP: 2, kpi.Throughput: 3600,
		}},
		"sensors": {devices{"tank": tank}, map[string]float64{}},
	}
}

// changeAfter is the second, of the six minutes up to the present, in which configurations change.
const changeAfter = 340

type machines map[telemetry.GatewayID]map[telemetry.DeviceName]*kpi.Machine

func (m machines) Machine(g telemetry.GatewayID, d telemetry.DeviceName) *kpi.Machine { return m[g][d] }

// windowsOf returns the time series of the plants' machines, for windows from one time to the other.
func windowsOf(t *testing.T, plants map[telemetry.SiteID]plant, from, to time.Time) []remotewrite.Series {
	t.Helper()
	configured := machines{}
	configure := func(site telemetry.SiteID, name telemetry.DeviceName, c kpi.MachineConfig) {
		m, err := kpi.NewMachine(c)
		if err != nil {
			t.Fatal(err)
		}
		configured[telemetry.GatewayID(site)][name] = m
	}
	for site, p := range plants {
		configured[telemetry.GatewayID(site)] = map[telemetry.DeviceName]*kpi.Machine{}
		for name, d := range p.devices {
			if d.before != nil {
				configure(site, name, *d.before)
			} else {
				configure(site, name, d.config)
			}
		}
	}
	shard, err := kpi.NewShard(kpi.Config{Machines: configured})
	if err != nil {
		t.Fatal(err)
	}
	index := map[string]int{}
	var out []remotewrite.Series
	emit := func(s *kpi.Sample) {
		if s.Device == "" || s.Metric != "" || s.Time < telemetry.MicrosOf(from.Add(10*time.Second)) {
			return // the counters' bases are in the first window
		}
		id := string(s.Site) + "|" + string(s.Device) + "|" + string(s.Name)
		if _, ok := index[id]; !ok {
			index[id] = len(out)
			out = append(out, remotewrite.Series{Labels: []remotewrite.Label{
				{Name: "__name__", Value: string(s.Name)},
				{Name: "device", Value: string(s.Device)},
				{Name: "gateway", Value: string(s.Gateway)},
				{Name: "site", Value: string(s.Site)},
			}})
		}
		series := &out[index[id]]
		series.Samples = append(series.Samples, remotewrite.Sample{Timestamp: int64(s.Time / 1000), Value: s.Value})
	}
	for i, at := 0, from; at.Before(to); i, at = i+1, at.Add(time.Second) {
		for site, p := range plants {
			b := &telemetry.Batch{Gateway: telemetry.GatewayID(site), Site: site, Received: telemetry.MicrosOf(at)}
			for name, d := range p.devices {
				if d.before != nil && i == changeAfter {
					configure(site, name, d.config)
				}
				put := func(metric telemetry.MetricName, v float64) {
					b.Append(telemetry.Event{Device: name, Metric: metric, Time: telemetry.MicrosOf(at), Value: v})
				}
				switch {
				case d.temperature:
					put("temperature", 20)
				default:
					put("state", d.state)
					if d.config.CountMetric != "" {
						put("count", math.Floor(d.items*float64(i)+1e-9))
						put("good", math.Floor(d.good*float64(i)+1e-9))
					}
				}
			}
			shard.Observe(b, telemetry.MicrosOf(at))
		}
		shard.EmitClosed(emit)
	}
	return out
}

// TestKPIsOfEverydayPlants: the API's figures and the recording rules of a real Prometheus have
// the right value of each plant for the same five minutes, and none where it cannot be known.
func TestKPIsOfEverydayPlants(t *testing.T) {
	t.Run("Prometheus 2", func(t *testing.T) {
		needPrometheus(t)
		kpisOfEverydayPlants(t, tree+"/bin/prometheus")
	})
	t.Run("Prometheus 3", func(t *testing.T) { kpisOfEverydayPlants(t, prometheustest.Server3(t)) })
}

// changes reports whether a configuration of the plant changes.
func changes(p plant) bool {
	for _, d := range p.devices {
		if d.before != nil {
			return true
		}
	}
	return false
}

func kpisOfEverydayPlants(t *testing.T, binary string) {
	t.Helper()
	rules := filepath.Join(t.TempDir(), "production.yaml")
	content := regexp.MustCompile(`interval: \w+`).ReplaceAllString(grafana.ProductionRules(), "interval: 1s")
	if err := os.WriteFile(rules, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := prometheus.Start(t.Context(), prometheus.Config{
		Binary: binary, DataDir: t.TempDir(), Rules: []string{rules},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Stop(context.Background()) })
	writer, err := remotewrite.New(remotewrite.Config{
		URL: p.URL() + "/api/v1/write", HTTP: http.DefaultClient, Protocol: remotewrite.V1, Now: time.Now, Rand: rand.Float64,
	})
	if err != nil {
		t.Fatal(err)
	}
	plants := everydayPlants()
	// The plants go on for some minutes, so that the rules have time.
	now := time.Now().Truncate(20 * time.Second)
	if _, err := writer.Write(t.Context(), windowsOf(t, plants, now.Add(-6*time.Minute), now.Add(8*time.Minute))); err != nil {
		t.Fatal(err)
	}
	same := cmpopts.EquateApprox(0, 1e-9)

	sums, err := promquery.NewKPIs(promquery.Config{URL: p.URL(), HTTP: http.DefaultClient, Now: time.Now}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	figures := func(site telemetry.SiteID, end time.Time, length time.Duration) map[string]float64 {
		span := readings.Range{From: telemetry.MicrosOf(end.Add(-length)), To: telemetry.MicrosOf(end)}
		totals, err := sums.Sums(t.Context(), readings.Selection{Site: site, Range: span})
		if err != nil {
			t.Fatal(err)
		}
		totals, out := totals.WithClock(length), map[string]float64{}
		for _, d := range kpi.Definitions() {
			if v, ok := d.Of(totals, true); ok {
				out[d.Name] = v
			}
		}
		return out
	}
	for site, plant := range plants {
		if diff := cmp.Diff(plant.want, figures(site, now, 5*time.Minute), same); diff != "" {
			t.Errorf("%s, by the API: KPIs differ (-want +got):\n%s", site, diff)
		}
	}
	if day := figures("two presses", now, 24*time.Hour); math.Abs(day[kpi.TEEP]-355./86400) > 1e-9 {
		t.Errorf("71 windows in 24 h: got TEEP %v, want %v", day[kpi.TEEP], 355./86400)
	}

	s := server{p.URL()}
	recorded := func() map[telemetry.SiteID]map[string]float64 {
		out := map[telemetry.SiteID]map[string]float64{}
		for site := range plants {
			out[site] = map[string]float64{}
		}
		for _, d := range kpi.Definitions() {
			var data struct{ Result []series }
			s.get(t, "/api/v1/query", url.Values{"query": {`{__name__=~"insighthub:` + d.Name + `:(ratio5m|1h)",level="site"}`}}, &data)
			for _, r := range data.Result {
				v, err := strconv.ParseFloat(r.last(), 64)
				if err != nil {
					t.Fatal(err)
				}
				if site := telemetry.SiteID(r.Metric["site"]); d.Name != kpi.TEEP || !changes(plants[site]) {
					out[site][d.Name] = v
				}
			}
		}
		return out
	}
	want := map[telemetry.SiteID]map[string]float64{}
	for site, plant := range plants {
		want[site] = maps.Clone(plant.want)
		if changes(plant) { // it falls with each window after the change
			delete(want[site], kpi.TEEP)
		}
	}
	eventually.NoError(t, "the rules' values", func() error {
		if diff := cmp.Diff(want, recorded(), same); diff != "" {
			return errors.New("KPIs differ (-want +got):\n" + diff)
		}
		return nil
	})
}
