package detect

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/shardstate"
	"github.com/insighthub/insighthub/lib/shardstate/shardstatetest"
	"github.com/insighthub/insighthub/lib/telemetry"
)

const second = telemetry.Micros(1e6)

// start is when the tests' streams begin, in the middle of an hour.
var start = telemetry.MicrosOf(time.Date(2026, 11, 23, 12, 20, 0, 0, time.UTC))

// tape is the records of a shard; a record with no batch is rubbish.
type tape struct{ records []taped }

type taped struct {
	arrival telemetry.Micros
	batches []*telemetry.Batch
}

func (p *tape) add(arrival telemetry.Micros, batches ...*telemetry.Batch) {
	p.records = append(p.records, taped{arrival, batches})
}

// batch is of the gateway's events "device/metric" at a time.
func batch(gateway string, events ...telemetry.Event) *telemetry.Batch {
	b := &telemetry.Batch{Gateway: telemetry.GatewayID(gateway), Site: "plant"}
	for _, e := range events {
		b.Append(e)
	}
	return b
}

func event(device, metric string, at telemetry.Micros, value float64) telemetry.Event {
	return telemetry.Event{Device: telemetry.DeviceName(device), Metric: telemetry.MetricName(metric), Time: at, Value: value}
}

// tapeSource reads payloads "shard from to" of a tape.
type tapeSource struct{ tape *tape }

func (s tapeSource) Records(dst []telemetry.Record, payload []byte) ([]telemetry.Record, error) {
	var shard string
	var from, to int
	if _, err := fmt.Sscan(string(payload), &shard, &from, &to); err != nil {
		return dst, err
	}
	for i := from; i < to; i++ {
		dst = append(dst, telemetry.Record{
			Shard: telemetry.ShardID(shard), SequenceNumber: telemetry.Sequence(fmt.Sprint(i + 1)),
			Arrival: s.tape.records[i].arrival.Time(), Data: fmt.Append(nil, i),
		})
	}
	return dst, nil
}

func (s tapeSource) Messages(dst [][]byte, data []byte) ([][]byte, error) {
	var i int
	if _, err := fmt.Sscan(string(data), &i); err != nil {
		return dst, err
	}
	if len(s.tape.records[i].batches) == 0 {
		return dst, fmt.Errorf("%w: rubbish", telemetry.ErrInvalid)
	}
	for k := range s.tape.records[i].batches {
		dst = append(dst, fmt.Appendf(nil, "%d %d", i, k))
	}
	return dst, nil
}

func (tapeSource) Response(telemetry.Sequence) []byte { return []byte("done") }

func (s tapeSource) Decode(message []byte, into *telemetry.Batch) error {
	var i, k int
	if _, err := fmt.Sscan(string(message), &i, &k); err != nil {
		return err
	}
	b := s.tape.records[i].batches[k]
	into.Reset()
	into.Gateway, into.Site, into.Received = b.Gateway, b.Site, b.Received
	for n := range b.Len() {
		into.Append(b.Event(n))
	}
	return nil
}

// book keeps anomalies as the database does.
type book struct {
	kept  map[string]directory.Anomaly
	order []string
	adds  int
	err   error
	// contradiction is the first one that came again and was not the same.
	contradiction string
}

func (k *book) Add(_ context.Context, found []directory.Anomaly) (out AddResult, err error) {
	if k.err != nil {
		return out, k.err
	}
	k.adds++
	for _, a := range found {
		id := ID(&a)
		if was, ok := k.kept[id]; ok {
			out.Duplicates++
			if describe(was) != describe(a) && k.contradiction == "" {
				k.contradiction = describe(was) + " and then " + describe(a)
			}
			continue
		}
		out.Added++
		if a.Value != nil {
			v := *a.Value
			a.Value = &v
		}
		k.kept[id] = a
		k.order = append(k.order, describe(a))
	}
	return out, nil
}

func describe(a directory.Anomaly) string {
	value := math.NaN()
	if a.Value != nil {
		value = *a.Value
	}
	return fmt.Sprintf("%s/%s/%s %s %s@%d value=%v score=%v %s %s", a.Gateway, a.Device, a.Metric, a.Kind, a.Rule, a.Time, value, a.Score, a.Severity, a.Message)
}

// told is who is told.
type told struct {
	ids []string
	err error
	cut int
}

func (n *told) Notify(_ context.Context, found []directory.Anomaly) (int, error) {
	if n.err != nil {
		return n.cut, n.err
	}
	for i := range found {
		n.ids = append(n.ids, ID(&found[i]))
	}
	return len(found), nil
}

// office is where the configuration is kept.
type office struct {
	configuration Configuration
	err           error
	reads         int
}

func (o *office) Configuration(context.Context) (Configuration, error) {
	o.reads++
	return o.configuration, o.err
}

type lineage map[string][]string // parents

func (l lineage) Shard(_ context.Context, id string) (parents []string, firstHash, lastHash string, err error) {
	ranges := map[string][2]string{ // MD5 of "a" begins with 0c, of "b" with 92
		"low":  {"0", "170141183460469231731687303715884105727"},
		"high": {"170141183460469231731687303715884105728", "340282366920938463463374607431768211455"},
	}
	if r, ok := ranges[id]; ok {
		return l[id], r[0], r[1], nil
	}
	return l[id], "0", "340282366920938463463374607431768211455", nil
}

// bench is a handler over memory.
type bench struct {
	*Handler
	t        testing.TB
	tape     *tape
	office   *office
	book     *book
	told     *told
	objects  shardstate.Objects
	family   lineage
	limits   Limits
	log      bytes.Buffer
	config   Config // of Handler
	registry *prometheus.Registry
	now      time.Time
}

