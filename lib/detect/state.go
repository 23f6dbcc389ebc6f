package detect

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/insighthub/insighthub/lib/anomaly"
	"github.com/insighthub/insighthub/lib/shardstate"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// ConsumerName is the name under which states are stored.
const ConsumerName = "detect"

// Limits bound a shard's state. Series above a limit are counted and logged, and do
// not affect the others.
type Limits struct {
	// Series of the shard and of one gateway: default 20,000 and 5,000.
	Series, GatewaySeries int
	// MaxIdle is the time without an event, by the arrival clock, after which a series
	// is removed: default 14 days.
	MaxIdle time.Duration
}

func (l Limits) withDefaults() Limits {
	l.Series = cmp.Or(l.Series, 20_000)
	l.GatewaySeries = cmp.Or(l.GatewaySeries, 5_000)
	l.MaxIdle = cmp.Or(l.MaxIdle, 14*24*time.Hour)
	return l
}

// State is the state of a shard. It is not safe for concurrent use.
type State struct {
	limits Limits
	// clock is the greatest arrival time so far.
	clock telemetry.Micros
	// swept is the hour in which idle series were last removed.
	swept telemetry.Micros

	gateways []*gateway // in order of name
	byName   map[telemetry.GatewayID]*gateway
	series   int

	// Placeholders in a table for series that are neither scored nor watched, and for
	// series above a limit.
	ignored, overLimit series

	// config is the configuration that configure has applied; nil before the first.
	config *compiled
	// watched are the series with a no_data rule, and due is the earliest time at which
	// such a rule may raise its alarm.
	watched []*series
	due     telemetry.Micros

	// resets counts the detectors that were reset because their saved state cannot be
	// read: another version of the detector wrote it.
	resets int
	// dropped counts the series above the limits in a decoded or inherited state.
	dropped int
}

// gateway is the state of a gateway.
type gateway struct {
	name    telemetry.GatewayID
	site    telemetry.SiteID
	devices []*device // in order of name
	series  int

	// The configuration and dictionaries of the last batch, and the series of each pair.
	tableOf     *compiled
	deviceNames []telemetry.DeviceName
	metricNames []telemetry.MetricName
	table       []*series
}

type device struct {
	name   telemetry.DeviceName
	series []*series // in order of metric
	steps
}

// series is the state of a series.
type series struct {
	gateway *gateway
	device  *device
	metric  telemetry.MetricName
	// newest is the time of the newest event, arrival the arrival time of the last record
	// with an event of the series.
	newest, arrival telemetry.Micros
	// value is the newest usable value, of time valueAt, if valued.
	value    float64
	valueAt  telemetry.Micros
	valued   bool
	detector *anomaly.Detector // nil: not scored
	alarms   []alarm
	// sensor is its number in the device's Machine, from 1; 0 if it is not in one.
	sensor uint8
}

func newState(limits Limits) *State {
	return &State{limits: limits, byName: make(map[telemetry.GatewayID]*gateway)}
}

// Codec encodes and decodes states, and makes the states of new shards. The partition
// key of a gateway's records must be the gateway's name: by its hash Inherit finds the
// gateways of a child shard.
type Codec struct{ limits Limits }

var _ shardstate.Codec[*State] = (*Codec)(nil)

// NewCodec returns the codec of states within limits; zero means a default. The error
// wraps telemetry.ErrInvalid and names each limit that is not valid.
func NewCodec(limits Limits) (*Codec, error) {
	limits = limits.withDefaults()
	var problems []error
	if min(limits.Series, limits.GatewaySeries) < 1 {
		problems = append(problems, fmt.Errorf("series %d, of a gateway %d: less than 1", limits.Series, limits.GatewaySeries))
	}
	if limits.MaxIdle < time.Hour {
		problems = append(problems, fmt.Errorf("idle time %v: less than an hour", limits.MaxIdle))
	}
	if err := errors.Join(problems...); err != nil {
		return nil, fmt.Errorf("%w: limits of the detector: %w", telemetry.ErrInvalid, err)
	}
	return &Codec{limits}, nil
}

// Append appends the encoded state to dst.
func (c *Codec) Append(dst []byte, s *State) ([]byte, error) {
	return s.append(dst), nil
}

// Decode is the inverse of Append.
func (c *Codec) Decode(encoded []byte) (*State, error) {
	s := newState(c.limits)
	if err := s.decode(encoded); err != nil {
		return nil, fmt.Errorf("state of %d bytes: %w", len(encoded), err)
	}
	return s, nil
}

