package bench

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/insighthub/insighthub/loadtest/drive"
	"github.com/insighthub/insighthub/loadtest/fleet"
	"github.com/insighthub/insighthub/loadtest/kpicheck"
)

const (
	// kpiWindow and kpiLateness are those of the bridge in stage dev.
	kpiWindow   = 5 * time.Second
	kpiLateness = 2 * time.Second
	// kpiLimit is the longest time from an event to its KPIs at p99.
	kpiLimit = kpiWindow + kpiLateness + time.Second
	// queryInterval is the resolution of the measurement.
	queryInterval = 50 * time.Millisecond
)

// Visibility measures the time from the end of a window to the first query that returns
// its sample. It queries only while a window is due, because queries load the machine
// that is measured.
type Visibility struct {
	server kpicheck.Server
	query  string
	first  int64            // windows that end at or before it do not count, ms
	seen   map[string]int64 // the newest window of each gateway, ms
	after  []drive.Sample
	err    error

	cancel context.CancelFunc
	ended  chan struct{}
}

// WatchKPIs starts to query the windows of a few gateways, which are on different
// shards, beginning with the window that contains start.
func WatchKPIs(ctx context.Context, server kpicheck.Server, gateways []*fleet.Gateway, start time.Time) *Visibility {
	v := &Visibility{server: server, first: start.UnixMilli(), seen: make(map[string]int64), ended: make(chan struct{})}
	var names []string
	for i := 0; i < len(gateways); i += max(1, len(gateways)/4) {
		names = append(names, gateways[i].ID)
		v.seen[gateways[i].ID] = windowBefore(v.first)
	}
	// A range, so that two windows which are written together both count.
	v.query = fmt.Sprintf(`insighthub_window_events{gateway=~%q}[1m]`, strings.Join(names, "|"))
	ctx, v.cancel = context.WithCancel(ctx)
	go func() {
		defer close(v.ended)
		tick := time.NewTicker(queryInterval)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case now := <-tick.C:
				if len(v.missing(now, kpiLateness)) == 0 {
					continue
				}
			}
			if err := v.observe(ctx); err != nil && ctx.Err() == nil {
				v.err = err
			}
		}
	}()
	return v
}

// windowBefore returns the end of the last window that has ended at t.
func windowBefore(t int64) int64 { return t - t%kpiWindow.Milliseconds() }

// missing returns the ends of the windows, of each gateway, that ended more than late
// ago and have not been seen.
func (v *Visibility) missing(now time.Time, late time.Duration) []int64 {
	var ends []int64
	last := windowBefore(now.Add(-late).UnixMilli())
	for _, seen := range v.seen {
		for end := seen + kpiWindow.Milliseconds(); end <= last; end += kpiWindow.Milliseconds() {
			ends = append(ends, end)
		}
	}
	return ends
}

// Stop returns the delays from the end of a window, and from its events, which the fleet
// sends evenly. A window that exceeds the limit and is still missing counts as visible now.
// The error includes that of the last failed query if no window was seen.
func (v *Visibility) Stop() (window, event drive.Percentiles, err error) {
	v.cancel()
	<-v.ended
	if len(v.after) == 0 {
		return window, event, errors.Join(errNoKPIs, v.err)
	}
	now := time.Now()
	for _, end := range v.missing(now, kpiLimit-kpiWindow) {
		v.after = append(v.after, drive.Sample{Latency: now.Sub(time.UnixMilli(end)), Weight: 1})
	}
	const parts = 100
	events := make([]drive.Sample, 0, parts*len(v.after))
	for _, s := range v.after {
		for i := range parts {
			before := kpiWindow * time.Duration(2*i+1) / (2 * parts)
			events = append(events, drive.Sample{Latency: s.Latency + before, Weight: 1})
		}
	}
	return drive.PercentilesOf(v.after), drive.PercentilesOf(events), nil
}

var errNoKPIs = errors.New("no KPIs became visible in Prometheus")

// observe queries once and records the windows that are new.
func (v *Visibility) observe(ctx context.Context) error {
	all, err := v.server.Query(ctx, v.query)
	if err != nil {
		return err
	}
	now := time.Now()
	for _, series := range all {
		gateway := series.Labels["gateway"]
		for _, end := range slices.Sorted(maps.Keys(series.Samples)) {
			if end > v.first && end > v.seen[gateway] {
				v.seen[gateway] = end
				v.after = append(v.after, drive.Sample{Latency: now.Sub(time.UnixMilli(end)), Weight: 1})
			}
		}
	}
	return nil
}
