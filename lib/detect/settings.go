package detect

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/stream"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// SettingsConfig is what Settings are made of. A zero duration means its default.
type SettingsConfig struct {
	Configurations Configurations
	Log            *slog.Logger
	Now            func() time.Time
	// Interval is the time between two readings: default 30 s.
	Interval time.Duration
	// Timeout bounds one reading, for an invocation waits for it: default 2 s.
	Timeout time.Duration
}

// Settings know the configuration as it was read last. They are not safe for concurrent use.
type Settings struct {
	config    SettingsConfig
	refresher stream.Refresher
	raw       Configuration
	// now is replaced whenever the configuration changes, so that its address says
	// which one a state was described by.
	now *compiled
}

// compiled is a configuration in the form in which it is asked.
type compiled struct {
	rules    map[ruleKey][]*rule
	machines []Machine
}

// ruleKey names what a rule watches. The site is part of it: a gateway that moves
// leaves its old site's rules behind.
type ruleKey struct {
	site    telemetry.SiteID
	gateway telemetry.GatewayID
	device  telemetry.DeviceName
	metric  telemetry.MetricName
}

// DefaultMachines is what holds until the configuration has been read for the first
// time; it is also what the database begins with.
func DefaultMachines() []Machine {
	return []Machine{{Gateway: "*", Device: "*", Unscored: []telemetry.MetricName{"state", "cycle_count", "good_count"}}}
}

// NewSettings returns Settings without rules.
func NewSettings(config SettingsConfig) *Settings {
	s := &Settings{config: config, refresher: stream.Refresher{
		Interval: cmp.Or(config.Interval, 30*time.Second), Timeout: cmp.Or(config.Timeout, 2*time.Second), Log: config.Log, Now: config.Now,
	}}
	s.set(Configuration{Machines: DefaultMachines()})
	return s
}

// Refresh reads the configuration when it is time. When it cannot be read, the last
// one stays; parts that are not valid are left out.
func (s *Settings) Refresh(ctx context.Context) {
	s.refresher.Refresh(ctx, func(ctx context.Context) error {
		c, err := s.config.Configurations.Configuration(ctx)
		if err != nil && !errors.Is(err, telemetry.ErrInvalid) {
			return err
		}
		if err != nil {
			s.config.Log.LogAttrs(ctx, slog.LevelError, "parts of the configuration left out", slog.String("error", err.Error()))
		}
		if !reflect.DeepEqual(c, s.raw) {
			s.set(c)
		}
		return nil
	})
}

func (s *Settings) set(c Configuration) {
	next := &compiled{rules: make(map[ruleKey][]*rule), machines: c.Machines}
	for _, r := range c.Rules {
		own := newRule(r)
		if own == nil {
			continue
		}
		key := ruleKey{r.Site, r.Gateway, r.Device, r.Metric}
		next.rules[key] = append(next.rules[key], own)
	}
	for _, rules := range next.rules {
		slices.SortFunc(rules, func(a, b *rule) int { return strings.Compare(string(a.id), string(b.id)) })
	}
	s.raw, s.now = c, next
}

// unscored returns the metrics of a device that are not scored.
func (c *compiled) unscored(gateway telemetry.GatewayID, device telemetry.DeviceName) []telemetry.MetricName {
	for i := range c.machines {
		if m := &c.machines[i]; telemetry.Matches(m.Gateway, gateway) && telemetry.Matches(m.Device, device) {
			return m.Unscored
		}
	}
	return nil
}

// rule is an alarm rule in the form in which it is asked.
type rule struct {
	id       directory.RuleID
	kind     directory.AnomalyKind
	severity directory.Severity
	// A threshold's: outside of low to high it is raised, within back.
	low, high         float64
	backLow, backHigh float64
	perSecond         float64
	silence           telemetry.Micros
}
