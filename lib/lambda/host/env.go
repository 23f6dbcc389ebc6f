package host

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// Env reads settings from the environment and collects every problem, so that a function
// that is configured wrongly reports all of them at once:
//
//	env := lambdahost.NewEnv(getenv)
//	stream := env.Required("STREAM_NAME")
//	days := env.Int("RETENTION_DAYS", 3653, 1, 36500)
//	if err := env.Err(); err != nil { … }
type Env struct {
	getenv   func(string) string
	problems []error
}

// NewEnv returns an Env over getenv, which is os.Getenv in main.
func NewEnv(getenv func(string) string) *Env { return &Env{getenv: getenv} }

// Required returns the value of name, and records a problem when it is empty.
func (e *Env) Required(name string) string {
	v := e.getenv(name)
	if v == "" {
		e.problem(name, "not set")
	}
	return v
}

// Optional returns the value of name, or fallback when it is empty.
func (e *Env) Optional(name, fallback string) string {
	if v := e.getenv(name); v != "" {
		return v
	}
	return fallback
}

// OneOf returns the value of name, which must be one of allowed, or fallback when it is empty.
func (e *Env) OneOf(name, fallback string, allowed ...string) string {
	v := e.Optional(name, fallback)
	if !slices.Contains(allowed, v) {
		e.problem(name, "got %q, want one of %s", v, strings.Join(allowed, ", "))
		return fallback
	}
	return v
}

// Int returns the value of name, a decimal integer from lowest to highest, or fallback when it is empty.
func (e *Env) Int(name string, fallback, lowest, highest int) int {
	v := e.getenv(name)
	if v == "" {
		return fallback
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < lowest || n > highest {
		e.problem(name, "got %q, want an integer from %d to %d", v, lowest, highest)
		return fallback
	}
	return n
}

// Bool returns the value of name, "true" or "false", or fallback when it is empty.
func (e *Env) Bool(name string, fallback bool) bool {
	return e.OneOf(name, strconv.FormatBool(fallback), "true", "false") == "true"
}

// Add records a problem that other code has found in the environment; nil is ignored.
func (e *Env) Add(problem error) {
	if problem != nil {
		e.problems = append(e.problems, problem)
	}
}

// Err returns every problem found so far, joined, or nil. It wraps telemetry.ErrInvalid.
func (e *Env) Err() error {
	if len(e.problems) == 0 {
		return nil
	}
	return fmt.Errorf("environment: %w: %w", telemetry.ErrInvalid, errors.Join(e.problems...))
}

func (e *Env) problem(name, format string, args ...any) {
	e.Add(fmt.Errorf("%s: %s", name, fmt.Sprintf(format, args...)))
}
