package grafana_test

import (
	"bytes"
	"math"
	"net/http"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/klauspost/compress/snappy"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/insighthub/insighthub/cdk/grafana"
)

const windows = 24 // two minutes

// fleet is two minutes of the samples of the bridge and the functions, for two sites with
// two gateways each and two machines at each gateway. Machine press-01 is down once;
// gateway gw-2 sends late, bad and duplicate events.
type fleet struct {
	end    time.Time
	series []byte // the time series of the write request
	seen   map[string]bool
}

func newFleet(now time.Time) *fleet {
	f := &fleet{end: now.Truncate(5 * time.Second), seen: map[string]bool{}}
	for _, site := range []string{"plant-1", "plant-2"} {
		for g, gateway := range []string{"gw-1", "gw-2"} {
			f.gateway(g, "site", site, "gateway", gateway)
			for m, machine := range []string{"press-01", "pump-02"} {
				f.machine(m, "site", site, "gateway", gateway, "device", machine)
			}
		}
	}
	f.functions()
	return f
}

func (f *fleet) machine(m int, labels ...string) {
	down := func(i int) bool { return m == 0 && i >= 8 && i < 11 }
	when := func(v float64) func(int) float64 {
		return func(i int) float64 {
			if down(i) {
				return 0
			}
			return v
		}
	}
	rest := func(v float64) func(int) float64 { return func(i int) float64 { return v - when(v)(i) } }
	f.add("insighthub_window_calendar_seconds", constant(5), labels...)
	f.add("insighthub_window_planned_seconds", constant(5), labels...)
	f.add("insighthub_window_busy_seconds", constant(5), labels...)
	f.add("insighthub_window_production_seconds", when(4.25-float64(m)), labels...)
	f.add("insighthub_window_idle_seconds", when(0.5), labels...)
	f.add("insighthub_window_setup_seconds", when(0.25+float64(m)), labels...)
	f.add("insighthub_window_down_seconds", rest(5), slices.Concat(labels, []string{"reason", "jam"})...)
	f.add("insighthub_window_unknown_seconds", constant(0), labels...)
	f.add("insighthub_window_failures", func(i int) float64 { return map[bool]float64{true: 1}[down(i) && !down(i-1)] }, labels...)
	f.add("insighthub_window_produced", when(10), labels...)
	f.add("insighthub_window_good", when(9), labels...)
	f.add("insighthub_window_ideal_seconds", when(3), labels...)
	f.add("insighthub_window_performance_production_seconds", when(4.25-float64(m)), labels...)
	f.add("insighthub_window_quality_produced", when(10), labels...)
	f.add("insighthub_window_quality_good", when(9), labels...)
	f.add("insighthub_window_quality_ideal_seconds", when(3), labels...)
	f.add("insighthub_window_quality_good_ideal_seconds", when(2.7), labels...)
	f.add("insighthub_window_oee_good_ideal_seconds", when(2.7), labels...)
	f.add("insighthub_window_oee_busy_seconds", constant(5), labels...)
	for k, metric := range []string{
		"state", "cycle_count", "good_count", "temperature", "vibration", "pressure", "motor_current", "flow", "speed", "power",
	} {
		mean := func(i int) float64 { return math.Round(100*(20+10*float64(k)+3*math.Sin(float64(i)/4))) / 100 }
		of := slices.Concat(labels, []string{"metric", metric})
		f.add("insighthub_series_mean", mean, of...)
		f.add("insighthub_series_min", func(i int) float64 { return mean(i) - 1 }, of...)
		f.add("insighthub_series_max", func(i int) float64 { return mean(i) + 1 }, of...)
		f.add("insighthub_series_last", mean, of...)
		f.add("insighthub_series_samples", constant(50), of...)
		if k >= 3 && k < 5+m { // not for states and counters
			score := func(i int) float64 { return 0.5 + float64(i)/100 }
			f.add("insighthub_anomaly_score", score, slices.Concat(of, []string{"kind", "score"})...)
		}
	}
	f.add("insighthub_anomaly_score", constant(0.9), slices.Concat(labels, []string{"kind", "machine"})...)
}

