package events

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"time"
)

// Rule leads the events of a bus that fit a pattern to a target.
type Rule struct {
	// Name stands in messages.
	Name    string
	Bus     string
	Pattern Pattern
	// Deliver gives the target one event, in the form that it gets from EventBridge. An
	// error has it delivered again.
	Deliver func(ctx context.Context, event []byte) error
}

// Pattern is an event pattern of exact values: an object whose members are objects of
// the same kind, or lists of the values that fit.
type Pattern struct{ members map[string]any }

// ParsePattern reads a pattern. Comparisons other than for equality (prefix, numeric and
// so on) are an error: an event that a rule would take must not be passed over.
func ParsePattern(raw []byte) (Pattern, error) {
	var p Pattern
	if err := json.Unmarshal(raw, &p.members); err != nil {
		return Pattern{}, fmt.Errorf("event pattern: %w", err)
	}
	if err := checkPattern(p.members); err != nil {
		return Pattern{}, fmt.Errorf("event pattern: %w", err)
	}
	return p, nil
}

func checkPattern(members map[string]any) error {
	if len(members) == 0 {
		return errors.New("an empty object")
	}
	for name, value := range members {
		switch v := value.(type) {
		case map[string]any:
			if err := checkPattern(v); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		case []any:
			for _, one := range v {
				switch one.(type) {
				case map[string]any, []any:
					return fmt.Errorf("%s: it compares with %v, not for equality", name, one)
				}
			}
		default:
			return fmt.Errorf("%s: want a list of values or an object", name)
		}
	}
	return nil
}

// Fits reports whether the event has all that the pattern wants.
func (p Pattern) Fits(event []byte) bool {
	var members map[string]any
	return json.Unmarshal(event, &members) == nil && len(p.members) > 0 && fit(p.members, members)
}

func fit(pattern, event map[string]any) bool {
	for name, wanted := range pattern {
		switch w := wanted.(type) {
		case map[string]any:
			inner, ok := event[name].(map[string]any)
			if !ok || !fit(w, inner) {
				return false
			}
		case []any:
			value, there := event[name]
			if !there || !one(w, value) {
				return false
			}
		}
	}
	return true
}

// one reports whether a value, or one of a list of values, is wanted.
func one(wanted []any, value any) bool {
	values, ok := value.([]any)
	if !ok {
		values = []any{value}
	}
	for _, v := range values {
		for _, w := range wanted {
			if reflect.DeepEqual(v, w) {
				return true
			}
		}
	}
	return false
}

// attempts is how often an event is given to a function that fails: once, and twice
// again, as Lambda does for invocations that nobody waits for.
const attempts = 3

// Connect lets the rules take what is put from now on.
func (s *Server) Connect(rules []Rule) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rules = append(s.rules, rules...)
}

// Drain ends the rules: what they have taken is delivered until ctx ends, and given up
// then; what is put from now on is a line and no more.
func (s *Server) Drain(ctx context.Context) {
	s.mu.Lock()
	s.rules = nil
	s.mu.Unlock()
	ended := make(chan struct{})
	go func() {
		s.deliveries.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-ctx.Done():
		s.stop()
		<-ended
	}
}

// lead gives the event to the rules that it fits. Callers hold mu.
func (s *Server) lead(bus string, event []byte) {
	for _, r := range s.rules {
		if r.Bus == bus && r.Pattern.Fits(event) {
			s.deliveries.Go(func() { s.deliver(r, event) })
		}
	}
}

func (s *Server) deliver(r Rule, event []byte) {
	var err error
	for attempt := 1; attempt <= attempts; attempt++ {
		if err = r.Deliver(s.running, event); err == nil {
			return
		}
		if attempt < attempts && !s.pause(attempt) {
			break
		}
	}
	s.cfg.GivenUp(r.Name, event, err)
}

// pause reports false when the server ends first.
func (s *Server) pause(attempt int) bool {
	timer := time.NewTimer(s.cfg.Pause * time.Duration(attempt))
	defer timer.Stop()
	select {
	case <-s.running.Done():
		return false
	case <-timer.C:
		return true
	}
}
