package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"

	"github.com/insighthub/insighthub/lib/audit"
	"github.com/insighthub/insighthub/lib/lambda/deadline"
	lambdahost "github.com/insighthub/insighthub/lib/lambda/host"
)

// build makes the function from its environment.
func build(_ context.Context, h *lambdahost.Host) (lambdahost.Function, error) {
	check, err := wire(h)
	if err != nil {
		return lambdahost.Function{}, err
	}
	return lambdahost.Function{Handler: &handler{
		check: check, metrics: &audit.Metrics{Registry: h.Registry}, flush: h.Flush, log: h.Log,
	}}, nil
}

// handler runs the self-check at each invocation; it ignores the event.
type handler struct {
	check   *selfCheck
	metrics *audit.Metrics
	flush   func(context.Context)
	log     *slog.Logger
}

// response is what an invocation returns.
type response struct {
	Result audit.Result         `json:"result"`
	Counts map[audit.Result]int `json:"counts"`
	Report string               `json:"report"` // the object's key
}

// Invoke runs the self-check, and writes the report to the log and to the bucket. A check
// that fails is not an error of the invocation: Lambda would retry it, with the same result.
func (h *handler) Invoke(ctx context.Context, _ []byte) ([]byte, error) {
	checking, cancel := deadline.WithMargin(ctx, h.check.now(), 0)
	defer cancel()
	report := h.check.run(checking)
	level := slog.LevelInfo
	if report.Result == audit.Fail {
		level = slog.LevelError
	}
	h.log.Log(ctx, level, "self-check", "report", report)
	if err := h.metrics.Set(report); err != nil {
		return nil, err
	}
	h.flush(ctx) // the next invocation is an hour away
	raw, err := json.Marshal(report)
	if err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	key := report.Started.Format("audit-reports/2006/01/02/150405.000000000.json")
	if err := h.check.audits.Put(ctx, key, raw, "application/json"); err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	return json.Marshal(response{report.Result, report.Counts, key})
}
