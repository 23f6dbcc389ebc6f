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
	m, err := NewMachines(MachinesConfig{Rules: from, Log: slog.New(slog.NewTextHandler(&log, nil)), Now: func() time.Time { return *now }})
	if err != nil {
		t.Fatal(err)
	}
	return m, &log
}

func rule(gateway, device, metric string) Rule {
	return Rule{Gateway: gateway, Device: device, Config: kpi.MachineConfig{StateMetric: telemetry.MetricName(metric)}}
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
	if m.Machine("gw", "sensor") != nil || !strings.Contains(log.String(), "rules of machines left out") {
		t.Errorf("invalid rule: want it left out and logged, got %s", log.String())
	}
	now = now.Add(time.Minute)
	from.err = errors.New("no connection")
	m.Refresh(t.Context())
	if m.Machine("gw", "press-1") != first {
		t.Error("database unavailable: want the last rules")
	}
}

// TestRefreshTakesTheValidRules: a rule that is not valid does not hold up the others.
func TestRefreshTakesTheValidRules(t *testing.T) {
	now := time.Unix(1000, 0)
	from := &table{rules: []Rule{rule("gw", "*", "a")}, err: fmt.Errorf("row 2: %w", telemetry.ErrInvalid)}
	m, log := newMachines(t, from, &now)
	builtIn := m.Machine("gw", "press-1")
	m.Refresh(t.Context())
	if got := m.Machine("gw", "press-1"); got == nil || got == builtIn {
		t.Errorf("got machine %p, want that of the valid rule; built-in %p", got, builtIn)
	}
	if got := m.Machine("other", "press-1"); got != nil {
		t.Errorf("got machine %p for a device without a rule, want none", got)
	}
	if !strings.Contains(log.String(), "rules of machines left out") || !strings.Contains(log.String(), "row 2") {
		t.Errorf("log lacks the invalid rule: %s", log)
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
