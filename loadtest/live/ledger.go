package live

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/insighthub/insighthub/loadtest/ledger"
)

// Ledger views once over a peer connection, for cfg.Phase, and returns where the time of an
// event goes from the gateway to the picture of a browser.
func Ledger(ctx context.Context, cfg Config) (path ledger.Path, err error) {
	cfg.Turnserver = "" // gateway and browser are on one machine
	b := &bench{cfg: cfg}
	defer func() { err = errors.Join(err, b.close()) }()
	if err := b.start(ctx); err != nil {
		return ledger.Path{}, err
	}
	if err := b.describe(ctx); err != nil {
		return ledger.Path{}, err
	}
	b.logf("One browser views %d events/s for %v ...", cfg.Rate, cfg.Phase)
	t, err := b.peer(ctx, gatewayName)
	if err != nil {
		return ledger.Path{}, err
	}
	w := &way{name: "peer connection", transport: t, sink: b.publisher.Publish, totals: newTotals(), cpu: make(map[string]float64)}
	if err := b.once(ctx, w); err != nil {
		return ledger.Path{}, err
	}
	return w.totals.ledger(cfg, b.report.Browser), nil
}

// ledger returns the stages as a budget.
func (t *totals) ledger(cfg Config, browser string) ledger.Path {
	path := ledger.Path{
		Title: "Straight to a browser",
		Load: fmt.Sprintf("%d events/s of %d series of one gateway, read together every %v, for %v; %s on the same machine",
			cfg.Rate, 10*cfg.Machines, time.Duration(10*cfg.Machines)*time.Second/time.Duration(cfg.Rate), cfg.Phase, browser),
		Events: int(t.Events),
		Notes: []string{fmt.Sprintf("The browser's clock is known to ±%.2f ms of the gateway's; %d of %d frames were lost.",
			t.offsetError/1000, t.Lost, t.Lost+t.Frames)},
	}
	for _, s := range []struct{ stage, name, by string }{
		{"gateway", "read → sent", "gateway"},
		{"network", "sent → received by the worker", "gateway, browser; offset of the clocks"},
		{"scoring", "received → scored", "browser's worker"},
		{"total", "**read → scored**", ""},
		{"drawing", "scored → drawn", "browser; it draws 60 times a second"},
	} {
		path.Stages = append(path.Stages, ledger.Stage{Name: s.name, By: s.by, Percentiles: t.stages[s.stage].Percentiles()})
	}
	return path
}
