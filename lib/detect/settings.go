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

	"github.com/insighthub/insighthub/lib/stream"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// SettingsConfig configures Settings. A zero duration means its default.
type SettingsConfig struct {
	Configurations Configurations
	Log            *slog.Logger
	Now            func() time.Time
	// Interval is the time between two reads: default 30 s.
	Interval time.Duration
	// Timeout limits one read, for which an invocation waits: default 2 s.
	Timeout time.Duration
}

// Settings cache the configuration. They are not safe for concurrent use.
type Settings struct {
	config    SettingsConfig
	refresher stream.Refresher
	raw       Configuration
	// current is a new pointer whenever the configuration changes; State.configure
	// compares it.
	current *compiled
}

// compiled is a configuration prepared for lookup.
type compiled struct {
	rules    map[ruleKey][]*rule
	machines []Machine
	// expected are the series of no_data rules that may not have reported, in the order of
	// the rules.
	expected []expectation
}

// expectation is a series that a rule expects since it was changed.
type expectation struct {
	ruleKey

	changed telemetry.Micros
}

// ruleKey names the series that a rule watches. The site is part of it: rules of the
// old site do not apply to a gateway that moved.
type ruleKey struct {
	site    telemetry.SiteID
	gateway telemetry.GatewayID
	device  telemetry.DeviceName
	metric  telemetry.MetricName
}

// DefaultMachines applies until the configuration has been read for the first time; the
// database schema inserts the same.
func DefaultMachines() []Machine {
	return []Machine{{
		Devices:  telemetry.DevicePattern{Gateway: "*", Device: "*"},
		Unscored: []telemetry.MetricName{"state", "cycle_count", "good_count"},
	}}
}

// NewSettings returns Settings without rules.
func NewSettings(config SettingsConfig) *Settings {
	s := &Settings{config: config, refresher: stream.Refresher{
		Interval: cmp.Or(config.Interval, 30*time.Second), Timeout: cmp.Or(config.Timeout, 2*time.Second), Log: config.Log, Now: config.Now,
	}}
	s.set(Configuration{Machines: DefaultMachines()})
	return s
}

// Refresh reads the configuration if the interval has passed. If that fails, the last
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
		if prepared := newRule(r); prepared != nil {
			key := ruleKey{r.Site, r.Gateway, r.Device, r.Metric}
			next.rules[key] = append(next.rules[key], prepared)
			if prepared.silence > 0 && r.Expected {
				next.expected = append(next.expected, expectation{key, prepared.changed})
			}
		}
	}
	for _, rules := range next.rules {
		slices.SortFunc(rules, func(a, b *rule) int { return strings.Compare(string(a.id), string(b.id)) })
	}
	s.raw, s.current = c, next
}

// unscored returns the metrics of a device that are not scored.
func (c *compiled) unscored(gateway telemetry.GatewayID, device telemetry.DeviceName) []telemetry.MetricName {
	for i := range c.machines {
		if m := &c.machines[i]; m.Devices.Matches(gateway, device) {
			return m.Unscored
		}
	}
	return nil
}
