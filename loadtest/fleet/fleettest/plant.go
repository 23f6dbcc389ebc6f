// Package fleettest generates the Kinesis records of a simulated fleet, for tests.
package fleettest

import (
	"math"
	"testing"
	"time"

	"github.com/insighthub/insighthub/lib/aws/kinesis/kinesistest"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/loadtest/fleet"
)

// Record is a record of the stream with the batch that it contains.
type Record struct {
	telemetry.Record
	Batch *telemetry.Batch // nil for a poison record
}

// Payload returns the event with which Lambda delivers the records.
func Payload(records []Record) []byte {
	all := make([]telemetry.Record, len(records))
	for i := range records {
		all[i] = records[i].Record
	}
	return kinesistest.Payload(all)
}

// Plant is a fleet at one site whose gateways write to one shard.
type Plant struct {
	Gateways []*fleet.Gateway
	// Fault is added to the temperature of each gateway's first machine.
	Fault float64

	tb       testing.TB
	config   fleet.Config
	encoder  *telemetry.Encoder
	sequence int
}

// New returns a plant with so many machines per gateway and samples per second of each
// metric. It can run for an hour.
func New(tb testing.TB, gateways, machines, samples int, start time.Time) *Plant {
	tb.Helper()
	c := fleet.Config{
		Prefix: "gw", Site: "plant-1", Seed: 7, Gateways: gateways, Machines: machines, Samples: samples, Horizon: time.Hour, Start: start,
	}
	all, err := fleet.New(c)
	if err != nil {
		tb.Fatal(err)
	}
	encoder, err := telemetry.NewEncoder(telemetry.NoCompression)
	if err != nil {
		tb.Fatal(err)
	}
	return &Plant{tb: tb, config: c, Gateways: all, encoder: encoder}
}

// Batch returns the samples of gateway g in the second before at.
func (p *Plant) Batch(g int, at time.Time) *telemetry.Batch {
	b := &telemetry.Batch{Gateway: telemetry.GatewayID(p.Gateways[g].ID), Site: "plant-1", Received: telemetry.MicrosOf(at)}
	for i := range p.config.Samples {
		when := at.Add(-time.Second + time.Duration(i)*time.Second/time.Duration(p.config.Samples) + time.Duration(g)*time.Millisecond)
		for n, m := range p.Gateways[g].Machines {
			values := m.Step(when.Sub(p.config.Start))
			for k, name := range fleet.MetricNames() {
				v := math.Round(values[k]*1000) / 1000
				if n == 0 && name == "temperature" {
					v += p.Fault
				}
				b.Append(telemetry.Event{
					Device: telemetry.DeviceName(m.Name()), Metric: telemetry.MetricName(name), Time: telemetry.MicrosOf(when), Value: v,
				})
			}
		}
	}
	return b
}

// Record returns the next record of the stream, with a batch.
func (p *Plant) Record(b *telemetry.Batch, arrival time.Time) Record {
	p.tb.Helper()
	data, err := p.encoder.AppendRecord(nil, b)
	if err != nil {
		p.tb.Fatal(err)
	}
	r := p.put(data, arrival)
	r.Batch = b
	return r
}

// Poison returns the next record of the stream, which cannot be decoded.
func (p *Plant) Poison(arrival time.Time) Record { return p.put([]byte("not a batch"), arrival) }

func (p *Plant) put(data []byte, arrival time.Time) Record {
	p.sequence++
	return Record{Record: telemetry.Record{
		PartitionKey: "gw", SequenceNumber: kinesistest.Sequence(p.sequence), Arrival: arrival.Truncate(time.Millisecond), Data: data,
	}}
}

// Run returns the records of so many seconds, one per second of each gateway.
func (p *Plant) Run(from time.Time, seconds int) []Record {
	var out []Record
	for s := range seconds {
		at := from.Add(time.Duration(s+1) * time.Second)
		for g := range p.Gateways {
			out = append(out, p.Record(p.Batch(g, at), at.Add(time.Duration(20+g)*time.Millisecond)))
		}
	}
	return out
}
