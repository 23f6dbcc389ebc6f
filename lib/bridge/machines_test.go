package bridge

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/insighthub/insighthub/lib/kpi"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// table implements Rules with rules that a test changes.
type table struct {
	rules []Rule
	err   error
	reads int
}

func (r *table) Rules(context.Context) ([]Rule, error) {
	r.reads++
	return r.rules, r.err
}

func newMachines(t *testing.T, from *table, now *time.Time) (*Machines, *bytes.Buffer) {
	t.Helper()
	var log bytes.Buffer
	m := NewMachines(MachinesConfig{Rules: from, Log: slog.New(slog.NewTextHandler(&log, nil)), Now: func() time.Time { return *now }})
	return m, &log
}

func rule(gateway, device, metric string) Rule {
	d := kpi.Document{StateMetric: telemetry.MetricName(metric), StaleAfter: 60}
	return Rule{Devices: telemetry.DevicePattern{Gateway: gateway, Device: device}, Config: kpi.NewRow(d, []byte("{}"), []byte("null"))}
}

func TestMachinesFollowTheRules(t *testing.T) {
	now := time.Unix(1000, 0)
	from := &table{err: errors.New("no connection")}
	m, log := newMachines(t, from, &now)
	builtIn := m.Machine("gw", "press-1")
	if builtIn == nil {
		t.Fatal("no built-in configuration")
	}
	m.Refresh(t.Context())
	if m.Machine("gw", "press-1") != builtIn || !strings.Contains(log.String(), "no connection") {
		t.Errorf("database unavailable: want the built-in rules and a log line, got %s", log.String())
	}

	now = now.Add(time.Minute)
	from.err, from.rules = nil, []Rule{rule("gw", "press-*", "a"), rule("gw", "*", ""), rule("*", "*", "b")}
	m.Refresh(t.Context())
	first, other := m.Machine("gw", "press-1"), m.Machine("other", "press-1")
	if first == nil || first == builtIn || first != m.Machine("gw", "press-22") || other == nil || other == first {
		t.Errorf("got machines %p and %p, want two new ones; built-in %p", first, other, builtIn)
	}
	if m.Machine("gw", "sensor") != nil {
		t.Error("a rule without metrics makes a machine")
	}

	m.Refresh(t.Context())
	if from.reads != 2 {
		t.Errorf("got %d reads within a minute, want 1", from.reads-1)
	}
	now = now.Add(time.Minute)
	from.rules = []Rule{rule("gw", "press-2*", "c"), rule("gw", "press-*", "a"), rule("gw", "*", "same as the count")}
	from.rules[2].Config.CountMetric = from.rules[2].Config.StateMetric
	m.Refresh(t.Context())
	if m.Machine("gw", "press-1") != first || m.Machine("gw", "press-22") == first || m.Machine("other", "press-1") != nil {
		t.Error("want the machine of the unchanged rule as before, and new ones of the others")
	}
	if m.Machine("gw", "sensor") != nil || m.Invalid() != 1 || !strings.Contains(log.String(), "count_metric: is the same metric") {
		t.Errorf("invalid rule: want it logged, got %s", log.String())
	}
	now = now.Add(time.Minute)
	from.err = errors.New("no connection")
	m.Refresh(t.Context())
	if m.Machine("gw", "press-1") != first {
		t.Error("database unavailable: want the last rules")
	}
}

// TestInvalidRulesApply: a device whose configuration has problems is not judged by a rule
// for many devices, and other devices are as before.
func TestInvalidRulesApply(t *testing.T) {
	now := time.Unix(1000, 0)
	invalid := rule("gw", "press-1", "state")
	invalid.Config = kpi.NewRow(invalid.Config.Document, []byte(`{"1": 7}`), []byte(`{"mon": [["06:00","14:00"],["13:00","22:00"]]}`))
	from := &table{rules: append([]Rule{invalid}, DefaultRules()...)}
	m, log := newMachines(t, from, &now)
	m.Refresh(t.Context())
	if m.Machine("gw", "press-1") != nil || m.Machine("gw", "press-2") == nil || m.Machine("other", "press-1") == nil || m.Invalid() != 1 {
		t.Errorf("want no machine for the device with problems, and those of the others; %d invalid", m.Invalid())
	}
	for _, want := range []string{"press-1", "states.1: must be an object", "planned.mon: 06:00–14:00 and 13:00–22:00 overlap"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("log lacks %q: %s", want, log)
		}
	}
	logged := log.Len()
	now = now.Add(time.Minute)
	if m.Refresh(t.Context()); log.Len() != logged {
		t.Errorf("the same problems are logged again: %s", log)
	}
	now = now.Add(time.Minute)
	from.rules = []Rule{rule("gw", "press-1", "state")}
	if m.Refresh(t.Context()); m.Machine("gw", "press-1") == nil || m.Invalid() != 0 {
		t.Error("the corrected configuration does not apply")
	}
}

// TestNamesAreExactInRowsOfOneDevice: * is a character of a name in a device's own row, and
// any text in a rule for many devices.
func TestNamesAreExactInRowsOfOneDevice(t *testing.T) {
	now := time.Unix(1000, 0)
	own, ownGateway := rule("gw", "press*", "a"), rule("gw*", "press-1", "b")
	own.Devices.Exact, ownGateway.Devices.Exact = true, true
	many := rule("gw", "press*", "c")
	m, _ := newMachines(t, &table{rules: []Rule{own, ownGateway, many}}, &now)
	m.Refresh(t.Context())
	star, neighbour, gatewayStar := m.Machine("gw", "press*"), m.Machine("gw", "press-1"), m.Machine("gw*", "press-1")
	if star == nil || neighbour == nil || gatewayStar == nil || star == neighbour || neighbour == gatewayStar {
		t.Errorf("got machines %p, %p and %p, want three", star, neighbour, gatewayStar)
	}
	if m.Machine("gw2", "press-1") != nil {
		t.Error("a gateway named gw* configures its neighbour")
	}
}

