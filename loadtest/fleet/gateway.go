package fleet

import (
	"fmt"
	"math"
	"strconv"
	"time"
)

// Config is the shape of a fleet.
type Config struct {
	// Prefix of the gateways' names distinguishes runs.
	Prefix string
	Site   string
	Seed   uint64
	// Gateways, and machines behind each.
	Gateways, Machines int
	// Samples of each series in one batch, which has Machines × 10 metrics × Samples events.
	Samples int
	// Horizon is the time for which faults are generated.
	Horizon time.Duration
	// Start is the time of offset zero.
	Start time.Time
}

// Validate checks the numbers of gateways, machines and samples.
func (c Config) Validate() error {
	if c.Gateways < 1 || c.Machines < 1 || c.Samples < 1 {
		return fmt.Errorf("fleet: got %d gateways, %d machines and %d samples, want 1 or more", c.Gateways, c.Machines, c.Samples)
	}
	return nil
}

// EventsPerBatch returns the number of events of each batch.
func (c Config) EventsPerBatch() int { return c.Machines * int(metricCount) * c.Samples }

// Gateway samples its machines and writes batches. It is not safe for concurrent use, but
// that one goroutine may call Sample while another calls FillSamples and Acknowledge;
// different gateways are independent.
type Gateway struct {
	ID       string
	Machines []*Machine
	cfg      Config
	prefix   [][]byte // of each series: the JSON before the time
	sums     []Series
	stamp    []byte
}

// Series sums up the events of one series, in a form that the database can compute too.
type Series struct {
	Device, Metric string
	Count          int64
	// TimeSum is the sum of the events' times in µs since the fleet's start.
	TimeSum int64
	// ValueSum is the sum of the values in thousandths.
	ValueSum int64
}

// New generates a fleet.
func New(cfg Config) ([]*Gateway, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg.Start = cfg.Start.Truncate(time.Microsecond)
	out := make([]*Gateway, cfg.Gateways)
	for i := range out {
		g := &Gateway{ID: fmt.Sprintf("%s-%03d", cfg.Prefix, i+1), cfg: cfg}
		for k := range cfg.Machines {
			name := fmt.Sprintf("%s-%02d", [...]string{"press", "pump", "mill", "mixer"}[k%4], k+1)
			m := newMachine(name, cfg.Seed, uint64(i)<<32|uint64(k), cfg.Horizon)
			g.Machines = append(g.Machines, m)
			for _, metric := range MetricNames() {
				g.prefix = append(g.prefix, []byte(`{"device":"`+name+`","metric":"`+metric+`","time":"`))
				g.sums = append(g.sums, Series{Device: name, Metric: metric})
			}
		}
		out[i] = g
	}
	return out, nil
}

// Batch is one request's body, with the sums of its events by series.
type Batch struct {
	Body   []byte
	Events int
	// Newest is the time of the last sample.
	Newest  time.Time
	sums    []Series
	samples []int64 // memory of Fill
}

// Times returns the times of the samples of a batch whose last ones are of the time newest and
// whose samples are period apart.
func (g *Gateway) Times(newest time.Time, period time.Duration) []time.Time {
	newest = newest.Truncate(time.Microsecond)
	out := make([]time.Time, g.cfg.Samples)
	for s := range out {
		out[s] = newest.Add(-period * time.Duration(g.cfg.Samples-1-s)).Truncate(time.Microsecond)
	}
	return out
}

// Sample reads all series at a time and appends the values to dst in thousandths, machine by
// machine in the order of MetricNames. Times must grow.
func (g *Gateway) Sample(dst []int64, at time.Time) []int64 {
	offset := at.Sub(g.cfg.Start)
	for _, m := range g.Machines {
		for _, v := range m.Step(offset) {
			dst = append(dst, int64(math.Round(v*1000)))
		}
	}
	return dst
}

// Fill writes a batch whose last samples are of the time newest and whose samples are
// period apart. Acknowledge adds its sums to those of the gateway.
func (g *Gateway) Fill(b *Batch, newest time.Time, period time.Duration) {
	times := g.Times(newest, period)
	b.samples = b.samples[:0]
	for _, at := range times {
		b.samples = g.Sample(b.samples, at)
	}
	g.FillSamples(b, times, b.samples)
}

// FillSamples writes a batch of what Sample has read at these times, one after the other.
func (g *Gateway) FillSamples(b *Batch, times []time.Time, samples []int64) {
	if b.sums == nil {
		b.sums = make([]Series, len(g.sums))
	}
	clear(b.sums)
	b.Newest, b.Events = times[len(times)-1], g.cfg.EventsPerBatch()
	dst := append(b.Body[:0], `{"events":[`...)
	for s, at := range times {
		offset := at.Sub(g.cfg.Start)
		g.stamp = at.UTC().AppendFormat(g.stamp[:0], "2006-01-02T15:04:05.000000Z")
		for series, milli := range samples[s*len(g.prefix) : (s+1)*len(g.prefix)] {
			dst = append(dst, g.prefix[series]...)
			dst = append(dst, g.stamp...)
			dst = append(dst, `","value":`...)
			dst = appendMilli(dst, milli)
			dst = append(dst, `,"quality":"good"},`...)
			sum := &b.sums[series]
			sum.Count++
			sum.TimeSum += offset.Microseconds()
			sum.ValueSum += milli
		}
	}
	b.Body = append(dst[:len(dst)-1], `]}`...)
}

// Acknowledge adds the sums of a batch that was accepted.
func (g *Gateway) Acknowledge(b *Batch) {
	for i := range g.sums {
		g.sums[i].Count += b.sums[i].Count
		g.sums[i].TimeSum += b.sums[i].TimeSum
		g.sums[i].ValueSum += b.sums[i].ValueSum
	}
}

// Acknowledged returns the sums of the acknowledged events by series.
func (g *Gateway) Acknowledged() []Series { return g.sums }

// appendMilli writes a number of thousandths as a decimal with at most three places.
func appendMilli(dst []byte, milli int64) []byte {
	if milli < 0 {
		dst = append(dst, '-')
		milli = -milli
	}
	dst = strconv.AppendInt(dst, milli/1000, 10)
	rest := milli % 1000
	if rest == 0 {
		return dst
	}
	dst = append(dst, '.', byte('0'+rest/100), byte('0'+rest/10%10), byte('0'+rest%10))
	for dst[len(dst)-1] == '0' {
		dst = dst[:len(dst)-1]
	}
	return dst
}

// Samples returns the number of samples of each series in a batch.
func (g *Gateway) Samples() int { return g.cfg.Samples }
