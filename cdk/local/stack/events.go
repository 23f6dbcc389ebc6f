package stack

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/insighthub/insighthub/cdk/local/events"
	"github.com/insighthub/insighthub/cdk/local/template"
)

// startEvents starts the emulator of EventBridge, which logs each event.
func (s *Stack) startEvents(ctx context.Context) error {
	if len(s.plan.Buses) == 0 {
		return nil
	}
	logs, err := s.openLog("events")
	if err != nil {
		return err
	}
	undelivered, err := s.openLog("events-undelivered")
	if err != nil {
		return err
	}
	var buses []string
	for _, b := range s.plan.Buses {
		buses = append(buses, b.Name)
	}
	s.events = events.New(ctx, events.Config{
		Buses: buses, Region: s.plan.Region, Account: s.plan.Account, Out: logs, Now: s.cfg.Now,
		Undelivered: func(rule string, event []byte, err error) {
			s.printf("rule       %s: an event was not delivered and is saved in %s: %v", rule, undelivered.Name(), err)
			_, _ = undelivered.Write(append(slices.Clone(event), '\n'))
		},
	})
	if s.endpoints.events, err = s.serveLocal(ctx, "events", s.events.Handler()); err != nil {
		return err
	}
	for _, b := range s.plan.Buses {
		s.printf("bus        %s, events logged to %s", b.Name, s.cfg.path("logs", "events.log"))
	}
	return nil
}

// startAllFunctions starts the targets of rules first, so that they stop last: events that
// the others put on a bus while they stop are still delivered.
func (s *Stack) startAllFunctions(context.Context) error {
	var targets, others []template.Function
	for _, f := range s.plan.Functions {
		if slices.ContainsFunc(s.plan.Rules, func(r template.Rule) bool { return r.FunctionARN == f.ARN }) {
			targets = append(targets, f)
		} else {
			others = append(others, f)
		}
	}
	if err := s.startFunctions(targets); err != nil {
		return err
	}
	if err := s.connectRules(); err != nil {
		return err
	}
	return s.startFunctions(others)
}

// connectRules connects the rules to their functions.
func (s *Stack) connectRules() error {
	var rules []events.Rule
	for _, planned := range s.plan.Rules {
		f, err := s.function(planned.FunctionARN)
		if err != nil {
			return err
		}
		if slices.Contains(s.cfg.Without, f.plan.Program) {
			s.printf("rule       %s → %s: disabled by -without", planned.Bus, f.plan.Program)
			continue
		}
		pattern, err := events.ParsePattern([]byte(planned.Pattern))
		if err != nil {
			return fmt.Errorf("%s: %w", planned, err)
		}
		rules = append(rules, events.Rule{
			Name: planned.String(), Bus: planned.Bus, Pattern: pattern,
			Deliver: func(ctx context.Context, event []byte) error {
				result, err := invokeAsync(ctx, f, event)
				if err == nil && result.FunctionError != "" {
					err = errors.New(string(result.Payload))
				}
				return err
			},
		})
		s.printf("rule       %s → %s, %s", planned.Bus, f.plan.Program, planned.Pattern)
	}
	if len(rules) == 0 {
		return nil
	}
	if s.events == nil {
		return fmt.Errorf("local stack: %s: the stacks have no event bus", rules[0].Name)
	}
	s.events.Connect(rules)
	s.onClose("rules", func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, s.cfg.Drain)
		defer cancel()
		s.events.Drain(ctx)
		return nil
	})
	return nil
}
