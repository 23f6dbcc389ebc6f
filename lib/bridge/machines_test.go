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

// table is rules that a test changes.
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
	from := &table{err: errors.New("the database is away")}
	m, log := newMachines(t, from, &now)
	builtIn := m.Machine("gw", "press-1")
	if builtIn == nil {
		t.Fatal("no built-in configuration")
	}
	m.Refresh(t.Context())
	if m.Machine("gw", "press-1") != builtIn || !strings.Contains(log.String(), "the database is away") {
		t.Errorf("without the database: %s", log.String())
	}

	now = now.Add(time.Minute)
	from.err, from.rules = nil, []Rule{rule("gw", "press-*", "a"), rule("gw", "*", ""), rule("*", "*", "b")}
	m.Refresh(t.Context())
	first, other := m.Machine("gw", "press-1"), m.Machine("other", "press-1")
	if first == nil || first == builtIn || first != m.Machine("gw", "press-22") || other == nil || other == first {
		t.Errorf("%p, %p, built-in %p", first, other, builtIn)
	}
	if m.Machine("gw", "sensor") != nil {
		t.Error("a rule without metrics makes a machine")
	}

	m.Refresh(t.Context())
	if from.reads != 2 {
		t.Errorf("%d readings within a minute", from.reads-1)
	}
	now = now.Add(time.Minute)
	from.rules = []Rule{rule("gw", "press-2*", "c"), rule("gw", "press-*", "a"), rule("gw", "*", "same as the count")}
	from.rules[2].Config.CountMetric = from.rules[2].Config.StateMetric
	m.Refresh(t.Context())
	if m.Machine("gw", "press-1") != first || m.Machine("gw", "press-22") == first || m.Machine("other", "press-1") != nil {
		t.Error("what has not changed stays, what has changes")
	}
	if m.Machine("gw", "sensor") != nil || !strings.Contains(log.String(), "same as") && !strings.Contains(log.String(), "rules of machines left out") {
		t.Errorf("a rule that is wrong: %s", log.String())
	}
	now = now.Add(time.Minute)
	from.err = errors.New("away again")
	m.Refresh(t.Context())
	if m.Machine("gw", "press-1") != first {
		t.Error("the last configuration is gone")
	}
}

func TestMachinesAreRememberedUpToABound(t *testing.T) {
	now := time.Unix(0, 0)
	m, _ := newMachines(t, &table{}, &now)
	for i := range maxKnown + 10 {
		m.Machine("gw", telemetry.DeviceName(fmt.Sprint(i)))
	}
	if len(m.known) > maxKnown {
		t.Errorf("%d devices are remembered", len(m.known))
	}
}
