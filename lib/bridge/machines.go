package bridge

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"time"

	"github.com/insighthub/insighthub/lib/kpi"
	"github.com/insighthub/insighthub/lib/stream"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// Rule describes the machines whose gateway and device match its patterns. A *
// in a pattern stands for any text, of any length.
type Rule struct {
	Gateway, Device string
	// Config without any metric says that the devices are no machines.
	Config kpi.MachineConfig
}

// DefaultRules is what holds until the configuration has been read for the first
// time: every device that reports state, cycle_count and good_count is a
// machine with an ideal cycle of 2 s. It is also what the database begins with.
func DefaultRules() []Rule {
	return []Rule{{Gateway: "*", Device: "*", Config: kpi.MachineConfig{
		StateMetric: "state",
		States: map[int]kpi.State{
			0: {Element: kpi.Production}, 1: {Element: kpi.Idle}, 2: {Element: kpi.Setup}, 3: {Element: kpi.Down, Reason: "fault"},
		},
		CountMetric: "cycle_count", GoodMetric: "good_count",
		IdealCycle: 2 * time.Second, StaleLimit: time.Minute,
	}}}
}

// MachinesConfig is what Machines are made of. A zero duration means its default.
type MachinesConfig struct {
	Rules Rules
	Log   *slog.Logger
	Now   func() time.Time
	// Interval is the time between two readings of the rules: default 1 min.
	Interval time.Duration
	// Timeout bounds one reading, for an invocation waits for it: default 2 s.
	Timeout time.Duration
}

// Machines knows which devices are machines. It is not safe for concurrent use.
type Machines struct {
	config    MachinesConfig
	refresher stream.Refresher
	rules     []compiled
	known     map[machineKey]*kpi.Machine
}

var _ kpi.Machines = (*Machines)(nil)

type compiled struct {
	Rule
	machine *kpi.Machine // nil: no machine
}

type machineKey struct {
	gateway telemetry.GatewayID
	device  telemetry.DeviceName
}

// maxKnown bounds how many devices' rules are remembered.
const maxKnown = 1 << 17

// NewMachines returns Machines with the default rules. The error wraps
// telemetry.ErrInvalid.
func NewMachines(config MachinesConfig) (*Machines, error) {
	m := &Machines{config: config, refresher: stream.Refresher{
		Interval: cmp.Or(config.Interval, time.Minute), Timeout: cmp.Or(config.Timeout, 2*time.Second), Log: config.Log, Now: config.Now,
	}}
	return m, m.set(DefaultRules())
}

// Machine returns the configuration of a device, or nil where it is no machine.
func (m *Machines) Machine(gateway telemetry.GatewayID, device telemetry.DeviceName) *kpi.Machine {
	key := machineKey{gateway, device}
	if machine, ok := m.known[key]; ok {
		return machine
	}
	var machine *kpi.Machine
	for i := range m.rules {
		if r := &m.rules[i]; telemetry.Matches(r.Gateway, gateway) && telemetry.Matches(r.Device, device) {
			machine = r.machine
			break
		}
	}
	if len(m.known) >= maxKnown {
		clear(m.known)
	}
	m.known[key] = machine
	return machine
}

// Refresh reads the rules when it is time. When they cannot be read, the last ones stay.
func (m *Machines) Refresh(ctx context.Context) {
	m.refresher.Refresh(ctx, func(ctx context.Context) error {
		rules, err := m.config.Rules.Rules(ctx)
		if err != nil {
			return err
		}
		if err := m.set(rules); err != nil {
			m.config.Log.LogAttrs(ctx, slog.LevelError, "rules of machines left out", slog.String("error", err.Error()))
		}
		return nil
	})
}

// set takes the rules over and leaves out those that are wrong, which it
// returns. A rule that has not changed keeps its *kpi.Machine, as kpi.Machines asks.
func (m *Machines) set(rules []Rule) error {
	var wrong []error
	var next []compiled
	for _, r := range rules {
		c := compiled{Rule: r}
		if i := m.find(&r); i >= 0 {
			c.machine = m.rules[i].machine
		} else if r.Config.StateMetric != "" || r.Config.CountMetric != "" || r.Config.GoodMetric != "" {
			machine, err := kpi.NewMachine(r.Config)
			if err != nil {
				wrong = append(wrong, fmt.Errorf("gateway %q, device %q: %w", r.Gateway, r.Device, err))
				continue
			}
			c.machine = machine
		}
		next = append(next, c)
	}
	m.rules, m.known = next, make(map[machineKey]*kpi.Machine)
	return errors.Join(wrong...)
}

func (m *Machines) find(r *Rule) int {
	for i := range m.rules {
		if reflect.DeepEqual(m.rules[i].Rule, *r) {
			return i
		}
	}
	return -1
}
