package main

import (
	"context"

	"github.com/insighthub/insighthub/lib/store"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/timescale"
)

// writer is the database as the use-case wants it.
type writer struct{ *timescale.Writer }

var _ store.Writer = writer{}

func (w writer) Write(ctx context.Context, batches []*telemetry.Batch) (store.Outcome, error) {
	outcome, err := w.Writer.Write(ctx, batches)
	return store.Outcome(outcome), err
}
