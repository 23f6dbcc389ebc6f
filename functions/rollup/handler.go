package main

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"time"

	lambdahost "github.com/insighthub/insighthub/lib/lambda/host"
	"github.com/insighthub/insighthub/lib/namelist"
	"github.com/insighthub/insighthub/lib/timescale"
)

// handler refreshes minutes and hours, then drops data after its retention.
type handler struct {
	pool      *timescale.Pool
	retention timescale.Retention
	// accessDays is for how many days the access record is stored; 0 is for ever.
	accessDays int
	// names publishes the names of all crowded gateways.
	names     func(context.Context) (int, error)
	published time.Time // when it last did
	// denials publishes the deny list, in case that the function that changed it could not.
	denials  func(context.Context) error
	unsealed func(seconds float64)
	receipts receipts  // nil without a bucket
	archived time.Time // when receipts were last looked for
	now      func() time.Time
	log      *slog.Logger
}

// outcome is the response of an invocation.
type outcome struct {
	timescale.Rollup
	Retained        timescale.Retained
	CrowdedGateways int
	Sealed          int   // entries of the audit trail
	Archived        int64 // entries that left it for the archive
	Conflicts       int   // that were pruned
	Purged          timescale.Purged
	AccessesDropped int // chunks, or lines without the extension
}

// Invoke implements lambda.Handler. While the deny list cannot be published the invocation
// fails, after its other work: tokens are then accepted that should not be.
func (h *handler) Invoke(ctx context.Context, _ []byte) ([]byte, error) {
	unpublished := h.denials(ctx)
	response, err := h.refresh(ctx)
	if err = errors.Join(err, unpublished); err != nil {
		return nil, err
	}
	return response, nil
}

func (h *handler) refresh(ctx context.Context) ([]byte, error) {
	var done outcome
	var err error
	if done.Sealed, err = h.sealTrail(ctx); err != nil {
		h.log.WarnContext(ctx, "audit trail not sealed", "error", err)
	}
	if done.Archived, err = h.archiveTrail(ctx); err != nil {
		h.log.ErrorContext(ctx, "audit trail not archived", "error", err)
	}
	if h.now().Sub(h.published) >= namelist.RefreshEvery {
		if done.CrowdedGateways, err = h.names(ctx); err != nil {
			h.log.WarnContext(ctx, "names of crowded gateways not published", "error", err)
		} else {
			h.published = h.now()
		}
	}
	if done.Rollup, err = h.pool.RefreshRollup(ctx); err != nil {
		return nil, err
	}
	h.log.DebugContext(ctx, "rolled up", "watermark", done.Watermark, "hour_watermark", done.HourWatermark,
		"minutes", done.Minutes, "hours", done.Hours, "incomplete", done.Incomplete)
	if done.Expired > 0 {
		h.log.WarnContext(ctx, "late events of a day that was dropped are missing in minutes and hours", "series_hours", done.Expired)
	}
	if done.Incomplete { // the next invocation continues
		return json.Marshal(done)
	}
	if done.Conflicts, err = h.pool.PruneConflicts(ctx); err != nil {
		return nil, err
	}
	if done.Purged, err = h.pool.PurgeDeleted(ctx); err != nil {
		return nil, err
	}
	if done.Purged.Rows > 0 {
		h.log.InfoContext(ctx, "purged readings of deleted devices and metrics", "rows", done.Purged.Rows, "series", done.Purged.Series,
			"incomplete", done.Purged.Incomplete)
	}
	if done.AccessesDropped, err = h.pool.DropAccesses(ctx, h.accessDays); err != nil {
		return nil, err
	}
	if done.Retained, err = h.pool.ApplyRetention(ctx, h.retention); err != nil {
		return nil, err
	}
	if done.Retained.Dropped > 0 {
		h.log.InfoContext(ctx, "dropped data after its retention", "dropped", done.Retained.Dropped,
			"events_since", done.Retained.EventsSince, "minutes_since", done.Retained.MinutesSince, "hours_since", done.Retained.HoursSince)
	}
	return json.Marshal(done)
}

// mostDays limits a retention.
const mostDays = 36_500

func retentionOf(env *lambdahost.Env) timescale.Retention {
	const tenYears, most = 3653, mostDays
	return timescale.Retention{
		EventDays:  env.Int("RETENTION_EVENT_DAYS", tenYears, 0, most),
		MinuteDays: env.Int("RETENTION_MINUTE_DAYS", tenYears, 0, most),
		HourDays:   env.Int("RETENTION_HOUR_DAYS", 0, 0, most),
	}
}
