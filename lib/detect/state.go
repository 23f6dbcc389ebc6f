package detect

import (
	"cmp"
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

// Limits bound what a shard's state holds. What comes past one is counted and
// visible, and everything else goes on.
type Limits struct {
	// Series of the shard and of one gateway: default 20,000 and 5,000.
	Series, GatewaySeries int
	// Forget is the silence, by the arrival clock, after which a series is given up:
	// default 14 days.
	Forget time.Duration
}

func (l Limits) withDefaults() Limits {
	l.Series = cmp.Or(l.Series, 20_000)
	l.GatewaySeries = cmp.Or(l.GatewaySeries, 5_000)
	l.Forget = cmp.Or(l.Forget, 14*24*time.Hour)
	return l
}

// State is what is remembered of a shard. It is not safe for concurrent use.
type State struct {
	limits Limits
	// clock is the greatest arrival so far.
	clock telemetry.Micros
	// swept is until when silent series were given up.
	swept telemetry.Micros

	gateways []*gateway // in order of name
	byName   map[telemetry.GatewayID]*gateway
	series   int

	// What stands in a layout for series that are neither scored nor watched, and for
	// those past a limit.
	unwatched, refused series

	// described is the configuration that the series know; nil: none yet.
	described *compiled
	// watched are the series with a rule on silence, and due is when the first of them
	// will have been silent for too long.
	watched []*series
	due     telemetry.Micros

	// begun is how many detectors begin anew since what was saved of them can not be
	// read: another version of the detector wrote it.
	begun int
	// dropped is how many series were past the limits when the state was made.
	dropped int
}

// gateway is what is kept of a gateway.
type gateway struct {
	name    telemetry.GatewayID
	site    telemetry.SiteID
	devices []*device // in order of name
	series  int

	// The dictionaries of the last batch and the series that each pair means.
	layoutOf    *compiled
	deviceNames []telemetry.DeviceName
	metricNames []telemetry.MetricName
	table       []*series
}

type device struct {
	name   telemetry.DeviceName
	series []*series // in order of metric
	steps
}

// series is what is kept of one.
type series struct {
	gateway *gateway
	device  *device
	metric  telemetry.MetricName
	// newest is the time of its newest event, arrival that of the record which
	// brought it.
	newest, arrival telemetry.Micros
	// value is the newest usable reading, of valueAt; valued says that there is one.
	value    float64
	valueAt  telemetry.Micros
	valued   bool
	detector *anomaly.Detector // nil: not scored
	alarms   []alarm
	// sensor is its number, from 1, in the device's Machine; 0: it is not in it.
	sensor uint8
}

func newState(limits Limits) *State {
	return &State{limits: limits, byName: make(map[telemetry.GatewayID]*gateway)}
}

// Codec turns states into bytes and makes those of new shards. The partition
// key of a gateway's records must be its name: by that a shard that was split off
// knows which gateways are its own.
type Codec struct{ limits Limits }

var _ shardstate.Codec[*State] = (*Codec)(nil)

// NewCodec returns the codec of states within limits; zero ones are the defaults.
// The error wraps telemetry.ErrInvalid.
func NewCodec(limits Limits) (*Codec, error) {
	limits = limits.withDefaults()
	if limits.Series < 1 || limits.GatewaySeries < 1 || limits.Forget < time.Hour {
		return nil, fmt.Errorf("%w: limits %+v: want series, and an hour at least", telemetry.ErrInvalid, limits)
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

// Inherit gives a shard the gateways of its parents that are in its range. Where
// those of two parents are more than the limits allow, the last ones by name are
// left out.
func (c *Codec) Inherit(shard shardstate.Shard, parents []shardstate.Parent[*State]) (*State, error) {
	s := newState(c.limits)
	var own []*gateway
	for _, p := range parents {
		s.clock = max(s.clock, p.State.clock)
		s.swept = max(s.swept, p.State.swept)
		for _, g := range p.State.gateways {
			if shard.Hashes.Contains(string(g.name)) {
				own = append(own, g)
			}
		}
	}
	slices.SortStableFunc(own, func(a, b *gateway) int { return strings.Compare(string(a.name), string(b.name)) })
	for i, g := range own {
		if i > 0 && own[i-1].name == g.name {
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

// describe tells the series what the configuration says of them.
func (s *State) describe(c *compiled) {
	if s.described == c {
		return
	}
	s.described = c
	s.each(func(sr *series) { sr.describe(c) })
	s.rewatch()
}

// rewatch collects the series with a rule on silence.
func (s *State) rewatch() {
	s.watched = s.watched[:0]
	s.each(func(sr *series) {
		if sr.silences() {
			s.watched = append(s.watched, sr)
		}
	})
	s.due = 0 // looked up at the next record
}

// describe tells a series what the configuration says of it. A rule that it
// already knows stays raised if it is.
func (sr *series) describe(c *compiled) {
	rules := c.rules[ruleKey{sr.gateway.site, sr.gateway.name, sr.device.name, sr.metric}]
	var alarms []alarm
	for _, r := range rules {
		a := alarm{rule: r}
		for _, known := range sr.alarms {
			// Of one that was decoded only the name is known.
			if known.id == r.id && (known.kind == r.kind || known.kind == "") {
				a.raised = known.raised
			}
		}
		alarms = append(alarms, a)
	}
	sr.alarms = alarms
	if slices.Contains(c.unscored(sr.gateway.name, sr.device.name), sr.metric) {
		if sr.detector != nil {
			sr.device.unstep()
		}
		sr.detector = nil
	} else if sr.detector == nil {
		sr.detector = new(anomaly.Detector)
	}
}

// silences reports whether a rule watches the series' silence.
func (sr *series) silences() bool {
	return slices.ContainsFunc(sr.alarms, func(a alarm) bool { return a.silence > 0 })
}

// device returns a gateway's device, and where it is or would be.
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

// forget gives up the series that have been silent for long, at the first record of
// an hour, so that which they are does not depend on where a batch ends.
func (s *State) forget() {
	const hour = telemetry.Micros(time.Hour / time.Microsecond)
	if s.clock-s.swept < hour {
		return
	}
	s.swept = s.clock - s.clock%hour
	before := s.clock - micros(s.limits.Forget)
	gone := 0
	s.gateways = slices.DeleteFunc(s.gateways, func(g *gateway) bool {
		was := g.series
		g.devices = slices.DeleteFunc(g.devices, func(d *device) bool {
			n := len(d.series)
			d.series = slices.DeleteFunc(d.series, func(sr *series) bool { return sr.arrival < before })
			if len(d.series) < n {
				g.series -= n - len(d.series)
				d.unstep()
			}
			return len(d.series) == 0
		})
		if g.series < was {
			gone += was - g.series
		}
		if len(g.devices) == 0 {
			delete(s.byName, g.name)
			return true
		}
		return false
	})
	if gone > 0 {
		s.series -= gone
		s.rewatch()
		for _, g := range s.gateways { // there is room again for what was refused
			g.layoutOf = nil
		}
	}
}
