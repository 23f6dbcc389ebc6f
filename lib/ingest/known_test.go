package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// fakeNames is a store with the names of one gateway. A list is crowded from two on.
type fakeNames struct {
	err     error
	devices []telemetry.DeviceName
	metrics []telemetry.MetricName
	lookUps int
}

func (f *fakeNames) Crowded(context.Context, telemetry.GatewayID) (names directory.CrowdedNames, err error) {
	f.lookUps++
	if len(f.devices) >= 2 {
		names.Devices = f.devices
	}
	if len(f.metrics) >= 2 {
		names.Metrics = f.metrics
	}
	return names, f.err
}

// limitedHandler serves requests with a bound of 3 devices and 3 metrics.
type limitedHandler struct {
	*Handler

	names     *fakeNames
	published memory
	now       time.Time
}

func newLimitedHandler(t *testing.T, names *fakeNames) *limitedHandler {
	t.Helper()
	l := &limitedHandler{names: names, now: testNow()}
	h, err := New(Config{
		Publisher: &l.published, Names: names, Metrics: prometheus.NewRegistry(),
		Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return l.now },
		DevicesPerGateway: 3, MetricsPerGateway: 3,
	})
	if err != nil {
		t.Fatal(err)
	}
	l.Handler = h
	return l
}

// send posts an event for each "device/metric" and returns the codes of the rejected ones.
func (l *limitedHandler) send(t *testing.T, series ...string) map[float64]string {
	t.Helper()
	l.published.events = nil
	events := make([]string, len(series))
	for i, s := range series {
		device, metric, _ := strings.Cut(s, "/")
		events[i] = fmt.Sprintf(`{"device":%q,"metric":%q,"time":%d,"value":%d}`, device, metric, telemetry.MicrosOf(l.now)-100, i)
	}
	r := jsonRequest(document(events...))
	r.context = map[string]any{"authorizer": map[string]any{"lambda": map[string]any{
		"gateway": "gw-1", "site": "plant-1", "role": "gateway", "expires": l.now.Unix() + 60,
	}}}
	a := invoke(t, l.Handler, r.payload(t))
	rejected := map[float64]string{}
	for _, e := range a.body["errors"].([]any) {
		rejected[e.(map[string]any)["index"].(float64)] = e.(map[string]any)["code"].(string)
	}
	if want := float64(len(series) - len(rejected)); a.body["accepted"] != want || float64(len(l.published.events)) != want {
		t.Errorf("%v: got %s and published %d, want %v accepted", series, a.Body, len(l.published.events), want)
	}
	return rejected
}

func expect(t *testing.T, got map[float64]string, want map[float64]string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rejected (-want +got):\n%s", diff)
	}
}

// TestRejectsNamesBeyondTheBound: a gateway at its bound sends one known and one new name.
func TestRejectsNamesBeyondTheBound(t *testing.T) {
	t.Parallel()
	l := newLimitedHandler(t, &fakeNames{
		devices: []telemetry.DeviceName{"d1", "d2", "d3"}, metrics: []telemetry.MetricName{"m1", "m2", "m3"},
	})
	expect(t, l.send(t, "d1/m1", "d1/new"), map[float64]string{1: "too_many_metrics"})
	expect(t, l.send(t, "new/m1", "d2/m1", "new/new"), map[float64]string{0: "too_many_devices", 2: "too_many_devices"})
	// The response names the bound and what to do.
	a := invoke(t, l.Handler, jsonRequest(document(goodEvent)).payload(t))
	const want = "device: new, and the gateway has its 3 devices already: use one of them, or delete one that is not needed"
	if a.StatusCode != 422 || !strings.Contains(a.Body, want) {
		t.Errorf("got %d %s, want %q", a.StatusCode, a.Body, want)
	}
}

func TestNamesOfOneBatchCountAtOnce(t *testing.T) {
	t.Parallel()
	for _, stored := range [][]telemetry.MetricName{{"m0", "m1"}, nil} {
		l := newLimitedHandler(t, &fakeNames{metrics: stored})
		l.send(t, "d1/m1", "d1/m0")
		expect(t, l.send(t, "d1/m3", "d1/m4", "d1/m3", "d2/m5"), map[float64]string{1: "too_many_metrics", 3: "too_many_metrics"})
		expect(t, l.send(t, "d1/m4", "d1/m3"), map[float64]string{0: "too_many_metrics"})
	}
}