// Inherit returns the state of a new shard: the gateways of its parents that are in its
// hash range. If two parents have more series than the limits allow, the last gateways
// by name are left out.
func (c *Codec) Inherit(shard shardstate.Shard, parents []shardstate.Parent[*State]) (*State, error) {
	s := newState(c.limits)
	var gateways []*gateway
	for _, p := range parents {
		s.clock = max(s.clock, p.State.clock)
		s.swept = max(s.swept, p.State.swept)
		for _, g := range p.State.gateways {
			if shard.Hashes.Contains(string(g.name)) {
				gateways = append(gateways, g)
			}
		}
	}
	slices.SortStableFunc(gateways, func(a, b *gateway) int { return strings.Compare(string(a.name), string(b.name)) })
	for i, g := range gateways {
		if i > 0 && gateways[i-1].name == g.name {
			return nil, fmt.Errorf("%w: gateway %q is in both parents", telemetry.ErrInvalid, g.name)
		}
		if s.series+g.series > c.limits.Series {
			s.dropped += g.series
			continue
		}
		s.add(g)
	}
	return s, nil
}

func (s *State) add(g *gateway) {
	i, _ := s.find(g.name)
	s.gateways = slices.Insert(s.gateways, i, g)
	s.byName[g.name] = g
	s.series += g.series
}

func (s *State) find(name telemetry.GatewayID) (int, bool) {
	return slices.BinarySearchFunc(s.gateways, name, func(g *gateway, name telemetry.GatewayID) int {
		return strings.Compare(string(g.name), string(name))
	})
}

// each calls f for every series.
func (s *State) each(f func(*series)) {
	for _, g := range s.gateways {
		for _, d := range g.devices {
			for _, sr := range d.series {
				f(sr)
			}
		}
	}
}

// configure applies the configuration to all series.
func (s *State) configure(c *compiled) {
	if s.config == c {
		return
	}
	s.config = c
	s.each(func(sr *series) { sr.configure(c) })
	s.collectWatched()
}

// collectWatched collects the series with a no_data rule.
func (s *State) collectWatched() {
	s.watched = s.watched[:0]
	s.each(func(sr *series) {
		if sr.watchesSilence() {
			s.watched = append(s.watched, sr)
		}
	})
	s.due = 0 // checkSilence finds the next one
}

// configure applies the configuration to a series. The alarm of a rule that the series
// has already stays raised.
func (sr *series) configure(c *compiled) {
	rules := c.rules[ruleKey{sr.gateway.site, sr.gateway.name, sr.device.name, sr.metric}]
	var alarms []alarm
	for _, r := range rules {
		a := alarm{rule: r}
		for _, old := range sr.alarms {
			// A decoded rule has no kind yet.
			if old.id == r.id && (old.kind == r.kind || old.kind == "") {
				a.raised = old.raised
			}
		}
		alarms = append(alarms, a)
	}
	sr.alarms = alarms
	if slices.Contains(c.unscored(sr.gateway.name, sr.device.name), sr.metric) {
		if sr.detector != nil {
			sr.device.resetMachine()
		}
		sr.detector = nil
	} else if sr.detector == nil {
		sr.detector = new(anomaly.Detector)
	}
}

// watchesSilence reports whether the series has a no_data rule.
func (sr *series) watchesSilence() bool {
	return slices.ContainsFunc(sr.alarms, func(a alarm) bool { return a.silence > 0 })
}

// device returns the index at which a device is, or would be inserted.
func (g *gateway) device(name telemetry.DeviceName) (at int, found bool) {
	return slices.BinarySearchFunc(g.devices, name, func(d *device, name telemetry.DeviceName) int {
		return strings.Compare(string(d.name), string(name))
	})
}

func (d *device) find(metric telemetry.MetricName) (at int, found bool) {
	return slices.BinarySearchFunc(d.series, metric, func(s *series, metric telemetry.MetricName) int {
		return strings.Compare(string(s.metric), string(metric))
	})
}

func (d *device) insert(sr *series) {
	i, _ := d.find(sr.metric)
	d.series = slices.Insert(d.series, i, sr)
}

// removeIdle removes the series that have been idle for longer than the limit, at the
// first record of an hour, so that the result does not depend on where a batch ends.
func (s *State) removeIdle() {
	const hour = telemetry.Micros(time.Hour / time.Microsecond)
	if s.clock-s.swept < hour {
		return
	}
	s.swept = s.clock - s.clock%hour
	cutoff := s.clock - micros(s.limits.MaxIdle)
	removed := 0
	s.gateways = slices.DeleteFunc(s.gateways, func(g *gateway) bool {
		g.devices = slices.DeleteFunc(g.devices, func(d *device) bool {
			n := len(d.series)
			d.series = slices.DeleteFunc(d.series, func(sr *series) bool { return sr.arrival < cutoff })
			if n -= len(d.series); n > 0 {
				g.series -= n
				removed += n
				d.resetMachine()
			}
			return len(d.series) == 0
		})
		if len(g.devices) == 0 {
			delete(s.byName, g.name)
		}
		return len(g.devices) == 0
	})
	if removed > 0 {
		s.series -= removed
		s.collectWatched()
		for _, g := range s.gateways { // there is room for series that were above a limit
			g.tableOf = nil
		}
	}
}
