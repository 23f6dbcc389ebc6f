package main

import (
	"context"
	"errors"

	"github.com/insighthub/insighthub/lib/bridge"
	"github.com/insighthub/insighthub/lib/kinesis"
	"github.com/insighthub/insighthub/lib/kpi"
	"github.com/insighthub/insighthub/lib/shardstate"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/timescale"
)

// source is the Kinesis event source mapping as the use-case wants it.
type source struct {
	event  kinesis.Event
	packed []kinesis.UserRecord
}

var _ bridge.Source = (*source)(nil)

func (s *source) Records(dst []bridge.Record, payload []byte) ([]bridge.Record, error) {
	if err := kinesis.DecodeEvent(payload, &s.event); err != nil {
		return dst, err
	}
	for _, r := range s.event.Records {
		dst = append(dst, bridge.Record{
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

// rules is the database's table as the use-case wants it.
type rules struct{ pool *timescale.Pool }

var _ bridge.Rules = rules{}

func (r rules) Rules(ctx context.Context) ([]bridge.Rule, error) {
	configs, err := r.pool.KPIConfigs(ctx)
	if err != nil && !errors.Is(err, telemetry.ErrInvalid) {
		return nil, err
	}
	out := make([]bridge.Rule, len(configs))
	for i, c := range configs {
		out[i] = ruleOf(c)
	}
	return out, err
}

func ruleOf(c timescale.KPIConfig) bridge.Rule {
	out := bridge.Rule{Gateway: c.GatewayPattern, Device: c.DevicePattern, Config: kpi.MachineConfig{
		StateMetric: c.StateMetric, CountMetric: c.CountMetric, GoodMetric: c.GoodMetric,
		States: make(map[int]kpi.State, len(c.States)), IdealCycle: c.IdealCycle, StaleLimit: c.StaleAfter,
	}}
	elements := map[string]kpi.Element{
		"production": kpi.Production, "idle": kpi.Idle, "setup": kpi.Setup, "down": kpi.Down, "not_planned": kpi.NotPlanned,
	}
	for code, s := range c.States {
		out.Config.States[code] = kpi.State{Element: elements[s.Element], Reason: s.Reason}
	}
	for _, s := range c.Planned {
		out.Config.Shifts = append(out.Config.Shifts, kpi.Shift{Start: s.Start, End: s.End})
	}
	return out
}
