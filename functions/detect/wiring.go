package main

import (
	"context"
	"time"

	awseventbridge "github.com/aws/aws-sdk-go-v2/service/eventbridge"
	awskinesis "github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/insighthub/insighthub/lib/aws/eventbridge"
	"github.com/insighthub/insighthub/lib/aws/kinesis"
	"github.com/insighthub/insighthub/lib/aws/s3"
	"github.com/insighthub/insighthub/lib/aws/secrets"
	"github.com/insighthub/insighthub/lib/detect"
	lambdahost "github.com/insighthub/insighthub/lib/lambda/host"
	"github.com/insighthub/insighthub/lib/shardstate"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/timescale"
)

// build builds the function from its environment.
func build(ctx context.Context, h *lambdahost.Host) (lambdahost.Function, error) {
	s := parse(h.Env)
	if err := h.Env.Err(); err != nil {
		return lambdahost.Function{}, err
	}
	objects, err := s3.New(s3.Config{AWS: h.AWS, Bucket: s.bucket, PathStyle: s.pathStyle, MaxBytes: maxStateBytes + 1<<20})
	if err != nil {
		return lambdahost.Function{}, err
	}
	bus, err := eventbridge.New(eventbridge.Config{Client: awseventbridge.NewFromConfig(h.AWS), Name: s.bus, Source: eventSource})
	if err != nil {
		return lambdahost.Function{}, err
	}
	pool, err := timescale.OpenSecret(ctx, secrets.New(h.AWS), s.secretARN, timescale.PoolConfig{
		Application: "insighthub-detect", MaxConnections: s.connections, ConnectTimeout: time.Second,
	})
	if err != nil {
		return lambdahost.Function{}, err
	}
	lineage := kinesis.NewShards(awskinesis.NewFromConfig(h.AWS), s.stream)
	exporter, err := newScores(h)
	if err != nil {
		return lambdahost.Function{}, err
	}
	handler, err := assemble(parts{
		settings: s, objects: objects, lineage: lineage, configurations: configuration{pool},
		config: detect.Config{
			Anomalies: anomalies{poolWriter{pool, timescale.NewWriter(pool, timescale.WriterConfig{})}, h.Log},
			Notifier:  notifier{bus, eventType}, Ends: notifier{bus, endType}, Scores: exporter,
			Metrics: h.Registry, Log: h.Log, Now: time.Now,
		},
	})
	return lambdahost.Function{Handler: handler, Close: pool.Close}, err
}

// poolWriter implements database.
type poolWriter struct {
	*timescale.Pool
	*timescale.Writer
}

var _ database = poolWriter{}

// A state of 30,000 series has 60 MB after some weeks. It is not compressed, which would
// take five times the CPU time of encoding it, and not cached for more shards than an
// environment is likely to process.
const (
	maxStateBytes = 96 << 20
	cacheShards   = 2
)

// parts are the dependencies of assemble.
type parts struct {
	settings       settings
	objects        shardstate.Objects
	lineage        shardstate.Lineage
	configurations detect.Configurations
	config         detect.Config // assemble sets the fields that depend on the others
}

func assemble(p parts) (*detect.Handler, error) {
	p.config.Settings = detect.NewSettings(detect.SettingsConfig{Configurations: p.configurations, Log: p.config.Log, Now: p.config.Now})
	codec, err := detect.NewCodec(p.settings.limits)
	if err != nil {
		return nil, err
	}
	p.config.States, err = shardstate.New(shardstate.Config[*detect.State]{
		Objects: p.objects, Lineage: p.lineage, Codec: codec, Consumer: detect.ConsumerName, Stream: p.settings.stream,
		MaxStateBytes: maxStateBytes, CacheShards: cacheShards,
	})
	if err != nil {
		return nil, err
	}
	decoder, err := telemetry.NewDecoder(telemetry.DefaultLimits())
	if err != nil {
		return nil, err
	}
	p.config.Source, p.config.Decoder, p.config.Lineage = &kinesis.Source{}, decoder, p.lineage
	return detect.New(p.config)
}
