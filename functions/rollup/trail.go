package main

import (
	"context"
	"errors"
	"time"

	"github.com/insighthub/insighthub/lib/trail"
)

// receipts lists the receipts of the self-check: the segments of the audit trail that the archive has.
type receipts interface {
	Keys(ctx context.Context, prefix, after string, limit int) ([]string, error)
}

const (
	// archiveEvery is how often receipts are looked for: there is one a month.
	archiveEvery = 10 * time.Minute
)

// sealTrail seals what nobody has read meanwhile, and exports the age of what is not sealed: 0
// after a success.
func (h *handler) sealTrail(ctx context.Context) (sealed int, err error) {
	sealed, err = h.pool.SealTrail(ctx)
	age, unknown := h.pool.TrailBacklog(ctx)
	if unknown == nil {
		h.unsealed(age.Seconds())
		_, unknown = h.pool.ForgetDeliveries(ctx)
	}
	return sealed, errors.Join(err, unknown)
}

// archiveTrail removes entries from the trail for which there is a receipt.
func (h *handler) archiveTrail(ctx context.Context) (removed int64, err error) {
	if h.receipts == nil || h.now().Sub(h.archived) < archiveEvery {
		return 0, nil
	}
	last, err := h.pool.ArchivedTrail(ctx)
	if err != nil {
		return 0, err
	}
	const most = 100
	keys, err := h.receipts.Keys(ctx, trail.ReceiptsPrefix, trail.ReceiptsFrom(last.Last+1), most)
	if err != nil {
		return 0, err
	}
	for _, key := range keys {
		s, err := trail.ParseReceipt(key)
		if err != nil {
			return removed, err
		}
		n, err := h.pool.ArchiveTrail(ctx, s)
		if err != nil {
			return removed, err
		}
		removed += n
		h.log.InfoContext(ctx, "entries of the audit trail are in the archive now", "first", s.First, "last", s.Last, "object", s.Key())
	}
	h.archived = h.now()
	return removed, nil
}
