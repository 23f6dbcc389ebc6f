package detect

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/shardstate"
	"github.com/insighthub/insighthub/lib/shardstate/shardstatetest"
	"github.com/insighthub/insighthub/lib/telemetry"
)

const second = telemetry.Micros(1e6)

// start is the time of a test stream's first record, in the middle of an hour.
var start = telemetry.MicrosOf(time.Date(2026, 11, 23, 12, 20, 0, 0, time.UTC))

// testStream is the records of a shard; a record without batches is a poison record.
type testStream struct{ records []testRecord }

type testRecord struct {
	arrival telemetry.Micros
	batches []*telemetry.Batch
}

func (s *testStream) add(arrival telemetry.Micros, batches ...*telemetry.Batch) {
	s.records = append(s.records, testRecord{arrival, batches})
}

// batch returns a batch of a gateway of site plant.
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

// testSource decodes payloads of the form "shard from to", with indices of a stream's
// records.
type testSource struct{ stream *testStream }

func (s testSource) Records(dst []telemetry.Record, payload []byte) ([]telemetry.Record, error) {
	var shard string
	var from, to int
	if _, err := fmt.Sscan(string(payload), &shard, &from, &to); err != nil {
		return dst, err
	}
	for i := from; i < to; i++ {
		dst = append(dst, telemetry.Record{
			Shard: telemetry.ShardID(shard), SequenceNumber: telemetry.Sequence(fmt.Sprint(i + 1)),
			Arrival: s.stream.records[i].arrival.Time(), Data: fmt.Append(nil, i),
		})
	}
	return dst, nil
}

func (s testSource) Messages(dst [][]byte, data []byte) ([][]byte, error) {
	var i int
	if _, err := fmt.Sscan(string(data), &i); err != nil {
		return dst, err
	}
	if len(s.stream.records[i].batches) == 0 {
		return dst, fmt.Errorf("%w: poison record", telemetry.ErrInvalid)
	}
	for k := range s.stream.records[i].batches {
		dst = append(dst, fmt.Appendf(nil, "%d %d", i, k))
	}
	return dst, nil
}

func (testSource) Response(telemetry.Sequence) []byte { return []byte("done") }

func (s testSource) Decode(message []byte, into *telemetry.Batch) error {
	var i, k int
	if _, err := fmt.Sscan(string(message), &i, &k); err != nil {
		return err
	}
	b := s.stream.records[i].batches[k]
	into.Reset()
	into.Gateway, into.Site, into.Received = b.Gateway, b.Site, b.Received
	for n := range b.Len() {
		into.Append(b.Event(n))
	}
	return nil
}

// fakeAnomalies stores anomalies as the database does.
type fakeAnomalies struct {
	stored map[string]directory.Anomaly
	order  []string
	err    error
	// conflict is the first duplicate that differs from what is stored.
	conflict string
	// unknown are the ends of anomalies that are not stored.
	unknown []string
}

// End stores ends as the database does.
func (k *fakeAnomalies) End(_ context.Context, ended []directory.Anomaly) error {
	if k.err != nil {
		return k.err
	}
	for _, a := range ended {
		id := ID(&a)
		was, ok := k.stored[id]
		if !ok {
			k.unknown = append(k.unknown, describe(a))
			continue
		}
		if a.Late {
			if a.BeganAt < was.BeganAt && a.Value != nil {
				was.BeganAt, was.Value, was.Message = a.BeganAt, a.Value, a.Message
			}
			was.EndedAt = max(was.EndedAt, a.EndedAt)
			k.stored[id] = was
			continue
		}
		if was.EndedAt != 0 && (a.EndReason != directory.EndPast || a.EndedAt <= was.EndedAt) {
			if was.EndedAt != a.EndedAt && k.conflict == "" && !a.Late {
				k.conflict = fmt.Sprint(describe(was), " ended twice, at ", was.EndedAt, " and ", a.EndedAt)
			}
			continue
		}
		was.EndedAt, was.EndReason = a.EndedAt, a.EndReason
		k.stored[id] = was
	}
	return nil
}

