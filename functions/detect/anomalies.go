package main

import (
	"context"
	"errors"
	"log/slog"

	"github.com/insighthub/insighthub/lib/detect"
	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// database is the part of the pool and its writer that keeps anomalies.
type database interface {
	// AddAnomalies keeps what was found, except of devices and metrics that are not
	// known, which it counts.
	AddAnomalies(ctx context.Context, found []directory.Anomaly) (added, unknown int, err error)
	// AddNames adds names that have no event yet; telemetry.ErrInvalid when
	// that will never be.
	AddNames(ctx context.Context, names *telemetry.Batch) error
}

// anomalies is the database as the use-case wants it. Detector and store read the
// stream on their own, so an anomaly may come before the event that it is about:
// then its names are added, as the store would.
type anomalies struct {
	database database
	log      *slog.Logger
}

var _ detect.Anomalies = anomalies{}

func (a anomalies) Add(ctx context.Context, found []directory.Anomaly) (detect.AddResult, error) {
	added, unknown, err := a.database.AddAnomalies(ctx, found)
	if err == nil && unknown > 0 {
		if err = a.addNames(ctx, found); err == nil {
			var more int
			more, unknown, err = a.database.AddAnomalies(ctx, found)
			added += more
		}
	}
	switch {
	case err == nil:
		// What is unknown still is past the gateway's bound on names: its events are not
		// stored either.
		if unknown > 0 {
			a.log.LogAttrs(ctx, slog.LevelWarn, "anomalies of devices or metrics that can not be stored", slog.Int("anomalies", unknown))
		}
		return detect.AddResult{Added: added, Duplicates: len(found) - added - unknown, Rejected: unknown}, nil
	case !errors.Is(err, telemetry.ErrInvalid):
		return detect.AddResult{Added: added}, err
	case len(found) == 1:
		a.log.LogAttrs(ctx, slog.LevelError, "the database refuses an anomaly", slog.String("gateway", string(found[0].Gateway)),
			slog.String("kind", string(found[0].Kind)), slog.String("error", err.Error()))
		return detect.AddResult{Rejected: 1}, nil
	}
	// One of them is refused, and must not keep the others, or the shard, from going on.
	half := len(found) / 2
	first, err := a.Add(ctx, found[:half])
	if err != nil {
		return first, err
	}
	second, err := a.Add(ctx, found[half:])
	return detect.AddResult{
		Added: added + first.Added + second.Added, Duplicates: first.Duplicates + second.Duplicates - added, Rejected: first.Rejected + second.Rejected,
	}, err
}

// addNames adds the names, gateway by gateway, so that one at its limit does
// not keep another from it.
func (a anomalies) addNames(ctx context.Context, found []directory.Anomaly) error {
	byGateway := make(map[telemetry.GatewayID]*telemetry.Batch)
	for i := range found {
		f := &found[i]
		b := byGateway[f.Gateway]
		if b == nil {
			b = &telemetry.Batch{Gateway: f.Gateway, Site: f.Site}
			byGateway[f.Gateway] = b
		}
		b.DeviceIndex(f.Device)
		if f.Metric != "" {
			b.MetricIndex(f.Metric)
		}
	}
	for gateway, b := range byGateway {
		err := a.database.AddNames(ctx, b)
		if errors.Is(err, telemetry.ErrInvalid) {
			a.log.LogAttrs(ctx, slog.LevelWarn, "names cannot be added", slog.String("gateway", string(gateway)), slog.String("error", err.Error()))
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}
