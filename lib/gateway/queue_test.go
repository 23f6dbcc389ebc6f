package gateway

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/insighthub/insighthub/lib/rtc"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// reading is an event in short: device, value, read time.
type reading struct {
	Device telemetry.DeviceName
	Value  float64
	Read   telemetry.Micros
}

// blockOf returns the block of these readings, all of metric "m".
func blockOf(tb testing.TB, c *catalog, readings ...reading) *block {
	tb.Helper()
	var batch telemetry.Batch
	var read []telemetry.Micros
	for _, r := range readings {
		batch.Append(telemetry.Event{Device: r.Device, Metric: "m", Time: r.Read, Value: r.Value})
		read = append(read, r.Read)
	}
	b, err := c.add(&batch, read)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func taken(q *queue, now telemetry.Micros, s *selection, limit int) []reading {
	var c columns
	devices := q.devices
	q.take(&c, now, s, limit)
	var out []reading
	for i := range c.len() {
		out = append(out, reading{devices[c.device[i]], c.value[i], c.read[i]})
	}
	return out
}

func selectionOf(names ...telemetry.DeviceName) *selection {
	s := &selection{name: map[telemetry.DeviceName]bool{}}
	for _, n := range names {
		s.name[n] = true
	}
	return s
}

func TestFreshness(t *testing.T) {
	blocks := [][]reading{
		{{"a", 1, 100}, {"b", 1, 100}},
		{{"a", 2, 200}, {"rare", 1, 200}},
		{{"a", 3, 300}, {"b", 2, 300}},
		{{"a", 4, 400}},
	}
	all := []reading{{"a", 1, 100}, {"b", 1, 100}, {"a", 2, 200}, {"rare", 1, 200}, {"a", 3, 300}, {"b", 2, 300}, {"a", 4, 400}}
	for name, c := range map[string]struct {
		maxAge, now telemetry.Micros
		selection   *selection
		maxEvents   int
		want        []reading
		superseded  uint64
	}{
		"all are young":           {1000, 500, nil, 100, all, 0},
		"the old ones are passed": {150, 450, nil, 100, []reading{{"rare", 1, 200}, {"a", 3, 300}, {"b", 2, 300}, {"a", 4, 400}}, 3},
		// The newest of each series stays, however old it is, with its own time.
		"long after":                {150, 100000, nil, 100, []reading{{"rare", 1, 200}, {"b", 2, 300}, {"a", 4, 400}}, 4},
		"only the newest (max_hz)":  {0, 450, nil, 100, []reading{{"rare", 1, 200}, {"b", 2, 300}, {"a", 4, 400}}, 4},
		"full":                      {1000, 500, nil, 6, []reading{{"rare", 1, 200}, {"b", 2, 300}, {"a", 4, 400}}, 4},
		"only some devices":         {1000, 500, selectionOf("rare"), 100, []reading{{"rare", 1, 200}}, 0},
		"none of the devices":       {1000, 500, selectionOf("x"), 100, nil, 0},
		"a boundary is still young": {300, 400, nil, 100, all, 0},
	} {
		t.Run(name, func(t *testing.T) {
			cat := newCatalog()
			q := queue{maxAge: c.maxAge, maxEvents: c.maxEvents}
			for _, b := range blocks {
				q.push(blockOf(t, cat, b...))
			}
			if diff := cmp.Diff(c.want, taken(&q, c.now, c.selection, 1000)); diff != "" {
				t.Errorf("(-want +have)\n%s", diff)
			}
			if !q.empty() || q.superseded != c.superseded {
				t.Errorf("%d events left, %d superseded, want 0 and %d", q.events, q.superseded, c.superseded)
			}
		})
	}
}

// TestQueueProperties: whatever is published and taken, per series values come in order, the newest
// always comes, nothing old that was superseded comes, nothing comes twice, and the queue is bounded.
func TestQueueProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const devices = 5
		maxEvents, maxAge := rapid.IntRange(devices*2, 50).Draw(t, "maxEvents"), telemetry.Micros(rapid.IntRange(0, 500).Draw(t, "maxAge"))
		cat, q := newCatalog(), queue{maxAge: maxAge, maxEvents: maxEvents}
		now := telemetry.Micros(1)
		newest, got := map[telemetry.DeviceName]reading{}, map[telemetry.DeviceName]float64{}
		published, received, value := 0, 0, 0.0
		receive := func(limit int) {
			for _, r := range taken(&q, now, nil, limit) {
				received++
				if r.Value <= got[r.Device] {
					t.Fatalf("%v after value %v", r, got[r.Device])
				}
				got[r.Device] = r.Value
				if r != newest[r.Device] && now-r.Read > maxAge {
					t.Fatalf("at %d got %v, which is old; the newest is %v", now, r, newest[r.Device])
				}
			}
		}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			now += telemetry.Micros(rapid.IntRange(0, 200).Draw(t, "pass"))
			var batch telemetry.Batch
			var read []telemetry.Micros
			for range rapid.IntRange(1, 8).Draw(t, "events") {
				value++
				r := reading{telemetry.DeviceName('a' + rune(rapid.IntRange(0, devices-1).Draw(t, "device"))), value, now}
				newest[r.Device] = r
				batch.Append(telemetry.Event{Device: r.Device, Metric: "m", Time: now, Value: value})
				read = append(read, now)
			}
			published += batch.Len()
			b, err := cat.add(&batch, read)
			if err != nil {
				t.Fatal(err)
			}
			q.push(b)
			if q.events > maxEvents {
				t.Fatalf("%d events wait, want at most %d", q.events, maxEvents)
			}
			if rapid.Bool().Draw(t, "take") {
				receive(rapid.IntRange(1, 20).Draw(t, "limit"))
			}
		}
		for !q.empty() {
			receive(7)
		}
		for d, r := range newest {
			if got[d] != r.Value {
				t.Fatalf("the newest of %s, %v, did not come; last was %v", d, r, got[d])
			}
		}
		if received+int(q.superseded) != published {
			t.Fatalf("%d received and %d superseded of %d", received, q.superseded, published)
		}
	})
}