func newBench(tb testing.TB, tape *tape, rules ...directory.AlarmRule) *bench {
	tb.Helper()
	b := &bench{
		t: tb, tape: tape, office: &office{configuration: Configuration{Rules: rules, Machines: DefaultMachines()}},
		book: &book{kept: map[string]directory.Anomaly{}}, told: &told{}, objects: &shardstatetest.Memory{}, now: time.Unix(1e9, 0),
	}
	b.cold()
	return b
}

// cold puts a new process in the place of the old one.
func (b *bench) cold() {
	b.t.Helper()
	log := slog.New(slog.NewTextHandler(&b.log, nil))
	now := func() time.Time { return b.now }
	codec, err := NewCodec(b.limits)
	if err != nil {
		b.t.Fatal(err)
	}
	states, err := shardstate.New(shardstate.Config[*State]{Objects: b.objects, Lineage: b.family, Codec: codec, Consumer: "detect", Stream: "s"})
	if err != nil {
		b.t.Fatal(err)
	}
	settings := NewSettings(SettingsConfig{Configurations: b.office, Log: log, Now: now})
	b.configure(Config{
		Source: tapeSource{b.tape}, Decoder: tapeSource{b.tape}, States: states, Anomalies: b.book, Notifier: b.told, Settings: settings,
		Log: log, Now: now,
	})
}

// configure makes the handler anew, with metrics of its own.
func (b *bench) configure(config Config) {
	b.t.Helper()
	b.registry = prometheus.NewRegistry()
	config.Metrics = b.registry
	b.config = config
	var err error
	if b.Handler, err = New(config); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) invoke(shard string, from, to int) error {
	_, err := b.Invoke(context.Background(), fmt.Appendf(nil, "%s %d %d", shard, from, to))
	return err
}

// all invokes with the whole tape, size records at a time.
func (b *bench) all(size int) {
	b.t.Helper()
	for from := 0; from < len(b.tape.records); from += size {
		if err := b.invoke("s", from, min(from+size, len(b.tape.records))); err != nil {
			b.t.Fatal(err)
		}
	}
}

// counter returns the sum of the counters of that name and label.
func (b *bench) counter(name, label string) float64 {
	b.t.Helper()
	families, err := b.registry.Gather()
	if err != nil {
		b.t.Fatal(err)
	}
	sum, found := 0.0, false
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name && (label == "" || m.GetLabel()[0].GetValue() == label) {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
				found = true
			}
		}
	}
	if !found {
		b.t.Fatalf("no metric %s of %s", name, label)
	}
	return sum
}

// plant is a tape of two gateways with two machines of four sensors and a state,
// sampled once a second, five samples a batch. Now and then a sensor jumps or hangs,
// batches come twice, late, in another order, of bad quality, or are rubbish.
func plant(random *rand.Rand, batches int) *tape {
	p := &tape{}
	levels := map[string]float64{}
	for n := range batches {
		for _, gateway := range []string{"a", "b"} {
			from := start + telemetry.Micros(5*n)*second
			b := &telemetry.Batch{Gateway: telemetry.GatewayID(gateway), Site: "plant"}
			for i := range telemetry.Micros(5) {
				for _, device := range []string{"press", "pump"} {
					for _, metric := range []string{"flow", "heat", "power", "shake", "state"} {
						key := gateway + device + metric
						if random.IntN(400) == 0 {
							levels[key] += 40 * random.NormFloat64()
						}
						e := event(device, metric, from+i*second, levels[key]+random.NormFloat64())
						if random.IntN(100) == 0 {
							e.Quality = telemetry.Bad
						}
						b.Append(e)
					}
				}
			}
			if random.IntN(5) == 0 { // by series, not by time
				b = bySeries(b)
			}
			arrival := from + 5*second + 20_000
			switch random.IntN(12) {
			case 0:
				p.add(arrival)
			case 1:
				p.add(arrival, b)
			case 2: // two at once, the later one first
				late := batch(gateway, event("press", "flow", from-3*second, 1000))
				p.add(arrival, b, late)
				continue
			case 3: // silence
				if random.IntN(3) == 0 {
					continue
				}
			}
			p.add(arrival, b)
		}
	}
	return p
}

func bySeries(b *telemetry.Batch) *telemetry.Batch {
	out := &telemetry.Batch{Gateway: b.Gateway, Site: b.Site}
	for d := range b.Devices {
		for m := range b.Metrics {
			for i := range b.Len() {
				if int(b.Device[i]) == d && int(b.Metric[i]) == m {
					out.Append(b.Event(i))
				}
			}
		}
	}
	return out
}

// rules are one of each kind on the plant.
func rules() []directory.AlarmRule {
	low, high, change := -20.0, 20.0, 15.0
	watch := directory.AlarmRule{Site: "plant", Gateway: "a", Device: "press", Metric: "flow", Severity: directory.Critical, Enabled: true}
	threshold, rate, silence, state := watch, watch, watch, watch
	threshold.ID, threshold.Kind, threshold.Low, threshold.High, threshold.Hysteresis = "t", directory.ByThreshold, &low, &high, 5
	rate.ID, rate.Kind, rate.PerSecond, rate.Device = "r", directory.ByRate, &change, "pump"
	silence.ID, silence.Kind, silence.Silence, silence.Gateway = "n", directory.ByNoData, 8*time.Second, "b"
	state.ID, state.Kind, state.High, state.Metric = "s", directory.ByThreshold, &high, "state"
	return []directory.AlarmRule{threshold, rate, silence, state}
}
