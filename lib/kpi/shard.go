package kpi

import (
	"slices"
	"strings"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// Shard is the state of all series, machines and gateways of one shard of the
// stream. It is not safe for concurrent use.
type Shard struct {
	config                               Config
	window, lateness, ahead, forget, gap telemetry.Micros
	machineSums                          []SumDefinition

	started bool
	// clock is the greatest arrival so far. Windows that end at or before open accept no
	// more events; those that end at or before emitted have been emitted.
	clock, open, emitted telemetry.Micros

	gateways []*gateway // in order of name
	byName   map[telemetry.GatewayID]*gateway
}

// Report counts the events of a batch by outcome.
type Report struct {
	Accepted int // including bad ones
	// Duplicates have the identity of a previous event; Late are of closed windows; Early
	// are too far ahead of the arrival clock; Refused exceed the limit of gateways,
	// devices or series.
	Duplicates, Late, Early, Refused int
	// Unverified were accepted although they may be duplicates, because a set of times was
	// full. Crowded are changes of a state or counter beyond the limit of a window.
	Unverified, Crowded int
}

// AtLimit reports whether a limit of the shard's memory affected an event.
func (r Report) AtLimit() bool { return r.Refused+r.Unverified+r.Crowded > 0 }

// NewShard returns an empty state. The error wraps telemetry.ErrInvalid.
func NewShard(config Config) (*Shard, error) {
	config, err := config.withDefaults()
	if err != nil {
		return nil, err
	}
	return &Shard{
		config: config,
		window: micros(config.Window), lateness: micros(config.Lateness), ahead: micros(config.Ahead),
		forget: micros(config.Forget), gap: micros(config.Gap), machineSums: MachineSums(),
		byName: make(map[telemetry.GatewayID]*gateway),
	}, nil
}

// Clock returns the arrival clock, and whether it has started.
func (s *Shard) Clock() (telemetry.Micros, bool) { return s.clock, s.started }

// Series returns how many series the shard holds.
func (s *Shard) Series() int {
	n := 0
	for _, g := range s.gateways {
		n += g.seriesCount
	}
	return n
}

// Advance moves the arrival clock forward to arrival, for records without a batch.
func (s *Shard) Advance(arrival telemetry.Micros) {
	arrival = max(0, min(arrival, maxTime))
	if s.started && arrival <= s.clock {
		return
	}
	s.clock = arrival
	s.open = max(s.open, floor(arrival-s.lateness, s.window))
	if !s.started {
		s.open = floor(arrival-s.lateness, s.window)
		s.started, s.emitted = true, s.open
	}
}

// Observe adds the events of a record's batch, whose columns are as telemetry.Decoder
// returns them. arrival is when the record arrived on the stream. It does not retain b.
func (s *Shard) Observe(b *telemetry.Batch, arrival telemetry.Micros) Report {
	s.Advance(arrival)
	var r Report
	g := s.gateway(b)
	if g == nil {
		r.Refused = b.Len()
		return r
	}
	o := observer{shard: s, gateway: g, report: &r, batch: b}
	o.run()
	return r
}

// observer is the state of one call of Observe.
type observer struct {
	shard   *Shard
	gateway *gateway
	report  *Report
	batch   *telemetry.Batch
	// start and tallies are those of the previous event's window.
	start   telemetry.Micros
	tallies *tallies
}

func (o *observer) run() {
	s, g, b := o.shard, o.gateway, o.batch
	table := g.layout(b, s.config.Machines)
	metrics := uint32(len(b.Metrics))
	horizon := floor(s.clock+s.ahead, s.window) + s.window
	o.start = -1
	received := b.Received
	if received == 0 { // not set
		received = s.clock
	}
	var lagAt, lag telemetry.Micros
	bucket, known := 0, false
	for i, t := range b.Time {
		if t < s.open || t >= horizon {
			o.outside(t)
			continue
		}
		var sr *series
		if table != nil {
			sr = table[b.Device[i]*metrics+b.Metric[i]]
		}
		if sr == nil {
			if sr = g.admit(b.Devices[b.Device[i]], b.Metrics[b.Metric[i]], s); sr == nil {
				o.arrived().refused++
				o.report.Refused++
				continue
			}
			if table != nil {
				table[b.Device[i]*metrics+b.Metric[i]] = sr
			}
		}
		if o.tallies == nil || t < o.start || t >= o.start+s.window {
			o.start = floor(t, s.window)
			o.tallies = g.tally(o.start)
		}
		w := sr.open(o.start)
		out := w.put(uint32(t-o.start), b.Value[i], b.Quality[i], sr.role, &s.config.Limits)
		if out.addition == duplicate {
			o.tallies.duplicates++
			o.report.Duplicates++
			continue
		}
		o.report.Accepted++
		if t != lagAt || !known { // many series are sampled at the same time
			lagAt, lag, known = t, lagOf(received, t), true
			bucket = bucketOf(lag)
		}
		o.tallies.lags.add(bucket, lag)
		if out.addition == unverified {
			o.tallies.unverified++
			o.report.Unverified++
		}
		if out.crowded {
			o.tallies.crowded++
			o.report.Crowded++
		}
	}
}

// open returns the series' window that starts at start, in most cases the last one.
func (s *series) open(start telemetry.Micros) *window {
	if n := len(s.windows); n > 0 && s.windows[n-1].start == start {
		return &s.windows[n-1]
	}
	return &s.windows[s.at(start)]
}

// outside counts a late or early event.
func (o *observer) outside(t telemetry.Micros) {
	if t < o.shard.open {
		o.arrived().late++
		o.report.Late++
		return
	}
	o.arrived().early++
	o.report.Early++
}

// arrived returns the tallies of the window in which the record arrived, for events that
// cannot be counted by their own times.
func (o *observer) arrived() *tallies {
	o.tallies = nil // g.tally may move it
	return o.gateway.tally(floor(o.shard.clock, o.shard.window))
}

// gateway returns the batch's gateway, or nil if it exceeds the limit.
func (s *Shard) gateway(b *telemetry.Batch) *gateway {
	if g, ok := s.byName[b.Gateway]; ok {
		g.site = b.Site
		return g
	}
	if len(s.gateways) >= s.config.Limits.Gateways {
		return nil
	}
	g := newGateway(b.Gateway, b.Site)
	s.insert(g)
	return g
}

func (s *Shard) insert(g *gateway) {
	i, _ := slices.BinarySearchFunc(s.gateways, g.name, func(g *gateway, name telemetry.GatewayID) int {
		return strings.Compare(string(g.name), string(name))
	})
	s.gateways = slices.Insert(s.gateways, i, g)
	s.byName[g.name] = g
}

// Retain deletes the gateways for which retain returns false: a child of a split shard
// starts from its parent's state and retains its own gateways.
func (s *Shard) Retain(retain func(telemetry.GatewayID) bool) {
	s.gateways = slices.DeleteFunc(s.gateways, func(g *gateway) bool {
		if retain(g.name) {
			return false
		}
		delete(s.byName, g.name)
		return true
	})
}
