package refusals

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"

	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/trail"
)

// Source and EventType are what the rule on the bus goes by.
const (
	Source    = "insighthub.authorizer"
	EventType = "refusals"
)

// Trail keeps entries.
type Trail interface {
	// AppendTrailOnce appends an entry, unless one of that delivery is there already:
	// then added is false. It can be repeated.
	AppendTrailOnce(ctx context.Context, delivery string, entry trail.Entry) (added bool, err error)
}

// RecorderConfig is a Recorder's; all of it is required.
type RecorderConfig struct {
	Trail Trail
	Log   *slog.Logger
}

// Recorder is the function behind the bus: it appends reports to the trail. It is a
// lambda.Handler, safe for concurrent use.
type Recorder struct{ cfg RecorderConfig }

// NewRecorder returns a Recorder. The error wraps telemetry.ErrInvalid.
func NewRecorder(cfg RecorderConfig) (*Recorder, error) {
	if cfg.Trail == nil || cfg.Log == nil {
		return nil, fmt.Errorf("recorder of refusals: %w: want a trail and a log", telemetry.ErrInvalid)
	}
	return &Recorder{cfg}, nil
}

// Invoke takes one event of EventBridge and answers {"added":true}, or false for a
// report that was there already. An error has Lambda deliver the event again, and put
// it aside after the last attempt.
func (r *Recorder) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	report, err := parseEvent(payload)
	if err != nil {
		return nil, err
	}
	entry, err := report.Entry()
	if err != nil {
		return nil, err
	}
	added, err := r.cfg.Trail.AppendTrailOnce(ctx, "refusals/"+report.ID, entry)
	if err != nil {
		return nil, fmt.Errorf("report %s of %d refusals: %w", report.ID, report.Number, err)
	}
	r.cfg.Log.InfoContext(ctx, "refusals recorded", "report", report.ID, "number", report.Number, "lines", len(report.Lines), "added", added)
	return json.Marshal(struct {
		Added bool `json:"added"`
	}{added})
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
		return Report{}, fmt.Errorf("event: %w: of source %.64q and type %.64q, want %s and %s", telemetry.ErrInvalid, event.Source, event.DetailType, Source, EventType)
	}
	return ParseReport(event.Detail)
}
