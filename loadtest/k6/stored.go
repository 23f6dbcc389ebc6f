package k6

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/loadtest/bench"
	"github.com/insighthub/insighthub/loadtest/drive"
	"github.com/insighthub/insighthub/loadtest/fleet"
)

// storeTimeout bounds the time until accepted events are stored.
const storeTimeout = time.Minute

// compareStored compares the number of events that a script's requests had accepted with
// the number stored for the script's site, if the target is local and the script counts.
func compareStored(ctx context.Context, t target, report string) (string, error) {
	var run struct {
		Site     string `json:"site"`
		Accepted *int64 `json:"accepted"`
	}
	raw, err := os.ReadFile(report) //nolint:gosec // k6 has just written it
	if err != nil {
		return "", err
	}
	if err := json.Unmarshal(raw, &run); err != nil {
		return "", fmt.Errorf("%s: %w", report, err)
	}
	if !t.local || run.Accepted == nil {
		return "", nil
	}
	stored, err := untilStored(ctx, t, *run.Accepted, "SELECT count(*) FROM reading WHERE site = $1", run.Site)
	if err != nil {
		return "", err
	}
	text := fmt.Sprintf("%d events accepted, %d stored", *run.Accepted, stored)
	if stored != *run.Accepted {
		return "", fmt.Errorf("%w: %s", telemetry.ErrConflict, text)
	}
	return text, nil
}

// untilStored waits until a count is as wanted, or no longer grows, and returns it.
func untilStored(ctx context.Context, t target, want int64, query string, arguments ...any) (count int64, err error) {
	db, err := pgx.Connect(ctx, t.stack.Database)
	if err != nil {
		return 0, err
	}
	defer db.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing to lose
	const idle = 5
	for same, begin := 0, time.Now(); same < idle && time.Since(begin) < storeTimeout; time.Sleep(time.Second) {
		last := count
		if err := db.QueryRow(ctx, query, arguments...).Scan(&count); err != nil {
			return 0, fmt.Errorf("count stored events: %w", err)
		}
		if count == want {
			return count, nil
		}
		if same++; count != last {
			same = 0
		}
	}
	return count, nil
}

// fillGateways is the number of gateways that fill sends as, each with 100 series.
const fillGateways = 50

// fill sends events of a simulated fleet in a closed loop, and waits until they are stored.
func fill(ctx context.Context, cfg Config, t target) (string, error) {
	fmt.Fprintf(cfg.Stdout, "storing %d events first\n", cfg.Events)
	shape := fleet.Config{
		Prefix: "before", Site: "plant-1", Seed: 1, Gateways: fillGateways, Machines: 10, Samples: 10,
		Start: time.Now(), Horizon: time.Hour,
	}
	gateways, err := fleet.New(shape)
	if err != nil {
		return "", err
	}
	tokens, err := bench.NewTokens(t.stack, shape.Site)
	if err != nil {
		return "", err
	}
	enough, cancel := context.WithCancel(ctx)
	defer cancel()
	result, err := drive.Run(enough, drive.Config{
		URL: t.url + "/v1/telemetry", Token: tokens.Get, Duration: time.Hour, Grace: time.Minute,
		Progress: func(_ time.Duration, sofar drive.Counts) {
			if sofar.Accepted >= cfg.Events {
				cancel()
			}
		},
	}, gateways, shape.EventsPerBatch())
	if err != nil && (ctx.Err() != nil || !errors.Is(err, context.Canceled)) {
		return "", fmt.Errorf("store %d events first: %w", cfg.Events, err)
	}
	// Events of requests that were cancelled may be stored or not.
	stored, err := untilStored(ctx, t, -1, "SELECT count(*) FROM event")
	if err != nil {
		return "", err
	}
	if stored < result.Accepted {
		return "", fmt.Errorf("%w: %d events accepted, %d stored", telemetry.ErrConflict, result.Accepted, stored)
	}
	return fmt.Sprintf("%d events stored, in %d series", stored, fillGateways*100), nil
}
