package main

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
	awskinesis "github.com/aws/aws-sdk-go-v2/service/kinesis"

	awsconfig "github.com/insighthub/insighthub/lib/aws/config"
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

// function is the use-case with its own metrics, and what is to be closed after it.
type function struct {
	lambda.Handler
	pool *timescale.Pool
}

// build makes the function from its environment.
func build(ctx context.Context, getenv func(string) string, log *slog.Logger) (*function, error) {
	s, err := parse(getenv)
	if err != nil {
		return nil, err
	}
	host, err := lambdahost.NewHost(getenv)
	if err != nil {
		return nil, err
	}
	objects, err := s3.New(s3.Config{
		AWS: host.AWS, Bucket: s.bucket, PathStyle: s.pathStyle,
		Wire: &s3.Wire{Dial: (&net.Dialer{Timeout: 2 * time.Second}).DialContext},
	})
	if err != nil {
		return nil, err
	}
	client, err := newClient(host.AWS, s)
	if err != nil {
		return nil, err
	}
	// One connection, and one attempt: the configuration is read again a minute later.
	pool, err := timescale.OpenSecret(ctx, secrets.New(host.AWS), s.secretARN, timescale.PoolConfig{
		Application: "insighthub-bridge", MaxConnections: 1, MaxAttempts: 1, ConnectTimeout: time.Second,
	})
	if err != nil {
		return nil, err
	}
	lineage := kinesis.NewShards(awskinesis.NewFromConfig(host.AWS), s.stream)
	handler, err := assemble(parts{
		settings: s, objects: objects, lineage: lineage, client: client, rules: rules{pool}, log: log,
		config: bridge.Config{Metrics: host.Registry, Log: log, Now: time.Now},
	})
	if err != nil {
		return nil, err
	}
	observed, err := host.Observe(handler)
	return &function{observed, pool}, err
}

func newClient(cfg aws.Config, s settings) (*remotewrite.Client, error) {
	c := remotewrite.Config{
		URL: s.url, Now: time.Now, Rand: rand.Float64, MaxSamples: maxRequestSamples, MaxBytes: maxRequestBytes,
		HTTP: &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
	}
	if s.sigV4 {
		c.Protocol = remotewrite.V1
		c.SigV4 = &awsconfig.SigV4{Region: cfg.Region, Credentials: cfg.Credentials}
	}
	return remotewrite.New(c)
}

// A window's samples come in parts of at most 4,000 (lib/bridge); a part is one
// request unless it is full of histograms.
const (
	maxRequestSamples = 10_000
	maxRequestBytes   = 4 << 20
)

// parts are what the use-case is assembled from.
type parts struct {
	settings settings
	objects  shardstate.Objects
	lineage  shardstate.Lineage
	client   metrics.Writer
	rules    bridge.Rules
	log      *slog.Logger
	config   bridge.Config // the rest
}

func assemble(p parts) (*bridge.Handler, error) {
	machines, err := bridge.NewMachines(bridge.MachinesConfig{Rules: p.rules, Log: p.log, Now: p.config.Now})
	if err != nil {
		return nil, err
	}
	reduce := p.settings.kpi
	reduce.Machines = machines
	codec, err := bridge.NewCodec(reduce)
	if err != nil {
		return nil, err
	}
	// A state is read only under the window length that it was written with, so
	// another length begins with other states.
	states, err := shardstate.New(shardstate.Config[*bridge.State]{
		Objects: p.objects, Lineage: p.lineage, Codec: codec,
		Consumer: fmt.Sprintf("bridge-%ds", int(reduce.Window.Seconds())), Stream: p.settings.stream,
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