// TestManySeries: a gateway with more series than the queue has events still gets each of them through.
func TestManySeries(t *testing.T) {
	cat, q := newCatalog(), queue{maxAge: 1000, maxEvents: 10}
	for round := range 10 {
		var readings []reading
		for d := range 40 {
			readings = append(readings, reading{telemetry.DeviceName('A' + rune(d)), float64(round), telemetry.Micros(round)})
		}
		q.push(blockOf(t, cat, readings...))
	}
	last := map[telemetry.DeviceName]float64{}
	for !q.empty() {
		for _, r := range taken(&q, 5000, nil, 1000) {
			last[r.Device] = r.Value
		}
	}
	if len(last) != 40 {
		t.Errorf("got %d series, want 40", len(last))
	}
	for d, v := range last {
		if v != 9 {
			t.Errorf("%s: got %v, want the newest", d, v)
		}
	}
}

func TestBadBatches(t *testing.T) {
	good := func() (*telemetry.Batch, []telemetry.Micros) {
		var b telemetry.Batch
		b.Append(telemetry.Event{Device: "d", Metric: "m", Time: 1, Value: 1})
		return &b, []telemetry.Micros{1}
	}
	for name, c := range map[string]struct {
		change func(b *telemetry.Batch, read *[]telemetry.Micros)
		want   string
	}{
		"no event":        {func(b *telemetry.Batch, _ *[]telemetry.Micros) { b.Reset() }, "0 events, want 1 to 10000"},
		"read times":      {func(_ *telemetry.Batch, r *[]telemetry.Micros) { *r = nil }, "0 read times for 1 events"},
		"columns":         {func(b *telemetry.Batch, _ *[]telemetry.Micros) { b.Value = nil }, "columns differ in length"},
		"device index":    {func(b *telemetry.Batch, _ *[]telemetry.Micros) { b.Device[0] = 1 }, "event 0: device 1 of 1"},
		"metric index":    {func(b *telemetry.Batch, _ *[]telemetry.Micros) { b.Metric[0] = 9 }, "event 0: metric 9 of 1"},
		"quality":         {func(b *telemetry.Batch, _ *[]telemetry.Micros) { b.Quality[0] = 3 }, "event 0: quality 3"},
		"name of device":  {func(b *telemetry.Batch, _ *[]telemetry.Micros) { b.Devices[0] = "" }, "device 0"},
		"name of metric":  {func(b *telemetry.Batch, _ *[]telemetry.Micros) { b.Metrics[0] = "a\x00" }, "metric 0"},
		"too many events": {func(b *telemetry.Batch, _ *[]telemetry.Micros) { b.Time = make([]telemetry.Micros, 10001) }, "10001 events"},
	} {
		t.Run(name, func(t *testing.T) {
			b, read := good()
			c.change(b, &read)
			cat := newCatalog()
			if _, err := cat.add(b, read); !errors.Is(err, telemetry.ErrInvalid) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want ErrInvalid with %q", err, c.want)
			}
			b, read = good()
			if _, err := cat.add(b, read); err != nil {
				t.Errorf("after the bad one: %v", err)
			}
		})
	}
}

// TestSplit: no frame exceeds its limit, and the pieces are the whole.
func TestSplit(t *testing.T) {
	cat := newCatalog()
	var readings []reading
	for i := range 10000 {
		name := telemetry.DeviceName(strings.Repeat("n", 100) + strconv.Itoa(i%200))
		readings = append(readings, reading{name, math.Sqrt(float64(i)), telemetry.Micros(i * i)})
	}
	b := blockOf(t, cat, readings...)
	e, err := newEncoder()
	if err != nil {
		t.Fatal(err)
	}
	parts, err := b.encoded(nil, e)
	if err != nil {
		t.Fatal(err)
	}
	d, err := telemetry.NewDecoder(telemetry.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	var have []reading
	for _, p := range parts {
		if size := rtc.LiveHeaderBytes + rtc.AgeBytes*len(p.read) + len(p.record); size > rtc.LiveFrameBytes {
			t.Errorf("a frame of %d bytes", size)
		}
		var got telemetry.Batch
		if err := d.Decode(p.record, &got); err != nil {
			t.Fatal(err)
		}
		for i := range got.Len() {
			e := got.Event(i)
			have = append(have, reading{e.Device, e.Value, p.read[i]})
		}
	}
	if diff := cmp.Diff(readings, have); diff != "" {
		t.Errorf("(-want +have)\n%.2000s", diff)
	}
	again, _ := b.encoded(nil, e)
	if &again[0].record[0] != &parts[0].record[0] {
		t.Error("the block was encoded twice for the same selection")
	}
}
