package main

import (
	"context"
	"slices"

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
	if err != nil {
		return detect.Configuration{}, err
	}
	out := detect.Configuration{Rules: rules}
	for _, m := range machines {
		unscored := []telemetry.MetricName{m.StateMetric, m.CountMetric, m.GoodMetric}
		unscored = slices.DeleteFunc(unscored, func(m telemetry.MetricName) bool { return m == "" })
		out.Machines = append(out.Machines, detect.Machine{Devices: m.Devices, Unscored: unscored})
	}
	return out, nil
}
