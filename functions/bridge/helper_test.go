package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/insighthub/insighthub/lib/bridge"
	"github.com/insighthub/insighthub/lib/kpi"
	"github.com/insighthub/insighthub/lib/metrics"
	"github.com/insighthub/insighthub/lib/remotewrite"
	"github.com/insighthub/insighthub/lib/shardstate"
	"github.com/insighthub/insighthub/lib/shardstate/shardstatetest"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/loadtest/fleet"
)

const (
	shard0 = "shardId-000000000000"
	window = 5 * time.Second
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// record is one record of the stream.
type record struct {
	sequence int
	arrival  time.Time
	data     []byte
	batch    *telemetry.Batch // what data holds; nil for rubbish
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
			`"eventSource":"aws:kinesis","eventVersion":"1.0","eventID":"%s:49%054d","eventName":"aws:kinesis:record","awsRegion":"eu-west-1",`+
			`"invokeIdentityArn":"arn:aws:iam::000000000000:role/r","eventSourceARN":"arn:aws:kinesis:eu-west-1:000000000000:stream/telemetry"}`,
			r.sequence, base64.StdEncoding.EncodeToString(r.data), r.arrival.Unix(), r.arrival.UnixMilli()%1000, shard0, r.sequence)
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
}

func newPlant(tb testing.TB, gateways, machines, samples int, start time.Time) *plant {
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
	return &plant{tb: tb, config: c, gateways: all, encoder: encoder}
}

// batch is what gateway g sampled in the second before at.
func (p *plant) batch(g int, at time.Time) *telemetry.Batch {
	b := &telemetry.Batch{Gateway: telemetry.GatewayID(p.gateways[g].ID), Site: "plant-1", Received: telemetry.MicrosOf(at)}
	for i := range p.config.Samples {
		when := at.Add(-time.Second + time.Duration(i)*time.Second/time.Duration(p.config.Samples) + time.Duration(g)*time.Millisecond)
		for _, m := range p.gateways[g].Machines {
			values := m.Step(when.Sub(p.config.Start))
			for k, name := range fleet.MetricNames() {
				b.Append(telemetry.Event{
					Device: telemetry.DeviceName(m.Name()), Metric: telemetry.MetricName(name), Time: telemetry.MicrosOf(when),
					Value: math.Round(values[k]*1000) / 1000,
				})
			}
		}
	}
	return b
}

func (p *plant) record(b *telemetry.Batch, arrival time.Time) record {
	p.tb.Helper()
	data, err := p.encoder.AppendRecord(nil, b)
	if err != nil {
		p.tb.Fatal(err)
	}
	p.sequence++
	return record{sequence: p.sequence, arrival: arrival.Truncate(time.Millisecond), data: data, batch: b}
}

// run is the records of that many seconds.
func (p *plant) run(from time.Time, seconds int) []record {
	var out []record
	for s := range seconds {
		at := from.Add(time.Duration(s+1) * time.Second)
		for g := range p.gateways {
			out = append(out, p.record(p.batch(g, at), at.Add(time.Duration(20+g)*time.Millisecond)))
		}
	}
	return out
}

// sink is a receiver in memory that takes samples as a Prometheus without an
// out-of-order window does.
type sink struct {
	mu     sync.Mutex
	taken  map[string][]remotewrite.Sample // by series
	lags   map[string][]remotewrite.Histogram
	writes int
	// down says what becomes of a write: how many of its series are still taken
	// before it fails; negative: it does not fail.
	down func(n int) int
	bad  func(series string) bool
	// olds are the samples that were refused since newer ones were there.
	olds int
}

var _ metrics.Writer = (*sink)(nil)

func newSink() *sink {
	return &sink{taken: map[string][]remotewrite.Sample{}, lags: map[string][]remotewrite.Histogram{}}
}

func (s *sink) Write(_ context.Context, series []remotewrite.Series) (remotewrite.Result, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out remotewrite.Result
	s.writes++
	fail := -1
	if s.down != nil {
		fail = s.down(len(series))
	}
	for i := range series {
		if i == fail {
			return out, &remotewrite.RetryError{Err: context.DeadlineExceeded}
		}
		in := &series[i]
		key := in.String()
		switch reason := s.put(key, in); reason {
		case "":
			out.Samples += len(in.Samples)
			out.Histograms += len(in.Histograms)
		default:
			out.Rejected = append(out.Rejected, remotewrite.Rejection{Series: i, Labels: key, Samples: 1, Status: 400, Reason: reason, Isolated: true})
		}
	}
	if fail >= len(series) {
		return out, &remotewrite.RetryError{Err: context.DeadlineExceeded}
	}
	return out, nil
}

func (s *sink) put(key string, in *remotewrite.Series) string {
	if s.bad != nil && s.bad(key) {
		return "label value is not to my taste"
	}
	if len(in.Histograms) > 0 {
		h := in.Histograms[0]
		have := s.lags[key]
		if n := len(have); n > 0 && have[n-1].Timestamp >= h.Timestamp {
			if have[n-1].Timestamp == h.Timestamp && have[n-1].Count == h.Count {
				return ""
			}
			s.olds++
			return "out of order sample"
		}
		s.lags[key] = append(have, h)
		return ""
	}
	sample := in.Samples[0]
	have := s.taken[key]
	if n := len(have); n > 0 && have[n-1].Timestamp >= sample.Timestamp {
		switch {
		case have[n-1] == sample:
			return ""
		case have[n-1].Timestamp == sample.Timestamp:
			return "a value that contradicts"
		}
		s.olds++
		return "out of order sample"
	}
	s.taken[key] = append(have, sample)
	return ""
}

type noRules struct{}

func (noRules) Rules(context.Context) ([]bridge.Rule, error) { return bridge.DefaultRules(), nil }

type oneShard struct{}

func (oneShard) Shard(context.Context, string) (parents []string, firstHash, lastHash string, err error) {
	return nil, "0", "340282366920938463463374607431768211455", nil
}

// bench is the function over memory.
type bench struct {
	handler *bridge.Handler
	objects shardstate.Objects
	sink    metrics.Writer
	log     bytes.Buffer
}

func newBench(tb testing.TB, to metrics.Writer) *bench {
	tb.Helper()
	b := &bench{objects: &shardstatetest.Memory{}, sink: to}
	b.cold(tb)
	return b
}

// cold puts a new process in the place of the old one.
func (b *bench) cold(tb testing.TB) {
	tb.Helper()
	log := slog.New(slog.NewJSONHandler(&b.log, nil))
	h, err := assemble(parts{
		settings: settings{stream: "telemetry", kpi: kpi.Config{Window: window, Lateness: 2 * time.Second}},
		objects:  b.objects, lineage: oneShard{}, client: b.sink, rules: noRules{}, log: log,
		config: bridge.Config{Metrics: prometheus.NewRegistry(), Log: log, Now: time.Now},
	})
	if err != nil {
		tb.Fatal(err)
	}
	b.handler = h
}
