package stack

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/insighthub/insighthub/cdk/local/template"
)

// startSchedules invokes each scheduled function at its rate, first after one period, as
// EventBridge does for a new rule. A function of each minute is invoked at once, too: a
// stage that is deployed has been running for long, and without the clock's ticks no silence
// of the first minute would be noticed. Unlike there, an invocation that takes longer than a period delays
// the next, and one that fails is not retried: both are rare, and on one machine two
// concurrent ones would only take processor time from each other.
func (s *Stack) startSchedules(ctx context.Context) error {
	for _, planned := range s.plan.Schedules {
		f, err := s.function(planned.FunctionARN)
		if err != nil {
			return err
		}
		if slices.Contains(s.cfg.Without, f.plan.Program) {
			s.printf("schedule   %s: disabled by -without", f.plan.Program)
			continue
		}
		// The schedule outlives ctx.
		running, cancel := context.WithCancel(context.WithoutCancel(ctx))
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			every(running, planned.Every, planned.Every <= time.Minute, func() { s.runScheduled(running, planned, f) })
		}()
		s.onClose("schedule "+planned.String(), func(context.Context) error {
			cancel() // a running invocation ends with its function
			<-ended
			return nil
		})
		s.printf("schedule   %s every %v", f.plan.Program, planned.Every)
	}
	return nil
}

// every calls do once per period until ctx ends, and at once if atOnce is set. Periods that
// pass during a call count as one.
func every(ctx context.Context, period time.Duration, atOnce bool, do func()) {
	tick := time.NewTicker(period)
	defer tick.Stop()
	if atOnce {
		do()
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			do()
		}
	}
}

func (s *Stack) runScheduled(ctx context.Context, planned template.Schedule, f *function) {
	event, err := scheduledEvent(planned, s.plan.Account, s.plan.Region, s.cfg.Now())
	if err == nil {
		result, failed := invokeAsync(ctx, f, event)
		if err = failed; err == nil && result.FunctionError != "" {
			err = fmt.Errorf("function %s: %s", f.plan.Program, result.Payload)
		}
	}
	if err != nil && ctx.Err() == nil {
		s.printf("schedule   %s failed: %v (log: %s)", f.plan.Program, err, s.cfg.path("logs", f.plan.Program+".log"))
	}
}

// scheduledEvent returns the input of the template, or else the event that EventBridge sends.
func scheduledEvent(planned template.Schedule, account, region string, now time.Time) ([]byte, error) {
	if planned.Input != "" {
		return []byte(planned.Input), nil
	}
	raw, err := json.Marshal(map[string]any{
		"version": "0", "id": newUUID(), "detail-type": "Scheduled Event", "source": "aws.events",
		"account": account, "time": now.UTC().Format(time.RFC3339), "region": region,
		"resources": []string{planned.ARN}, "detail": struct{}{},
	})
	if err != nil {
		return nil, fmt.Errorf("schedule %s: %w", planned, err)
	}
	return raw, nil
}
