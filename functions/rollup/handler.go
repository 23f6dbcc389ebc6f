package main

import (
	"context"
	"encoding/json"
	"log/slog"

	"github.com/insighthub/insighthub/lib/timescale"
)

// handler refreshes the minutes.
type handler struct {
	pool *timescale.Pool
	log  *slog.Logger
}

// Invoke implements lambda.Handler.
func (h *handler) Invoke(ctx context.Context, _ []byte) ([]byte, error) {
	done, err := h.pool.RefreshRollup(ctx)
	if err != nil {
		return nil, err
	}
	h.log.DebugContext(ctx, "rolled up", "watermark", done.Watermark, "minutes", done.Minutes, "hours", done.Hours, "behind", done.Behind)
	return json.Marshal(done)
}