func TestMachinesCacheIsLimited(t *testing.T) {
	now := time.Unix(0, 0)
	m, _ := newMachines(t, &table{}, &now)
	for i := range maxCached + 10 {
		m.Machine("gw", telemetry.DeviceName(fmt.Sprint(i)))
	}
	if len(m.cache) > maxCached {
		t.Errorf("got %d cached devices, want at most %d", len(m.cache), maxCached)
	}
}

// TestOneDevicesRowMakesItAMachine: a device with a row of its own is a machine whatever it
// reports; of those that a rule for many matches, the ones that report what it names.
func TestOneDevicesRowMakesItAMachine(t *testing.T) {
	now := time.Unix(1000, 0)
	own := rule("gw", "press-1", "state")
	own.Devices.Exact = true
	m, _ := newMachines(t, &table{rules: []Rule{own, rule("*", "*", "state")}}, &now)
	m.Refresh(t.Context())
	shard, err := kpi.NewShard(kpi.Config{Machines: m})
	if err != nil {
		t.Fatal(err)
	}
	b := &telemetry.Batch{Gateway: "gw", Site: "plant"}
	at := telemetry.MicrosOf(now)
	for _, e := range []telemetry.Event{
		{Device: "press-1", Metric: "temperature"}, {Device: "press-2", Metric: "state"}, {Device: "tank", Metric: "temperature"},
	} {
		e.Time = at
		b.Append(e)
	}
	shard.Observe(b, at)
	shard.Advance(at + 7_000_000)
	var got []string
	shard.EmitClosed(func(s *kpi.Sample) {
		if s.Name == kpi.CalendarSeconds {
			got = append(got, string(s.Device))
		}
	})
	if want := "press-1 press-2"; strings.Join(got, " ") != want {
		t.Errorf("got the machines %v, want %s", got, want)
	}
}

// TestMachinesThatLeave: a silent machine with a row of its own has windows while its row is
// as it is, or cannot be read by a new process; it ends when the row is removed or its
// gateway is revoked.
func TestMachinesThatLeave(t *testing.T) {
	own := rule("gw", "press", "state")
	own.Devices.Exact = true
	revoked := own
	revoked.Revoked = true
	for name, c := range map[string]struct {
		rules []Rule
		err   error
		ends  bool
	}{
		"as before":              {rules: append([]Rule{own}, DefaultRules()...)},
		"database not available": {err: errors.New("no connection")},
		"removed":                {rules: DefaultRules(), ends: true},
		"removed, no other":      {ends: true},
		"gateway revoked":        {rules: append([]Rule{revoked}, DefaultRules()...), ends: true},
	} {
		now := time.Unix(1000, 0)
		from := &table{rules: append([]Rule{own}, DefaultRules()...)}
		m, _ := newMachines(t, from, &now)
		m.Refresh(t.Context())
		shard, err := kpi.NewShard(kpi.Config{Machines: m})
		if err != nil {
			t.Fatal(err)
		}
		windows := func(after telemetry.Micros) (n int) {
			shard.Advance(telemetry.MicrosOf(now) + after*1_000_000)
			shard.EmitClosed(func(s *kpi.Sample) {
				if s.Name == kpi.CalendarSeconds && s.Device == "press" {
					n++
				}
			})
			return n
		}
		b := &telemetry.Batch{Gateway: "gw", Site: "plant"}
		b.Append(telemetry.Event{Device: "press", Metric: "state", Time: telemetry.MicrosOf(now)})
		shard.Observe(b, telemetry.MicrosOf(now))
		if n := windows(602); n != 120 {
			t.Errorf("%s: %d windows before, want 120", name, n)
		}
		// Another process, with the state that was saved.
		from.rules, from.err = c.rules, c.err
		m, _ = newMachines(t, from, &now)
		m.Refresh(t.Context())
		saved := shard.AppendBinary(nil)
		if shard, err = kpi.NewShard(kpi.Config{Machines: m}); err != nil {
			t.Fatal(err)
		}
		if err := shard.Decode(saved); err != nil {
			t.Fatal(err)
		}
		if n := windows(1202); n != map[bool]int{true: 0, false: 120}[c.ends] {
			t.Errorf("%s: %d windows in the ten minutes after", name, n)
		}
	}
}

// TestRevokedRulesAreCompared: the machine of a rule changes with its gateway's revocation,
// and not when the rules are read another time.
func TestRevokedRulesAreCompared(t *testing.T) {
	now := time.Unix(1000, 0)
	own := rule("gw", "press", "state")
	own.Devices.Exact = true
	from := &table{rules: []Rule{own}}
	m, _ := newMachines(t, from, &now)
	read := func() *kpi.Machine {
		now = now.Add(time.Minute)
		m.Refresh(t.Context())
		return m.Machine("gw", "press")
	}
	first, same := read(), read()
	from.rules[0].Revoked = true
	revoked, revokedSame := read(), read()
	if first != same || first == revoked || revoked != revokedSame {
		t.Errorf("got machines %p, %p, then %p, %p", first, same, revoked, revokedSame)
	}
}