// TestIndexesAmongOtherFaults: indexes are those of the request, whatever else is rejected.
func TestIndexesAmongOtherFaults(t *testing.T) {
	t.Parallel()
	l := newLimitedHandler(t, &fakeNames{metrics: []telemetry.MetricName{"m1", "m2", "m3"}})
	expect(t, l.send(t, "/m1", "d1/new", "d1/m1", "d1/", "d1/new2", "d1/m2", "\n/new3"), map[float64]string{
		0: "bad_name", 1: "too_many_metrics", 3: "bad_name", 4: "too_many_metrics", 6: "bad_name",
	})
}

// TestKnownNamesAreNotLookedUp: only a batch with a name that was not seen asks the store.
func TestKnownNamesAreNotLookedUp(t *testing.T) {
	t.Parallel()
	names := &fakeNames{devices: []telemetry.DeviceName{"d1"}, metrics: []telemetry.MetricName{"m1", "m2"}}
	l := newLimitedHandler(t, names)
	for range 3 {
		expect(t, l.send(t, "d1/m1", "d1/m2"), map[float64]string{})
	}
	if names.lookUps != 1 {
		t.Errorf("%d look-ups, want 1", names.lookUps)
	}
	expect(t, l.send(t, "d1/m3"), map[float64]string{}) // has room, and counts as known until the store has it
	expect(t, l.send(t, "d1/m3"), map[float64]string{})
	if names.lookUps != 2 {
		t.Errorf("%d look-ups, want 2", names.lookUps)
	}
	// The store took another process's name: that is noticed after a while.
	names.metrics = append(names.metrics, "m4")
	l.now = l.now.Add(pendingLifetime)
	expect(t, l.send(t, "d1/m3", "d1/m4"), map[float64]string{0: "too_many_metrics"})
}

// TestManyNewNamesAtOnce: a gateway that was not crowded sends more new names than the store
// has room for. That is noticed when they are looked up once more, and only once.
func TestManyNewNamesAtOnce(t *testing.T) {
	t.Parallel()
	names := &fakeNames{devices: []telemetry.DeviceName{"d0"}}
	l := newLimitedHandler(t, names)
	expect(t, l.send(t, "d1/m1", "d2/m1", "d3/m1"), map[float64]string{})
	names.devices = append(names.devices, "d1", "d2") // and the store refused d3
	l.now = l.now.Add(pendingLifetime)
	expect(t, l.send(t, "d1/m1", "d2/m1", "d3/m1"), map[float64]string{2: "too_many_devices"})
	// Where there was room, nothing is looked up any more.
	names = &fakeNames{}
	l = newLimitedHandler(t, names)
	for range 5 {
		expect(t, l.send(t, "d1/m1", "d2/m1"), map[float64]string{})
		l.now = l.now.Add(pendingLifetime)
	}
	if names.lookUps != 2 {
		t.Errorf("%d look-ups, want 2", names.lookUps)
	}
}

// TestRoomThatIsMade: after a name was deleted, another one is accepted within a second.
func TestRoomThatIsMade(t *testing.T) {
	t.Parallel()
	names := &fakeNames{metrics: []telemetry.MetricName{"m1", "m2", "m3"}}
	l := newLimitedHandler(t, names)
	expect(t, l.send(t, "d1/m4"), map[float64]string{0: "too_many_metrics"})
	names.metrics = names.metrics[:2]
	l.now = l.now.Add(lookUpPause)
	expect(t, l.send(t, "d1/m4"), map[float64]string{})
	// The deleted one is looked up again before it counts as known for ever.
	names.metrics = append(names.metrics, "m4")
	l.now = l.now.Add(viewLifetime)
	expect(t, l.send(t, "d1/m3", "d1/m1"), map[float64]string{0: "too_many_metrics"})
}

// TestIngestGoesOnWithoutTheStore: while the store is unavailable every name is accepted,
// and it is asked once in a while.
func TestIngestGoesOnWithoutTheStore(t *testing.T) {
	t.Parallel()
	names := &fakeNames{err: errors.New("unavailable"), metrics: []telemetry.MetricName{"m1", "m2", "m3"}}
	l := newLimitedHandler(t, names)
	for i := range 20 {
		expect(t, l.send(t, fmt.Sprintf("d%d/m%d", i%3, 10+i%3)), map[float64]string{})
	}
	if names.lookUps != 1 {
		t.Errorf("%d look-ups, want 1", names.lookUps)
	}
	names.err = nil
	l.now = l.now.Add(pendingLifetime)
	expect(t, l.send(t, "d1/m1", "d1/m10"), map[float64]string{1: "too_many_metrics"})
}
