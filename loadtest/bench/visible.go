package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/insighthub/insighthub/loadtest/drive"
	"github.com/insighthub/insighthub/loadtest/fleet"
)

const (
	// figuresWindow and figuresLateness are the bridge's, of the stage that is run.
	figuresWindow   = 5 * time.Second
	figuresLateness = 2 * time.Second
	// figuresBound is how long after an event its figures may be visible at p99.
	figuresBound = figuresWindow + figuresLateness + time.Second
	// visibleEvery is how often Prometheus is asked while a window is due, and so how coarse the answer is.
	visibleEvery = 50 * time.Millisecond
)

// visibility watches when the figures of closed windows can be read in Prometheus:
// from the end of a window to the first query that returns its sample. Nothing is
// asked while no window is due, for the queries cost what is being measured.
type visibility struct {
	url   string
	first int64            // windows that end at or before it do not count, ms
	seen  map[string]int64 // the newest window of each gateway, ms
	after []drive.Sample
	err   error

	cancel context.CancelFunc
	ended  chan struct{}
}

// watchFigures begins to ask for the windows of a few gateways, which are on
// different shards, from the one on in which start lies.
func watchFigures(ctx context.Context, prometheus string, gateways []*fleet.Gateway, start time.Time) *visibility {
	v := &visibility{first: start.UnixMilli(), seen: make(map[string]int64), ended: make(chan struct{})}
	var names []string
	for i := 0; i < len(gateways); i += max(1, len(gateways)/4) {
		names = append(names, gateways[i].ID)
		v.seen[gateways[i].ID] = windowBefore(v.first)
	}
	// A range of the newest samples: two windows that come at once both count.
	query := fmt.Sprintf(`insighthub_window_events{gateway=~%q}[1m]`, strings.Join(names, "|"))
	v.url = prometheus + "/api/v1/query?" + url.Values{"query": {query}}.Encode()
	ctx, v.cancel = context.WithCancel(ctx)
	go func() {
		defer close(v.ended)
		tick := time.NewTicker(visibleEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case now := <-tick.C:
				if len(v.missing(now, figuresLateness)) == 0 {
					continue
				}
			}
			if err := v.ask(ctx); err != nil && ctx.Err() == nil {
				v.err = err
			}
		}
	}()
	return v
}

// windowBefore is the end of the last window that has ended at t.
func windowBefore(t int64) int64 { return t - t%figuresWindow.Milliseconds() }

// missing returns the ends of the windows, of each gateway, that ended more than
// late ago and have not been seen.
func (v *visibility) missing(now time.Time, late time.Duration) []int64 {
	var ends []int64
	last := windowBefore(now.Add(-late).UnixMilli())
	for _, seen := range v.seen {
		for end := seen + figuresWindow.Milliseconds(); end <= last; end += figuresWindow.Milliseconds() {
			ends = append(ends, end)
		}
	}
	return ends
}

// stop returns what was seen: from the end of a window, and from its events, which
// the fleet sends evenly. A window that is missing counts as if it came now, once
// it is as late as the bound allows. No window at all is an error, or the last one of a query.
func (v *visibility) stop() (window, event drive.Percentiles, err error) {
	v.cancel()
	<-v.ended
	if len(v.after) == 0 {
		return window, event, errors.Join(errNoFigures, v.err)
	}
	now := time.Now()
	for _, end := range v.missing(now, figuresBound-figuresWindow) {
		v.after = append(v.after, drive.Sample{Latency: now.Sub(time.UnixMilli(end)), Weight: 1})
	}
	const parts = 100
	events := make([]drive.Sample, 0, parts*len(v.after))
	for _, s := range v.after {
		for i := range parts {
			before := figuresWindow * time.Duration(2*i+1) / (2 * parts)
			events = append(events, drive.Sample{Latency: s.Latency + before, Weight: 1})
		}
	}
	return drive.PercentilesOf(v.after), drive.PercentilesOf(events), nil
}

var errNoFigures = errors.New("no figures became visible in Prometheus")

func (v *visibility) ask(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, v.url, http.NoBody)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // read only
	var answer struct {
		Error string `json:"error"`
		Data  struct {
			Result []struct {
				Metric struct {
					Gateway string `json:"gateway"`
				} `json:"metric"`
				Values [][2]any `json:"values"`
			} `json:"result"`
		} `json:"data"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return fmt.Errorf("ask Prometheus: %w", err)
	}
	if answer.Error != "" {
		return fmt.Errorf("ask Prometheus: %s", answer.Error)
	}
	now := time.Now()
	for _, series := range answer.Data.Result {
		for _, value := range series.Values {
			seconds, _ := value[0].(float64)
			end := int64(seconds*1000 + 0.5)
			if end > v.first && end > v.seen[series.Metric.Gateway] {
				v.seen[series.Metric.Gateway] = end
				v.after = append(v.after, drive.Sample{Latency: now.Sub(time.UnixMilli(end)), Weight: 1})
			}
		}
	}
	return nil
}