// of returns what became of the anomalies of a kind, in the order of their times: the
// second of the time, the value, that of the end and its reason, and "late".
func (k *fakeAnomalies) of(kind directory.AnomalyKind) string {
	var found []directory.Anomaly
	for _, a := range k.stored {
		if a.Kind == kind {
			if a.BeganAt != 0 { // that is the time which the database has
				a.Time = a.BeganAt
			}
			found = append(found, a)
		}
	}
	slices.SortFunc(found, func(a, b directory.Anomaly) int {
		return cmp.Or(cmp.Compare(a.Time, b.Time), cmp.Compare(a.Lag, b.Lag), strings.Compare(describe(a), describe(b)))
	})
	seconds := func(at telemetry.Micros) string { return strconv.FormatFloat(float64(at-start)/1e6, 'f', -1, 64) }
	var out []string
	for _, a := range found {
		text := fmt.Sprint(seconds(a.Time))
		if a.Value != nil {
			text += fmt.Sprint("=", *a.Value)
		}
		text += " active"
		if !a.Active() {
			text = strings.TrimSuffix(text, "active") + fmt.Sprint("to ", seconds(a.EndedAt), " ", a.EndReason)
		}
		if a.Late {
			text += fmt.Sprint(" late ", a.Lag)
		}
		out = append(out, text)
	}
	return strings.Join(out, ", ")
}

func (k *fakeAnomalies) Add(_ context.Context, found []directory.Anomaly) (out AddResult, err error) {
	if k.err != nil {
		return out, k.err
	}
	for _, a := range found {
		id := ID(&a)
		if was, ok := k.stored[id]; ok {
			out.Duplicates++
			// Of two events with one identity and different values the first stays.
			differ := was.Value != nil && a.Value != nil && *was.Value != *a.Value
			if describe(was) != describe(a) && !differ && k.conflict == "" {
				k.conflict = describe(was) + ", then " + describe(a)
			}
			continue
		}
		out.Added++
		if a.Value != nil {
			v := *a.Value
			a.Value = &v
		}
		if a.Late {
			a.BeganAt = a.Time
		}
		k.stored[id] = a
		k.order = append(k.order, describe(a))
	}
	return out, nil
}

func equalAnomalies(a, b directory.Anomaly) bool { return describe(a) == describe(b) }

func describe(a directory.Anomaly) string {
	value := math.NaN()
	if a.Value != nil {
		value = *a.Value
	}
	return fmt.Sprintf("%s/%s/%s %s %s@%d value=%v score=%v %s %s",
		a.Gateway, a.Device, a.Metric, a.Kind, a.Rule, a.Time, value, a.Score, a.Severity, a.Message)
}

// fakeNotifier records the ids of anomalies. If err is set, it returns that and sent.
type fakeNotifier struct {
	ids  []string
	err  error
	sent int
}

func (n *fakeNotifier) Notify(_ context.Context, found []directory.Anomaly) (int, error) {
	if n.err != nil {
		return n.sent, n.err
	}
	for i := range found {
		n.ids = append(n.ids, ID(&found[i]))
	}
	return len(found), nil
}

// fakeConfigurations returns configuration and err, and counts the reads.
type fakeConfigurations struct {
	configuration Configuration
	err           error
	reads         int
}

func (o *fakeConfigurations) Configuration(context.Context) (Configuration, error) {
	o.reads++
	return o.configuration, o.err
}

// fixture is a Handler over dependencies in memory.
type fixture struct {
	*Handler
	t              testing.TB
	stream         *testStream
	configurations *fakeConfigurations
	anomalies      *fakeAnomalies
	notifier, ends *fakeNotifier
	objects        shardstate.Objects
	lineage        shardstatetest.Lineage
	limits         Limits
	log            bytes.Buffer
	config         Config // of Handler
	registry       *prometheus.Registry
	now            time.Time
}

func newFixture(tb testing.TB, stream *testStream, rules ...directory.AlarmRule) *fixture {
	tb.Helper()
	f := &fixture{
		t: tb, stream: stream, notifier: &fakeNotifier{}, ends: &fakeNotifier{}, objects: &shardstatetest.Memory{}, now: time.Unix(1e9, 0),
		configurations: &fakeConfigurations{configuration: Configuration{Rules: rules, Machines: DefaultMachines()}},
		anomalies:      &fakeAnomalies{stored: map[string]directory.Anomaly{}},
	}
	f.restart()
	return f
}

