package main

import (
	"context"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/timescale/timescaletest"
	"github.com/insighthub/insighthub/lib/trail"
)

// bucket has keys.
type bucket []string

func (b bucket) Keys(_ context.Context, _, after string, limit int) ([]string, error) {
	keys := slices.DeleteFunc(slices.Clone(b), func(key string) bool { return key <= after })
	return keys[:min(limit, len(keys))], nil
}

// TestArchiveTrail: the entries of a receipt leave the trail, in the order of the receipts and once;
// without a receipt none does.
func TestArchiveTrail(t *testing.T) {
	pool, _ := timescaletest.Open(t)
	for i := range 6 {
		at := time.Now().Add(time.Duration(i-40) * 24 * time.Hour)
		e := trail.Entry{Time: telemetry.MicrosOf(at), Action: "site.change", Detail: "{}"}
		if err := pool.AppendTrail(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := pool.TrailAfter(t.Context(), 0, 10)
	if err != nil {
		t.Fatal(err)
	}
	segment := func(first, last int64) string {
		return trail.Segment{First: first, Last: last, Hash: entries[last-1].Hash}.Receipt()
	}
	now := time.Now()
	unsealed := -1.0
	h := &handler{
		pool: pool, now: func() time.Time { return now }, log: slog.New(slog.DiscardHandler), unsealed: func(s float64) { unsealed = s },
		receipts: bucket{segment(1, 2), segment(3, 4), "x"},
	}
	if n, err := h.archiveTrail(t.Context()); err == nil || n != 4 {
		t.Errorf("got %d removed, %v; want 4, and an error of the key that is no receipt", n, err)
	}
	h.receipts = bucket{segment(1, 2), segment(3, 4)}
	for range 2 {
		if n, err := h.archiveTrail(t.Context()); err != nil || n != 0 {
			t.Errorf("again: got %d removed, %v; want 0", n, err)
		}
		now = now.Add(archiveEvery)
	}
	left, err := pool.TrailAfter(t.Context(), 0, 10)
	if err != nil || len(left) != 2 || left[0].Seq != 5 {
		t.Errorf("got %+v, %v; want the entries 5 and 6", left, err)
	}
	if err := pool.AppendTrail(t.Context(), trail.Entry{Action: "site.change", Detail: "{}"}); err != nil {
		t.Fatal(err)
	}
	if n, err := h.sealTrail(t.Context()); err != nil || n != 1 || unsealed != 0 {
		t.Errorf("got %d sealed, %v, and %v s not sealed; want 1 and 0", n, err, unsealed)
	}
}
