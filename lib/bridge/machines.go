package bridge

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"time"

	"github.com/insighthub/insighthub/lib/kpi"
	"github.com/insighthub/insighthub/lib/stream"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// Rule is the configuration of the devices that it selects.
type Rule struct {
	Devices telemetry.DevicePattern
	// Config is a row of the configuration. Without any metric it says that the devices are
	// not machines. With problems nothing is computed for them until it is corrected: no
	// other rule applies instead.
	Config kpi.Row
	// Revoked says that the gateway of its one device is revoked: the machine ends when it
	// is silent.
	Revoked bool
}

// DefaultRules returns the rules that apply until the configuration has been read for
// the first time: every device that reports state, cycle_count and good_count is a
// machine with an ideal cycle of 2 s. A new database has the same rules.
func DefaultRules() []Rule {
	const states = `{"0": {"element": "production"}, "1": {"element": "idle"}, "2": {"element": "setup"},
		"3": {"element": "down", "reason": "fault"}}`
	return []Rule{{Devices: telemetry.DevicePattern{Gateway: "*", Device: "*"}, Config: kpi.NewRow(kpi.Document{
		StateMetric: "state", CountMetric: "cycle_count", GoodMetric: "good_count", IdealCycle: 2, StaleAfter: 60,
	}, []byte(states), []byte("null"))}}
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
	exact     map[machineKey]int          // indexes of the rules of one device
	cache     map[machineKey]*kpi.Machine // nil: not a machine
	// problems are those of the rules, of which invalid have some.
	problems string
	invalid  int
	// provisional: the rules are the default ones, because none have been read.
	provisional bool
}

var _ kpi.Machines = (*Machines)(nil)

type compiled struct {
	Rule
	machine  *kpi.Machine // nil: not a machine, or it has problems
	problems []kpi.Problem
}

type machineKey struct {
	gateway telemetry.GatewayID
	device  telemetry.DeviceName
}

// maxCached limits how many devices' machines are cached.
const maxCached = 1 << 17

// NewMachines returns Machines with the default rules.
func NewMachines(config MachinesConfig) *Machines {
	m := &Machines{config: config, refresher: stream.Refresher{
		Interval: cmp.Or(config.Interval, time.Minute), Timeout: cmp.Or(config.Timeout, 2*time.Second), Log: config.Log, Now: config.Now,
	}}
	m.set(DefaultRules())
	for i := range m.rules {
		m.rules[i].machine = m.rules[i].machine.Provisional()
	}
	m.provisional = true
	return m
}

// Machine returns the configuration of a device, or nil if it is not a machine.
func (m *Machines) Machine(gateway telemetry.GatewayID, device telemetry.DeviceName) *kpi.Machine {
	key := machineKey{gateway, device}
	if machine, ok := m.cache[key]; ok {
		return machine
	}
	machine := m.find(key)
	if len(m.cache) >= maxCached {
		clear(m.cache)
	}
	m.cache[key] = machine
	return machine
}

// find returns the machine of the first rule that selects the device. There may be a rule
// for each device, so those are not searched one by one.
func (m *Machines) find(key machineKey) *kpi.Machine {
	first, own := m.exact[key]
	for i := range m.rules {
		if own && i >= first {
			return m.rules[first].machine
		}
		if r := &m.rules[i]; !r.Devices.Exact && r.Devices.Matches(key.gateway, key.device) {
			return r.machine
		}
	}
	return nil
}

// Invalid returns how many rules have problems.
func (m *Machines) Invalid() int { return m.invalid }

// Refresh reads the rules if the interval has passed. If that fails, the last ones
// stay. It logs what is wrong with rules when that changes.
func (m *Machines) Refresh(ctx context.Context) {
	m.refresher.Refresh(ctx, func(ctx context.Context) error {
		rules, err := m.config.Rules.Rules(ctx)
		if err != nil {
			return err
		}
		before := m.problems
		if m.set(rules); m.problems != before {
			m.config.Log.LogAttrs(ctx, slog.LevelError, "KPI configurations with problems, nothing is computed for their devices",
				slog.Int("configurations", m.invalid), slog.String("problems", m.problems))
		}
		return nil
	})
}

// set replaces the rules. A rule that has not changed keeps its *kpi.Machine, as
// kpi.Machines requires.
func (m *Machines) set(rules []Rule) {
	before := make(map[telemetry.DevicePattern]int, len(m.rules))
	for i := range m.rules {
		before[m.rules[i].Devices] = i
	}
	next := make([]compiled, len(rules))
	exact := make(map[machineKey]int, len(rules))
	var problems []string
	m.invalid = 0
	for i, r := range rules {
		if k, ok := before[r.Devices]; ok && !m.provisional && reflect.DeepEqual(m.rules[k].Rule, r) {
			next[i] = m.rules[k]
		} else {
			next[i].Rule = r
			next[i].machine, next[i].problems = r.Config.Machine(r.Devices.One())
			if r.Revoked && next[i].machine != nil {
				next[i].machine = next[i].machine.Revoked()
			}
		}
		if wrong := next[i].problems; len(wrong) > 0 {
			m.invalid++
			problems = append(problems, fmt.Sprintf("gateway %q, device %q: %v", r.Devices.Gateway, r.Devices.Device, wrong))
		}
		if key := (machineKey{telemetry.GatewayID(r.Devices.Gateway), telemetry.DeviceName(r.Devices.Device)}); r.Devices.Exact {
			if _, ok := exact[key]; !ok {
				exact[key] = i
			}
		}
	}
	m.problems, m.provisional = strings.Join(problems, "; "), false
	m.rules, m.exact, m.cache = next, exact, make(map[machineKey]*kpi.Machine)
}
