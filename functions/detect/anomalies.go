package main

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"

	"github.com/insighthub/insighthub/lib/detect"
	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// database is what anomalies needs of a timescale.Pool and its Writer.
type database interface {
	// AddAnomalies inserts anomalies. It leaves out and counts those whose device or
	// metric the database does not have.
	AddAnomalies(ctx context.Context, found []directory.Anomaly) (added, unknown int, err error)
	// WithoutRemovedRules returns those whose alarm rules exist, or that are of none.
	WithoutRemovedRules(ctx context.Context, found []directory.Anomaly) ([]directory.Anomaly, error)
	// EndAnomalies stores the ends of anomalies, and skips those that it does not have.
	EndAnomalies(ctx context.Context, ended []directory.Anomaly) error
	// AddNames inserts the batch's devices and metrics, before their first event. It
	// returns telemetry.ErrInvalid if they are rejected permanently.
	AddNames(ctx context.Context, names *telemetry.Batch) error
	// AddSilentNames inserts those of series that never reported: they are not listed. The
	// errors are the same.
	AddSilentNames(ctx context.Context, names *telemetry.Batch) error
}

// anomalies implements detect.Anomalies over the database. Detector and store read the
// stream independently, so an anomaly may be inserted before its event: then anomalies
// adds the names of its device and metric, as the store would.
type anomalies struct {
	database database
	log      *slog.Logger
}

var _ detect.Anomalies = anomalies{}

func (a anomalies) Add(ctx context.Context, found []directory.Anomaly) (detect.AddResult, error) {
	added, unknown, err := a.database.AddAnomalies(ctx, found)
	rejected := unknown
	if err == nil && unknown > 0 {
		var more int
		more, unknown, err = a.addWithNames(ctx, found)
		added += more
		rejected -= more
	}
	switch {
	case err == nil:
		// Those that are left exceed the gateway's limit of names: their events are not
		// stored either.
		if unknown > 0 {
			a.log.LogAttrs(ctx, slog.LevelWarn, "anomalies rejected: too many devices or metrics", slog.Int("anomalies", unknown))
		}
		return detect.AddResult{Added: added, Duplicates: len(found) - added - rejected, Rejected: rejected}, nil
	case !errors.Is(err, telemetry.ErrInvalid):
		return detect.AddResult{Added: added}, err
	case len(found) == 1:
		a.log.LogAttrs(ctx, slog.LevelError, "the database rejected an anomaly", slog.String("gateway", string(found[0].Gateway)),
			slog.String("kind", string(found[0].Kind)), slog.String("error", err.Error()))
		return detect.AddResult{Rejected: 1}, nil
	}
	// Bisect: a rejected anomaly must block neither the others nor the shard.
	half := len(found) / 2
	first, err := a.Add(ctx, found[:half])
	if err != nil {
		return first, err
	}
	second, err := a.Add(ctx, found[half:])
	return detect.AddResult{
		Added:      added + first.Added + second.Added,
		Duplicates: first.Duplicates + second.Duplicates - added, Rejected: first.Rejected + second.Rejected,
	}, err
}

// End implements detect.Anomalies. An end that the database rejects must not block the shard.
func (a anomalies) End(ctx context.Context, ended []directory.Anomaly) error {
	err := a.database.EndAnomalies(ctx, ended)
	switch {
	case !errors.Is(err, telemetry.ErrInvalid):
		return err
	case len(ended) == 1:
		a.log.LogAttrs(ctx, slog.LevelError, "the database rejected the end of an anomaly",
			slog.String("gateway", string(ended[0].Gateway)), slog.String("error", err.Error()))
		return nil
	}
	half := len(ended) / 2
	if err := a.End(ctx, ended[:half]); err != nil {
		return err
	}
	return a.End(ctx, ended[half:])
}

// addWithNames adds anomalies of which some are of unknown devices or metrics, and the
// names. When a device is deleted, its rules go with it: their anomalies, found before the
// detector has read that, do not bring its name back.
func (a anomalies) addWithNames(ctx context.Context, found []directory.Anomaly) (added, unknown int, err error) {
	if found, err = a.database.WithoutRemovedRules(ctx, found); err != nil {
		return 0, 0, err
	}
	// The events of the others are about to be stored.
	silent := func(f directory.Anomaly) bool { return f.Kind == directory.ByNoData }
	if err = a.addNames(ctx, slices.DeleteFunc(slices.Clone(found), silent), a.database.AddNames); err != nil {
		return 0, 0, err
	}
	heard := func(f directory.Anomaly) bool { return !silent(f) }
	if err = a.addNames(ctx, slices.DeleteFunc(slices.Clone(found), heard), a.database.AddSilentNames); err != nil {
		return 0, 0, err
	}
	return a.database.AddAnomalies(ctx, found)
}

// addNames adds the names gateway by gateway, so that one at its limit does not affect
// the others.
func (a anomalies) addNames(
	ctx context.Context, found []directory.Anomaly, add func(context.Context, *telemetry.Batch) error,
) error {
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
	for _, gateway := range slices.Sorted(maps.Keys(byGateway)) {
		err := add(ctx, byGateway[gateway])
		if errors.Is(err, telemetry.ErrInvalid) {
			a.log.LogAttrs(ctx, slog.LevelWarn, "names of devices or metrics rejected",
				slog.String("gateway", string(gateway)), slog.String("error", err.Error()))
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}
