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
		audit: check, metrics: &audit.Metrics{Registry: h.Registry}, flush: h.Flush, log: h.Log,
	}}, nil
}

// handler audits when it is invoked, whatever the event says.
type handler struct {
	audit   *selfCheck
	metrics *audit.Metrics
	flush   func(context.Context)
	log     *slog.Logger
}

// answer is what an invocation returns.
type answer struct {
	Result audit.Result         `json:"result"`
	Counts map[audit.Result]int `json:"counts"`
	Report string               `json:"report"` // the object's key
}

// Invoke audits, and keeps the report in the log and in the bucket. A check that fails
// is no error of the invocation: it would be tried again, and again fail.
func (h *handler) Invoke(ctx context.Context, _ []byte) ([]byte, error) {
	running, cancel := deadline.WithMargin(ctx, h.audit.now(), 0)
	defer cancel()
	report := h.audit.run(running)
	level := slog.LevelInfo
	if report.Result == audit.Fail {
		level = slog.LevelError
	}
	h.log.Log(ctx, level, "audit", "report", report)
	if err := h.metrics.Set(report); err != nil {
		return nil, err
	}
	h.flush(ctx) // the next invocation is an hour away
	raw, err := json.Marshal(report)
	if err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	key := report.Started.Format("audit-reports/2006/01/02/150405.000000000.json")
	if err := h.audit.audits.Put(ctx, key, raw, "application/json"); err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	return json.Marshal(answer{report.Result, report.Counts, key})
}
