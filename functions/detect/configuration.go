package main

import (
	"context"
	"errors"

	"github.com/insighthub/insighthub/lib/detect"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/timescale"
)

// configuration implements detect.Configurations over the database.
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
		machine := detect.Machine{Gateway: m.GatewayPattern, Device: m.DevicePattern}
		for _, metric := range []telemetry.MetricName{m.StateMetric, m.CountMetric, m.GoodMetric} {
			if metric != "" {
				machine.Unscored = append(machine.Unscored, metric)
			}
		}
		out.Machines = append(out.Machines, machine)
	}
	return out, err
}