func (f *fleet) gateway(g int, labels ...string) {
	for name, v := range map[string]float64{
		"insighthub_window_events": 1000, "insighthub_window_late_events": 5 * float64(g),
		"insighthub_window_bad_quality_events": 20 * float64(g),
		"insighthub_window_duplicate_events":   3 * float64(g), "insighthub_window_early_events": 0, "insighthub_window_refused_events": 0,
		"insighthub_window_unverified_events": 0, "insighthub_window_crowded_events": 0, "insighthub_freshness_seconds": 0.2 + float64(g),
		"insighthub_gap_seconds": 0.5 * float64(g), "insighthub_gateway_devices": 2, "insighthub_gateway_series": 20,
	} {
		f.add(name, constant(v), labels...)
	}
	f.histogram("insighthub_ingest_lag_seconds", func(int) float64 { return 1 }, labels...)
}

func (f *fleet) functions() {
	for _, function := range []string{"ingest", "store", "bridge"} {
		of := []string{"function", function, "instance", "a"}
		f.add("insighthub_invocations_total", counter(50), of...)
		f.add("insighthub_invocation_errors_total", counter(0.05), of...)
		f.histogram("insighthub_invocation_duration_seconds", counter(0.5), of...)
		f.add("insighthub_function_memory_bytes", constant(512<<20), of...)
		f.add("process_cpu_seconds_total", counter(0.4), of...)
	}
	ingest := []string{"function", "ingest", "instance", "a"}
	f.add("insighthub_ingest_requests_total", counter(40), slices.Concat(ingest, []string{"code", "202"})...)
	f.add("insighthub_ingest_requests_total", counter(0.1), slices.Concat(ingest, []string{"code", "400"})...)
	f.histogram("insighthub_ingest_request_duration_seconds", counter(0.4), ingest...)
	f.add("insighthub_ingest_records_total", counter(40), ingest...)
	store := []string{"function", "store", "instance", "a"}
	f.add("insighthub_store_events_total", counter(4000), store...)
	f.add("insighthub_store_conflicts_total", counter(0), store...)
	f.add("insighthub_store_poison_records_total", counter(0), store...)
	bridge := []string{"function", "bridge", "instance", "a"}
	shard := slices.Concat(bridge, []string{"shard", "shardId-000000000000"})
	now := float64(f.end.Unix())
	f.add("insighthub_bridge_handled_timestamp_seconds", func(i int) float64 { return now + 5*float64(i-windows) }, shard...)
	f.add("insighthub_bridge_arrival_timestamp_seconds", func(i int) float64 { return now + 5*float64(i-windows) - 1.5 }, shard...)
	for outcome, per := range map[string]float64{"written": 900, "rejected": 0, "duplicate": 0} {
		f.add("insighthub_bridge_samples_total", counter(per), slices.Concat(bridge, []string{"outcome", outcome})...)
	}
	f.add("insighthub_bridge_rejections_total", counter(0), slices.Concat(bridge, []string{"reason", "out_of_order"})...)
	f.add("insighthub_bridge_invalid_kpi_configs", func(int) float64 { return 0 }, bridge...)
	f.add("insighthub_audit_checks", func(int) float64 { return 0 },
		"job", "insighthub", "function", "audit", "instance", "a", "result", "fail")
	f.add("insighthub_trail_unsealed_seconds", func(int) float64 { return 0 }, "job", "insighthub", "function", "rollup", "instance", "a")
	for outcome, per := range map[string]float64{"ok": 1, "failed": 0} {
		f.add("insighthub_deny_list_reads_total", counter(per), "function", "ingest", "instance", "a", "outcome", outcome)
	}
	f.add("insighthub_access_unrecorded_total", counter(0), "function", "api", "instance", "a")
	f.detector(now)
}

