package refusals

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"

	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/trail"
)

// Source and EventType are the source and the detail type of the events: the EventBridge rule
// matches them.
const (
	Source    = "insighthub.authorizer"
	EventType = "refusals"
)

// MaxLinesOfSource limits the lines of an address, or of a known caller, not counting Other.
const MaxLinesOfSource = 4

// Report is a report of the trail.
type Report = trail.Report

// Line is a line of a Report.
type Line = trail.Line

// The limits of a report.
const (
	MaxLines       = trail.MaxLines
	MaxReportBytes = trail.MaxReportBytes
	Other          = trail.Other
)

// Trail is the audit trail.
type Trail interface {
	// AddReports adds reports to the sums, which become entries later; a report whose id was
	// added before changes nothing. It returns how many it added. A retry is safe.
	AddReports(ctx context.Context, reports []Report) (added int, err error)
}

// RecorderConfig configures a Recorder.
type RecorderConfig struct {
	Trail Trail
	Log   *slog.Logger
}

// Recorder adds reports of rejected tokens to the sums of the audit trail. It is a lambda.Handler, safe for concurrent
// use.
type Recorder struct{ cfg RecorderConfig }

// NewRecorder returns a Recorder.
func NewRecorder(cfg RecorderConfig) *Recorder { return &Recorder{cfg} }

// Invoke handles one EventBridge event and returns {"added":true}, or false for a report
// that is recorded already. After an error Lambda retries the event, and sends it to the
// dead-letter queue after the last attempt.
func (r *Recorder) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	report, err := parseEvent(payload)
	if err != nil {
		return nil, err
	}
	added, err := r.cfg.Trail.AddReports(ctx, []Report{report})
	if err != nil {
		return nil, fmt.Errorf("report %s of %d rejected tokens: %w", report.ID, report.Number, err)
	}
	r.cfg.Log.InfoContext(ctx, "report of rejected tokens recorded",
		"report", report.ID, "number", report.Number, "lines", len(report.Lines), "added", added == 1)
	return fmt.Appendf(nil, `{"added":%t}`, added == 1), nil
}

// parseEvent reads the report in an event.
func parseEvent(payload []byte) (Report, error) {
	var event struct {
		Source     string          `json:"source"`
		DetailType string          `json:"detail-type"`
		Detail     json.RawMessage `json:"detail"`
	}
	if err := json.Unmarshal(payload, &event); err != nil {
		return Report{}, fmt.Errorf("event: %w: %w", telemetry.ErrInvalid, err)
	}
	if event.Source != Source || event.DetailType != EventType {
		return Report{}, fmt.Errorf("event: %w: source %.64q and detail-type %.64q, want %s and %s",
			telemetry.ErrInvalid, event.Source, event.DetailType, Source, EventType)
	}
	return trail.ParseReport(event.Detail)
}
