package main

import (
	"context"
	"encoding/base64"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/insighthub/insighthub/lib/detect"
	"github.com/insighthub/insighthub/lib/eventbridge"
	"github.com/insighthub/insighthub/lib/shardstate"
	"github.com/insighthub/insighthub/lib/shardstate/shardstatetest"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/loadtest/fleet"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// record is one record of the stream.
type record struct {
	sequence int
	arrival  time.Time
	data     []byte
	batch    *telemetry.Batch // what data holds
}

// payload is what Lambda delivers for the records.
func payload(records []record) []byte {
	var b strings.Builder
	b.WriteString(`{"Records":[`)
	for i, r := range records {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"kinesis":{"kinesisSchemaVersion":"1.0","partitionKey":"gw","sequenceNumber":"49%054d","data":%q,"approximateArrivalTimestamp":%d.%03d},`+
			`"eventSource":"aws:kinesis","eventVersion":"1.0","eventID":"shardId-000000000000:49%054d","eventName":"aws:kinesis:record","awsRegion":"eu-west-1",`+
			`"invokeIdentityArn":"arn:aws:iam::000000000000:role/r","eventSourceARN":"arn:aws:kinesis:eu-west-1:000000000000:stream/telemetry"}`,
			r.sequence, base64.StdEncoding.EncodeToString(r.data), r.arrival.Unix(), r.arrival.UnixMilli()%1000, r.sequence)
	}
	b.WriteString(`]}`)
	return []byte(b.String())
}

// plant is a simulated fleet that writes records.
type plant struct {
	tb       testing.TB
	config   fleet.Config
	gateways []*fleet.Gateway
	encoder  *telemetry.Encoder
	sequence int
	// fault is added to the values of each gateway's first machine's temperature.
	fault float64
}

func newPlant(tb testing.TB, gateways, machines, samples int) *plant {
	tb.Helper()
	c := fleet.Config{
		Prefix: "gw", Site: "plant-1", Seed: 7, Gateways: gateways, Machines: machines, Samples: samples, Horizon: time.Hour, Start: noon,
	}
	all, err := fleet.New(c)
	if err != nil {
		tb.Fatal(err)
	}
	encoder, err := telemetry.NewEncoder(telemetry.NoCompression)
	if err != nil {
		tb.Fatal(err)
	}
	return &plant{tb: tb, config: c, gateways: all, encoder: encoder}
}

// second is the records of all gateways of that second.
func (p *plant) second(s int) []record {
	p.tb.Helper()
	at := noon.Add(time.Duration(s+1) * time.Second)
	out := make([]record, len(p.gateways))
	for g := range p.gateways {
		b := &telemetry.Batch{Gateway: telemetry.GatewayID(p.gateways[g].ID), Site: "plant-1", Received: telemetry.MicrosOf(at)}
		for i := range p.config.Samples {
			when := at.Add(-time.Second + time.Duration(i)*time.Second/time.Duration(p.config.Samples) + time.Duration(g)*time.Millisecond)
			for n, m := range p.gateways[g].Machines {
				values := m.Step(when.Sub(p.config.Start))
				for k, name := range fleet.MetricNames() {
					v := math.Round(values[k]*1000) / 1000
					if n == 0 && name == "temperature" {
						v += p.fault
					}
					b.Append(telemetry.Event{
						Device: telemetry.DeviceName(m.Name()), Metric: telemetry.MetricName(name), Time: telemetry.MicrosOf(when), Value: v,
					})
				}
			}
		}
		data, err := p.encoder.AppendRecord(nil, b)
		if err != nil {
			p.tb.Fatal(err)
		}
		p.sequence++
		out[g] = record{sequence: p.sequence, arrival: at.Add(20 * time.Millisecond), data: data, batch: b}
	}
	return out
}

type oneShard struct{}

func (oneShard) Shard(context.Context, string) (parents []string, firstHash, lastHash string, err error) {
	return nil, "0", "340282366920938463463374607431768211455", nil
}

// posted is a bus in memory.
type posted struct{ events []eventbridge.Event }

func (p *posted) Put(_ context.Context, events []eventbridge.Event) (int, error) {
	p.events = append(p.events, events...)
	return len(events), nil
}

// machines is a configuration without rules.
type machines struct{}

func (machines) Configuration(context.Context) (detect.Configuration, error) {
	return detect.Configuration{Machines: detect.DefaultMachines()}, nil
}

// newHandler is the function over what a test has; nil objects are memory.
func newHandler(tb testing.TB, a detect.Anomalies, to bus, c detect.Configurations, objects shardstate.Objects) (*detect.Handler, *prometheus.Registry) {
	tb.Helper()
	if objects == nil {
		objects = &shardstatetest.Memory{}
	}
	registry := prometheus.NewRegistry()
	h, err := assemble(parts{
		settings: settings{stream: "telemetry"}, objects: objects, lineage: oneShard{}, configurations: c,
		config: detect.Config{Anomalies: a, Notifier: notifier{to}, Metrics: registry, Log: slog.New(slog.DiscardHandler), Now: time.Now},
	})
	if err != nil {
		tb.Fatal(err)
	}
	return h, registry
}
