package main

import (
	"context"
	"errors"

	"github.com/insighthub/insighthub/lib/bridge"
	"github.com/insighthub/insighthub/lib/kpi"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/timescale"
)

// rules implements bridge.Rules with the database.
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
