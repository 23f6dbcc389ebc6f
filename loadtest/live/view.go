package live

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/insighthub/insighthub/loadtest/live/latency"
)

// transport is web/bench/view.ts's Transport.
type transport struct {
	Kind      string `json:"kind"` // peer or relay
	URL       string `json:"url,omitempty"`
	Signaling string `json:"signaling,omitempty"`
	Token     string `json:"token,omitempty"`
	Site      string `json:"site,omitempty"`
	Gateway   string `json:"gateway,omitempty"`
	RelayOnly bool   `json:"relayOnly"`
	Video     bool   `json:"video"`
}

// viewReport is web/bench/messages.ts's Report.
type viewReport struct {
	Stages    map[string]latency.Counts `json:"stages"`
	Minutes   []minute                  `json:"minutes"`
	Frames    int64                     `json:"frames"`
	Events    int64                     `json:"events"`
	Lost      int64                     `json:"lost"`
	Invalid   int64                     `json:"invalid"`
	Late      int64                     `json:"late"`
	Unscored  int64                     `json:"unscored"`
	Gap       float64                   `json:"gap"`    // µs
	Offset    *float64                  `json:"offset"` // µs
	Error     *float64                  `json:"error"`
	RoundTrip *float64                  `json:"roundTrip"`
	LastError string                    `json:"lastError"`
	Path      string                    `json:"path"`
}

// minute is of a long view; latencies and offset in µs.
type minute struct {
	Events int64    `json:"events"`
	P50    *float64 `json:"p50"`
	P99    *float64 `json:"p99"`
	Offset *float64 `json:"offset"`
	Error  *float64 `json:"error"`
}

// totals adds up the views of one kind.
type totals struct {
	stages               map[string]*latency.Histogram
	Events, Frames, Lost int64
	Late, Unscored       int64
	offsetError          float64 // µs, the greatest
	paths                map[string]int
	lastOffset           float64
}

// stageNames are in the order of an event's way; total is that from read to scored.
func stageNames() []string { return []string{"gateway", "network", "scoring", "total", "drawing"} }

func newTotals() *totals {
	t := &totals{stages: make(map[string]*latency.Histogram), paths: make(map[string]int)}
	for _, name := range stageNames() {
		t.stages[name] = new(latency.Histogram)
	}
	return t
}

// add adds a view. The error says that it measured nothing, or not what it should.
func (t *totals) add(r *viewReport) error {
	if r.Invalid > 0 {
		return fmt.Errorf("%d frames were not valid: %s", r.Invalid, r.LastError)
	}
	if r.Events == 0 || r.Offset == nil || r.Error == nil {
		return errors.New("the page saw no event, or does not know the gateway's clock")
	}
	for _, name := range stageNames() {
		if err := t.stages[name].Add(r.Stages[name]); err != nil {
			return fmt.Errorf("stage %s: %w", name, err)
		}
	}
	t.Events += r.Events
	t.Frames += r.Frames
	t.Lost += r.Lost
	t.Late += r.Late
	t.Unscored += r.Unscored
	t.offsetError = max(t.offsetError, *r.Error)
	t.lastOffset = *r.Offset
	t.paths[r.Path]++
	return nil
}

// view lets the page view for a while.
func (b *bench) view(ctx context.Context, t transport, warm, d time.Duration) (*viewReport, error) {
	ctx, cancel := context.WithTimeout(ctx, warm+d+2*time.Minute)
	defer cancel()
	var r viewReport
	err := b.page.Do(ctx, "view", map[string]any{
		"transport": t, "warmMillis": warm.Milliseconds(), "millis": d.Milliseconds(),
	}, &r)
	return &r, err
}