func (f *fleet) detector(now float64) {
	detect := []string{"function", "detect", "instance", "a"}
	shard := slices.Concat(detect, []string{"shard", "shardId-000000000000"})
	f.add("insighthub_detect_handled_timestamp_seconds", func(i int) float64 { return now + 5*float64(i-windows) }, shard...)
	f.add("insighthub_detect_arrival_timestamp_seconds", func(i int) float64 { return now + 5*float64(i-windows) - 3.5 }, shard...)
	f.add("insighthub_detect_series", constant(80), shard...)
	f.add("insighthub_detect_state_bytes", constant(150_000), detect...)
	f.add("insighthub_detect_poison_records_total", counter(0), detect...)
	for name, outcomes := range map[string]map[string]float64{
		"invocations":     {"done": 1.6, "failed": 0},
		"events":          {"scored": 3800, "unscored": 150, "late": 40, "bad": 10, "refused": 0},
		"notifications":   {"sent": 0.5, "failed": 0, "left_out": 0},
		"scores_exported": {"written": 0.5, "failed": 0, "left_out": 0},
	} {
		for outcome, per := range outcomes {
			f.add("insighthub_detect_"+name+"_total", counter(per), slices.Concat(detect, []string{"outcome", outcome})...)
		}
	}
	for kind, per := range map[string]float64{"score": 0.4, "machine": 0.1, "threshold": 0, "rate": 0, "no_data": 0} {
		f.add("insighthub_anomalies_total", counter(per), slices.Concat(detect, []string{"kind", kind, "severity", "warning"})...)
	}
}

func constant(v float64) func(int) float64  { return func(int) float64 { return v } }
func counter(per float64) func(int) float64 { return func(i int) float64 { return per * float64(i) } }

// histogram has 100 observations per unit: 90 up to 10 ms, 9 up to 100 ms, 1 up to 1 s.
func (f *fleet) histogram(name string, units func(int) float64, labels ...string) {
	times := func(n float64) func(int) float64 { return func(i int) float64 { return n * units(i) } }
	for le, n := range map[string]float64{"0.01": 90, "0.1": 99, "1": 100, "+Inf": 100} {
		f.add(name+"_bucket", times(n), slices.Concat(labels, []string{"le", le})...)
	}
	f.add(name+"_sum", times(1.4), labels...)
	f.add(name+"_count", times(100), labels...)
	f.seen[name] = true
}

// add appends a time series of remote write 1.0.
func (f *fleet) add(name string, value func(window int) float64, labels ...string) {
	f.seen[name] = true
	pairs := [][2]string{{"__name__", name}}
	for i := 0; i < len(labels); i += 2 {
		pairs = append(pairs, [2]string{labels[i], labels[i+1]})
	}
	slices.SortFunc(pairs, func(a, b [2]string) int { return bytes.Compare([]byte(a[0]), []byte(b[0])) })
	var out []byte
	for _, pair := range pairs {
		out = message(out, 1, message(message(nil, 1, []byte(pair[0])), 2, []byte(pair[1])))
	}
	for i := range windows {
		at := f.end.Add(time.Duration(i+1-windows) * 5 * time.Second)
		sample := protowire.AppendFixed64(protowire.AppendTag(nil, 1, protowire.Fixed64Type), math.Float64bits(value(i)))
		sample = protowire.AppendVarint(protowire.AppendTag(sample, 2, protowire.VarintType), uint64(at.UnixMilli()))
		out = message(out, 2, sample)
	}
	f.series = message(f.series, 1, out)
}

func message(dst []byte, number protowire.Number, content []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(dst, number, protowire.BytesType), content)
}

// write sends the time series to a Prometheus server.
func (f *fleet) write(t *testing.T, url string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/api/v1/write", bytes.NewReader(snappy.Encode(nil, f.series)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-protobuf")
	req.Header.Set("Content-Encoding", "snappy")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusNoContent {
		t.Fatalf("remote write: %s", strconv.Itoa(res.StatusCode))
	}
}

// TestFleetHasAllMetrics checks that the test data has exactly the metrics of names.go.
func TestFleetHasAllMetrics(t *testing.T) {
	f := newFleet(time.Unix(0, 0))
	known := map[string]bool{}
	for _, name := range slices.Concat(grafana.KPIMetrics(), grafana.AnomalyMetrics(), grafana.FunctionMetrics()) {
		known[name] = true
		if !f.seen[name] {
			t.Errorf("the fleet lacks %s", name)
		}
	}
	for name := range f.seen {
		base := name
		for _, suffix := range []string{"_sum", "_count", "_bucket"} {
			base = trim(base, suffix)
		}
		if !known[name] && !known[base] && !known[base+"_bucket"] {
			t.Errorf("the fleet has %s, which is not in names.go", name)
		}
	}
}
