package bridge

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"time"

	"github.com/insighthub/insighthub/lib/kpi"
	"github.com/insighthub/insighthub/lib/stream"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// Rule describes the machines whose gateway and device match its patterns. A *
// in a pattern matches any text, of any length.
type Rule struct {
	Gateway, Device string
	// Config without any metric says that the devices are not machines.
	Config kpi.MachineConfig
}

// DefaultRules returns the rules that apply until the configuration has been read for
// the first time: every device that reports state, cycle_count and good_count is a
// machine with an ideal cycle of 2 s. A new database has the same rules.
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

// MachinesConfig configures Machines. A zero duration means its default.
type MachinesConfig struct {
	Rules Rules
	Log   *slog.Logger
	Now   func() time.Time
	// Interval is the time between two readings of the rules: default 1 min.
	Interval time.Duration
	// Timeout limits one reading, since an invocation waits for it: default 2 s.
	Timeout time.Duration
}

// Machines tells which devices are machines, by the rules. It is not safe for concurrent use.
type Machines struct {
	config    MachinesConfig
	refresher stream.Refresher
	rules     []compiled
	cache     map[machineKey]*kpi.Machine // nil: not a machine
}

var _ kpi.Machines = (*Machines)(nil)

type compiled struct {
	Rule
	machine *kpi.Machine // nil: not a machine
}

type machineKey struct {
	gateway telemetry.GatewayID
	device  telemetry.DeviceName
}

// maxCached limits how many devices' machines are cached.
const maxCached = 1 << 17

// NewMachines returns Machines with the default rules. The error wraps
// telemetry.ErrInvalid.
func NewMachines(config MachinesConfig) (*Machines, error) {
	m := &Machines{config: config, refresher: stream.Refresher{
		Interval: cmp.Or(config.Interval, time.Minute), Timeout: cmp.Or(config.Timeout, 2*time.Second), Log: config.Log, Now: config.Now,
	}}
	return m, m.set(DefaultRules())
}

// Machine returns the configuration of a device, or nil if it is not a machine.
func (m *Machines) Machine(gateway telemetry.GatewayID, device telemetry.DeviceName) *kpi.Machine {
	key := machineKey{gateway, device}
	if machine, ok := m.cache[key]; ok {
		return machine
	}
	var machine *kpi.Machine
	for i := range m.rules {
		if r := &m.rules[i]; telemetry.Matches(r.Gateway, gateway) && telemetry.Matches(r.Device, device) {
			machine = r.machine
			break
		}
	}
	if len(m.cache) >= maxCached {
		clear(m.cache)
	}
	m.cache[key] = machine
	return machine
}

// Refresh reads the rules if the interval has passed. If that fails, the last ones
// stay; rules that are not valid are left out.
func (m *Machines) Refresh(ctx context.Context) {
	m.refresher.Refresh(ctx, func(ctx context.Context) error {
		rules, err := m.config.Rules.Rules(ctx)
		if err != nil && !errors.Is(err, telemetry.ErrInvalid) {
			return err
		}
		if err := errors.Join(err, m.set(rules)); err != nil {
			m.config.Log.LogAttrs(ctx, slog.LevelError, "rules of machines left out", slog.String("error", err.Error()))
		}
		return nil
	})
}

// set replaces the rules. It leaves out those that are not valid, which the error
// names. A rule that has not changed keeps its *kpi.Machine, as kpi.Machines requires.
func (m *Machines) set(rules []Rule) error {
	var invalid []error
	var next []compiled
	for _, r := range rules {
		c := compiled{Rule: r}
		if i := m.find(&r); i >= 0 {
			c.machine = m.rules[i].machine
		} else if r.Config.StateMetric != "" || r.Config.CountMetric != "" || r.Config.GoodMetric != "" {
			config := r.Config
			config.Own = !strings.Contains(r.Gateway+r.Device, "*")
			machine, err := kpi.NewMachine(config)
			if err != nil {
				invalid = append(invalid, fmt.Errorf("gateway %q, device %q: %w", r.Gateway, r.Device, err))
				continue
			}
			c.machine = machine
		}
		next = append(next, c)
	}
	m.rules, m.cache = next, make(map[machineKey]*kpi.Machine)
	return errors.Join(invalid...)
}

func (m *Machines) find(r *Rule) int {
	for i := range m.rules {
		if reflect.DeepEqual(m.rules[i].Rule, *r) {
			return i
		}
	}
	return -1
}
