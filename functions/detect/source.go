package main

import (
	"context"
	"errors"

	"github.com/insighthub/insighthub/lib/detect"
	"github.com/insighthub/insighthub/lib/kinesis"
	"github.com/insighthub/insighthub/lib/shardstate"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/timescale"
)

// source is the Kinesis event source mapping as the use-case wants it.
type source struct {
	event  kinesis.Event
	packed []kinesis.UserRecord
}

var _ detect.Source = (*source)(nil)

func (s *source) Records(dst []detect.Record, payload []byte) ([]detect.Record, error) {
	if err := kinesis.DecodeEvent(payload, &s.event); err != nil {
		return dst, err
	}
	for _, r := range s.event.Records {
		dst = append(dst, detect.Record{
			Shard: shardstate.ShardID(r.Shard), SequenceNumber: shardstate.Sequence(r.SequenceNumber), Arrival: r.Arrival, Data: r.Data,
		})
	}
	return dst, nil
}

func (s *source) Messages(dst [][]byte, data []byte) ([][]byte, error) {
	var err error
	if s.packed, err = kinesis.Deaggregate(s.packed[:0], data, kinesis.DefaultAggregateLimits()); err != nil {
		return dst, err
	}
	for _, r := range s.packed {
		dst = append(dst, r.Data)
	}
	return dst, nil
}

func (s *source) Answer() []byte { return kinesis.Response{}.Encode() }

// configuration is the database's tables as the use-case wants them.
type configuration struct{ pool *timescale.Pool }

var _ detect.Configurations = configuration{}

func (c configuration) Configuration(ctx context.Context) (detect.Configuration, error) {
	rules, err := c.pool.EnabledAlarmRules(ctx)
	if err != nil {
		return detect.Configuration{}, err
	}
	machines, err := c.pool.KPIConfigs(ctx)
	if err != nil && !errors.Is(err, telemetry.ErrInvalid) {
		return detect.Configuration{}, err
	}
	out := detect.Configuration{Rules: rules}
	for _, m := range machines {
		own := detect.Machine{Gateway: m.GatewayPattern, Device: m.DevicePattern}
		for _, metric := range []telemetry.MetricName{m.StateMetric, m.CountMetric, m.GoodMetric} {
			if metric != "" {
				own.Unscored = append(own.Unscored, metric)
			}
		}
		out.Machines = append(out.Machines, own)
	}
	return out, err
}
