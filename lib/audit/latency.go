package audit

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// LatencyConfig configures a LatencyCheck.
type LatencyConfig struct {
	API   API
	Token string
	// Paths are read, each Reads times after warmUps reads, which hide cold starts.
	// {site} in them is a site; if there is none they are skipped.
	Paths []string
	Reads int
	// Budget is the limit of the 99th percentile.
	Budget time.Duration
	// Pause is the wait after a response of 429; 0 is a second.
	Pause time.Duration
}

const (
	warmUps = 3
	// maxThrottled is how many responses of 429 in a row the self-check waits out: a route's
	// throttle is shared by all clients.
	maxThrottled = 5
)

// LatencyCheck measures sequential reads, as one client does. Latencies above the budget
// warn and do not fail.
func LatencyCheck(c LatencyConfig) Check {
	return func(ctx context.Context) []Finding {
		var findings []Finding
		at, err := findSite(ctx, c.API, c.Token)
		if err != nil {
			return []Finding{noResponse("latency", err)}
		}
		for _, path := range c.Paths {
			if strings.Contains(path, "{site}") && !at.exists {
				continue
			}
			findings = append(findings, c.measure(ctx, path, strings.ReplaceAll(path, "{site}", url.PathEscape(at.name))))
		}
		return findings
	}
}

func (c LatencyConfig) measure(ctx context.Context, name, path string) Finding {
	f := Finding{Check: "latency: " + name, Result: Pass}
	var took []time.Duration
	for i := range warmUps + c.Reads {
		got, err := c.read(ctx, path)
		if err != nil {
			return noResponse(f.Check, err)
		}
		if got.status == http.StatusTooManyRequests {
			return Finding{f.Check, Warn, "the route's throttle is used up: " + got.String(), "see in the access log who sends so much"}
		}
		if got.status != http.StatusOK {
			return Finding{f.Check, Fail, "the response is " + got.String(), "read the function's log"}
		}
		if i >= warmUps {
			took = append(took, got.took)
		}
	}
	p50, p99 := quantile(took, 0.5), quantile(took, 0.99)
	f.Found = fmt.Sprintf("p50 %s, p99 %s of %d reads", milliseconds(p50), milliseconds(p99), len(took))
	if p99 > c.Budget {
		f.Result = Warn
		f.Found += ", above " + milliseconds(c.Budget)
		f.Todo = "find the cause: the network to here, the database, a cold start"
	}
	return f
}

// read reads a path, and waits while its throttle is used up.
func (c LatencyConfig) read(ctx context.Context, path string) (response, error) {
	for throttled := 0; ; throttled++ {
		got, err := c.API.get(ctx, path, c.Token)
		if err != nil || got.status != http.StatusTooManyRequests || throttled == maxThrottled {
			return got, err
		}
		timer := time.NewTimer(cmp.Or(c.Pause, time.Second))
		select {
		case <-ctx.Done():
			timer.Stop()
			return got, ctx.Err()
		case <-timer.C:
		}
	}
}

func milliseconds(d time.Duration) string { return fmt.Sprintf("%.1f ms", d.Seconds()*1000) }

// quantile uses the nearest-rank method.
func quantile(took []time.Duration, q float64) time.Duration {
	if len(took) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(took))
	rank := int(q*float64(len(sorted)) + 0.999999)
	return sorted[min(max(rank, 1), len(sorted))-1]
}
