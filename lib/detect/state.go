package detect

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/insighthub/insighthub/lib/anomaly"
	"github.com/insighthub/insighthub/lib/directory"
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

	// hashes is the range of the gateways whose records the shard receives, if known.
	hashes      shardstate.HashRange
	hashesKnown bool

	gateways []*gateway // in order of name
	byName   map[telemetry.GatewayID]*gateway
	series   int

	// Placeholders in a table for series that are neither scored nor watched, and for
	// series above a limit.
	ignored, overLimit series

	// config is the configuration that configure has applied; nil before the first.
	config *compiled
	// expected is the configuration that expect has applied.
	expected *compiled
	// watched are the series with a no_data rule, and due is the earliest time at which
	// such a rule may raise its alarm.
	watched []*series
	due     telemetry.Micros
	// release is the earliest time of a held value.
	release telemetry.Micros
	// ended are the anomalies that have ended since the last invocation: their identities
	// and ends. The invocation stores them before it saves the state.
	ended []directory.Anomaly

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
	taken  taken     // by the anomalies of the Machine
	steps
}

// series is the state of a series. What each event needs comes first.
type series struct {
	// newest is the time of the newest event that is not ahead of the clock, arrival the
	// arrival time of the last record with an event of the series, and useful that of the
	// last one with a usable value of another time than the newest. If there is none, the
	// latter are the time since when one is expected.
	newest, arrival, useful telemetry.Micros
	// value is the newest usable value, of time valueAt, if valued.
	value   float64
	valueAt telemetry.Micros
	valued  bool
	// odd says that the anomaly of the last scored value is active; it has the time oddAt and
	// the score oddScore.
	odd bool
	// sensor is its number in the device's Machine, from 1; 0 if it is not in one.
	sensor   uint8
	detector *anomaly.Detector // nil: not scored
	early    *early            // nil: no event was ahead
	device   *device
	alarms   []alarm
	gateway  *gateway
	metric   telemetry.MetricName
	taken    taken
	oddAt    telemetry.Micros
	oddScore float64
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
			for _, d := range g.devices {
				s.endMachine(g, d, s.clock, directory.EndUnwatched)
				for _, sr := range d.series {
					s.endAll(sr)
				}
			}
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
	s.each(s.configureSeries)
	s.collectWatched()
}

// move moves a gateway to another site, whose rules apply from now on.
func (s *State) move(g *gateway, site telemetry.SiteID) {
	g.tableOf = nil
	for _, d := range g.devices {
		for _, sr := range d.series {
			// Its alarms end at the site where they were raised.
			for i := range sr.alarms {
				s.end(sr, &sr.alarms[i], s.clock, directory.EndRuleRemoved)
			}
		}
	}
	g.site = site
	for _, d := range g.devices {
		for _, sr := range d.series {
			s.configureSeries(sr)
		}
	}
	s.collectWatched()
	s.expected = nil // it may be at the site whose rules name it
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

// configureSeries applies the configuration to a series. The alarm of a rule that says what
// it said before stays raised; the others end.
func (s *State) configureSeries(sr *series) {
	c := s.config
	rules := c.rules[ruleKey{sr.gateway.site, sr.gateway.name, sr.device.name, sr.metric}]
	var alarms []alarm
	for _, r := range rules {
		alarms = append(alarms, s.alarmOf(sr, r))
	}
	for i := range sr.alarms { // those that alarmOf did not take over
		reason := directory.EndRuleRemoved
		if slices.ContainsFunc(rules, func(r *rule) bool { return r.id == sr.alarms[i].id }) {
			reason = directory.EndRuleChanged
		}
		s.end(sr, &sr.alarms[i], s.clock, reason)
	}
	sr.alarms = alarms
	if slices.Contains(c.unscored(sr.gateway.name, sr.device.name), sr.metric) {
		if sr.detector != nil {
			s.resetMachine(sr.gateway, sr.device)
		}
		s.endScore(sr, s.clock, directory.EndUnwatched)
		sr.detector = nil
	} else if sr.detector == nil {
		sr.detector = new(anomaly.Detector)
	}
}

// alarmOf returns the alarm of a rule, with what the series remembers of the same rule.
func (s *State) alarmOf(sr *series, r *rule) alarm {
	for i := range sr.alarms {
		old := &sr.alarms[i]
		if old.id != r.id {
			continue
		}
		if old.print == r.print {
			out := *old
			out.rule = r
			old.raised = none
			return out
		}
		if old.print == 0 { // of a state of version 1
			old.raised = none
			return alarm{rule: r, notBefore: s.clock}
		}
	}
	return alarm{rule: r}
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

// hour is how long the detector's anomaly of a series or device stays active without an event.
const hour = telemetry.Micros(time.Hour / time.Microsecond)

// endIdle ends the detector's anomalies of a device or its series that has sent nothing for an
// hour: nobody knows whether the next value would end them.
func (s *State) endIdle(g *gateway, d *device) {
	newest := telemetry.Micros(math.MinInt64)
	for _, sr := range d.series {
		newest = max(newest, sr.arrival)
		if s.clock-sr.arrival >= hour {
			s.endScore(sr, sr.arrival+hour, directory.EndUnwatched)
		}
	}
	if s.clock-newest >= hour {
		s.endMachine(g, d, newest+hour, directory.EndUnwatched)
	}
}

// removeIdle removes the series that have been idle for longer than the limit, at the
// first record of an hour, so that the result does not depend on where a batch ends. Those
// whose silence is watched stay.
func (s *State) removeIdle() {
	if s.clock-s.swept < hour {
		return
	}
	s.swept = s.clock - s.clock%hour
	cutoff := s.clock - micros(s.limits.MaxIdle)
	removed := 0
	s.gateways = slices.DeleteFunc(s.gateways, func(g *gateway) bool {
		g.devices = slices.DeleteFunc(g.devices, func(d *device) bool {
			s.endIdle(g, d)
			n := len(d.series)
			d.series = slices.DeleteFunc(d.series, func(sr *series) bool {
				expected := sr.newest == math.MinInt64 && sr.early == nil // by a rule that is gone, if no rule watches it
				if sr.watchesSilence() || sr.arrival >= cutoff && !expected {
					return false
				}
				s.endAll(sr)
				return true
			})
			if n -= len(d.series); n > 0 {
				g.series -= n
				removed += n
				s.resetMachine(g, d)
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
