package main

import (
	"context"
	"log/slog"
	"net"
	"time"

	awskinesis "github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/insighthub/insighthub/lib/aws/kinesis"
	"github.com/insighthub/insighthub/lib/aws/s3"
	"github.com/insighthub/insighthub/lib/aws/secrets"
	"github.com/insighthub/insighthub/lib/bridge"
	lambdahost "github.com/insighthub/insighthub/lib/lambda/host"
	"github.com/insighthub/insighthub/lib/lambda/metrics"
	"github.com/insighthub/insighthub/lib/prometheus/remotewrite"
	"github.com/insighthub/insighthub/lib/shardstate"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/timescale"
)

// build makes the function from its environment.
func build(ctx context.Context, h *lambdahost.Host) (lambdahost.Function, error) {
	s := parse(h.Env)
	if err := h.Env.Err(); err != nil {
		return lambdahost.Function{}, err
	}
	objects, err := s3.New(s3.Config{
		AWS: h.AWS, Bucket: s.bucket, PathStyle: s.pathStyle,
		Wire: &s3.Wire{Dial: (&net.Dialer{Timeout: 2 * time.Second}).DialContext},
	})
	if err != nil {
		return lambdahost.Function{}, err
	}
	client, err := h.RemoteWrite(writeLimits())
	if err != nil {
		return lambdahost.Function{}, err
	}
	// One connection and one attempt: the configuration is read once a minute anyway.
	pool, err := timescale.OpenSecret(ctx, secrets.New(h.AWS), s.secretARN, timescale.PoolConfig{
		Application: "insighthub-bridge", MaxConnections: s.connections,
		MaxAttempts: 1, ConnectTimeout: time.Second, Budget: 5 * time.Second,
	})
	if err != nil {
		return lambdahost.Function{}, err
	}
	lineage := kinesis.NewShards(awskinesis.NewFromConfig(h.AWS), s.stream)
	handler, err := assemble(parts{
		settings: s, objects: objects, lineage: lineage, client: client, rules: rules{pool}, log: h.Log,
		config: bridge.Config{Metrics: h.Registry, Log: h.Log, Now: time.Now},
	})
	return lambdahost.Function{Handler: handler, Close: pool.Close}, err
}

// writeLimits limits the requests to Prometheus. lib/bridge writes at most 4,000 samples
// at once, which is one request unless most of them are histograms.
func writeLimits() remotewrite.Config {
	return remotewrite.Config{MaxSamples: 10_000, MaxBytes: 4 << 20}
}

// parts are the dependencies of assemble.
type parts struct {
	settings settings
	objects  shardstate.Objects
	lineage  shardstate.Lineage
	client   metrics.Writer
	rules    bridge.Rules
	log      *slog.Logger
	config   bridge.Config // the rest
}

// assemble builds the use-case.
func assemble(p parts) (*bridge.Handler, error) {
	machines := bridge.NewMachines(bridge.MachinesConfig{Rules: p.rules, Log: p.log, Now: p.config.Now})
	reduce := p.settings.kpi
	reduce.Machines = machines
	codec, err := bridge.NewCodec(reduce)
	if err != nil {
		return nil, err
	}
	states, err := shardstate.New(shardstate.Config[*bridge.State]{
		Objects: p.objects, Lineage: p.lineage, Codec: codec,
		Consumer: bridge.ConsumerName(reduce.Window), Stream: p.settings.stream,
	})
	if err != nil {
		return nil, err
	}
	decoder, err := telemetry.NewDecoder(telemetry.DefaultLimits())
	if err != nil {
		return nil, err
	}
	p.config.Source, p.config.Decoder, p.config.States = &kinesis.Source{}, decoder, states
	p.config.Receiver, p.config.Machines = &receiver{client: p.client}, machines
	return bridge.New(p.config)
}