// restart replaces the process by a new one, without cached states.
func (f *fixture) restart() {
	f.t.Helper()
	log := slog.New(slog.NewTextHandler(&f.log, nil))
	now := func() time.Time { return f.now }
	codec, err := NewCodec(f.limits)
	if err != nil {
		f.t.Fatal(err)
	}
	states, err := shardstate.New(shardstate.Config[*State]{
		Objects: f.objects, Lineage: f.lineage, Codec: codec, Consumer: "detect", Stream: "s",
	})
	if err != nil {
		f.t.Fatal(err)
	}
	settings := NewSettings(SettingsConfig{Configurations: f.configurations, Log: log, Now: now})
	f.configure(Config{
		Source: testSource{f.stream}, Decoder: testSource{f.stream}, States: states, Anomalies: f.anomalies,
		Notifier: f.notifier, Ends: f.ends, Lineage: f.lineage,
		Settings: settings, Log: log, Now: now,
	})
}

// configure replaces the handler, with a new registry.
func (f *fixture) configure(config Config) {
	f.t.Helper()
	f.registry = prometheus.NewRegistry()
	config.Metrics = f.registry
	f.config = config
	var err error
	if f.Handler, err = New(config); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) invoke(shard string, from, to int) error {
	_, err := f.Invoke(context.Background(), fmt.Appendf(nil, "%s %d %d", shard, from, to))
	return err
}

// all invokes the handler with all records, size at a time.
func (f *fixture) all(size int) {
	f.t.Helper()
	for from := 0; from < len(f.stream.records); from += size {
		if err := f.invoke("s", from, min(from+size, len(f.stream.records))); err != nil {
			f.t.Fatal(err)
		}
	}
}

// counter returns the sum of the counters and gauges of a name and first label value.
func (f *fixture) counter(name, label string) float64 {
	f.t.Helper()
	families, err := f.registry.Gather()
	if err != nil {
		f.t.Fatal(err)
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
		f.t.Fatalf("got no metric %s with label %q", name, label)
	}
	return sum
}

// plant returns a stream of two gateways with two machines of four sensors and a state,
// sampled once a second, five samples a batch. Values jump or have bad quality, gateways
// fall silent, batches are duplicate, late or unsorted, and some records are poison.
func plant(random *rand.Rand, batches int) *testStream {
	stream := &testStream{}
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
			case 0: // poison
				stream.add(arrival)
			case 1: // twice
				stream.add(arrival, b)
			case 2: // with a late batch in the same record
				late := batch(gateway, event("press", "flow", from-3*second, 1000))
				stream.add(arrival, b, late)
				continue
			case 3: // silence
				if random.IntN(3) == 0 {
					continue
				}
			}
			stream.add(arrival, b)
		}
	}
	return stream
}

// withOddTimes adds to a plant's stream values of another time than the present: ahead of
// it, late ones, some of them twice, and the batches that a gateway sends again.
func withOddTimes(random *rand.Rand, stream *testStream) *testStream {
	out := &testStream{}
	for i, r := range stream.records {
		out.add(r.arrival, r.batches...)
		var events []telemetry.Event
		for range random.IntN(4) {
			device := []string{"press", "pump"}[random.IntN(2)]
			away := telemetry.Micros(random.IntN(300)) * second
			if random.IntN(2) == 0 {
				away = -away
			}
			events = append(events, event(device, "flow", r.arrival+away+1, 50*random.NormFloat64()))
		}
		gateway := []string{"a", "b"}[random.IntN(2)]
		switch random.IntN(6) {
		case 0:
			out.add(r.arrival, batch(gateway, events...))
			if random.IntN(2) == 0 {
				out.add(r.arrival, batch(gateway, events...))
			}
		case 1:
			out.add(r.arrival, stream.records[random.IntN(i+1)].batches...)
		}
	}
	return out
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

// rules returns a rule of each kind for the plant, and one for an unscored series.
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

// expectHoweverCut folds a stream in invocations of one, two and all records, with the state
// decoded between them, and expects the same anomalies of a kind each time.
func expectHoweverCut(t *testing.T, stream *testStream, kind directory.AnomalyKind, want string, rules ...directory.AlarmRule) {
	t.Helper()
	for _, size := range []int{1, 2, 100} {
		f := newFixture(t, stream, rules...)
		for from := 0; from < len(stream.records); from += size {
			if err := f.invoke("s", from, min(from+size, len(stream.records))); err != nil {
				t.Fatal(err)
			}
			f.restart() // the state is decoded each time
		}
		if got := f.anomalies.of(kind); got != want {
			t.Errorf("invocations of %d records: got %s, want %s", size, got, want)
		}
		if f.anomalies.conflict != "" || len(f.anomalies.unknown) > 0 {
			t.Errorf("got conflict %s, unknown %v", f.anomalies.conflict, f.anomalies.unknown)
		}
	}
}
