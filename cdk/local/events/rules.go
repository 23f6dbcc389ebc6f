package events

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"time"
)

// Rule delivers the events of a bus that match a pattern to a target.
type Rule struct {
	Name    string // for messages
	Bus     string
	Pattern Pattern
	// Deliver sends the target one event, in EventBridge's form. It is retried if it fails.
	Deliver func(ctx context.Context, event []byte) error
}

// Pattern is an event pattern of exact values: an object whose members are objects of
// the same kind, or lists of the values that match.
type Pattern struct{ members map[string]any }

// ParsePattern reads a pattern. Comparisons other than for equality (prefix, numeric and
// so on) are an error: a rule must not miss an event that it matches in AWS.
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
		return errors.New("the object is empty")
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
					return fmt.Errorf("%s: only comparisons for equality are supported, got %v", name, one)
				}
			}
		default:
			return fmt.Errorf("%s: want a list of values or an object", name)
		}
	}
	return nil
}

// Matches reports whether the event has a listed value for each member of the pattern.
func (p Pattern) Matches(event []byte) bool {
	var members map[string]any
	return json.Unmarshal(event, &members) == nil && len(p.members) > 0 && match(p.members, members)
}

func match(pattern, event map[string]any) bool {
	for name, wanted := range pattern {
		switch w := wanted.(type) {
		case map[string]any:
			inner, ok := event[name].(map[string]any)
			if !ok || !match(w, inner) {
				return false
			}
		case []any:
			value, ok := event[name]
			if !ok || !anyOf(w, value) {
				return false
			}
		}
	}
	return true
}

// anyOf reports whether a value, or one of a list of values, is wanted.
func anyOf(wanted []any, value any) bool {
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

// attempts is the number of deliveries to a function that fails: the first and two
// retries, as for Lambda's asynchronous invocations.
const attempts = 3

// Connect adds rules for the events that are put from now on.
func (s *Server) Connect(rules []Rule) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rules = append(s.rules, rules...)
}

// Drain removes the rules, and waits until the deliveries that have started have ended.
// When ctx ends, it aborts them. Events that are put later are written and not delivered.
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

// deliverToRules starts the deliveries to the rules that match. Callers hold mu.
func (s *Server) deliverToRules(bus string, event []byte) {
	for _, r := range s.rules {
		if r.Bus == bus && r.Pattern.Matches(event) {
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
	s.cfg.Undelivered(r.Name, event, err)
}

// pause returns false when Drain ends first.
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
