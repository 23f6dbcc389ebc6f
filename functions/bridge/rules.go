package main

import (
	"context"

	"github.com/insighthub/insighthub/lib/bridge"
	"github.com/insighthub/insighthub/lib/timescale"
)

// rules implements bridge.Rules with the database.
type rules struct{ pool *timescale.Pool }

var _ bridge.Rules = rules{}

func (r rules) Rules(ctx context.Context) ([]bridge.Rule, error) {
	configs, err := r.pool.KPIConfigs(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]bridge.Rule, len(configs))
	for i, c := range configs {
		out[i] = bridge.Rule{Devices: c.Devices, Config: c.Row, Revoked: c.Revoked}
	}
	return out, nil
}
