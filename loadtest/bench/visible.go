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

// visibleEvery is how often Prometheus is asked, and so how coarse the answer is.
const visibleEvery = 200 * time.Millisecond

// visibility watches when the figures of closed windows can be read in Prometheus:
// the latency is from the end of a window to the first query that returns its sample.
type visibility struct {
	url     string
	samples []drive.Sample
	seen    map[string]int64 // the newest window of each gateway, ms
	err     error

	cancel context.CancelFunc
	ended  chan struct{}
}

// watchFigures begins to ask for the windows of a few gateways, which are on different shards.
func watchFigures(ctx context.Context, prometheus string, gateways []*fleet.Gateway) *visibility {
	var names []string
	for i := 0; i < len(gateways); i += max(1, len(gateways)/4) {
		names = append(names, gateways[i].ID)
	}
	// A range of the newest samples: two windows that come at once both count.
	query := fmt.Sprintf(`insighthub_window_events{gateway=~%q}[1m]`, strings.Join(names, "|"))
	v := &visibility{
		url:  prometheus + "/api/v1/query?" + url.Values{"query": {query}}.Encode(),
		seen: make(map[string]int64), ended: make(chan struct{}),
	}
	ctx, v.cancel = context.WithCancel(ctx)
	go func() {
		defer close(v.ended)
		tick := time.NewTicker(visibleEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if err := v.ask(ctx); err != nil && ctx.Err() == nil {
				v.err = err
			}
		}
	}()
	return v
}

// stop returns what was seen. No window at all is an error, or the last one of a query.
func (v *visibility) stop() (drive.Percentiles, error) {
	v.cancel()
	<-v.ended
	if len(v.samples) == 0 {
		return drive.Percentiles{}, errors.Join(errNoFigures, v.err)
	}
	return drive.PercentilesOf(v.samples), nil
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
			if end > v.seen[series.Metric.Gateway] {
				v.seen[series.Metric.Gateway] = end
				v.samples = append(v.samples, drive.Sample{Latency: now.Sub(time.UnixMilli(end)), Weight: 1})
			}
		}
	}
	return nil
}
