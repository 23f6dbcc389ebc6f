package audit

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// Result is the outcome of a check.
type Result string

// The results.
const (
	Pass Result = "pass"
	Warn Result = "warn"
	Fail Result = "fail"
)

// Results lists them, from best to worst.
func Results() []Result { return []Result{Pass, Warn, Fail} }

func worse(a, b Result) Result {
	return Results()[max(slices.Index(Results(), a), slices.Index(Results(), b))]
}

// Finding is what one check found: a line of the report.
type Finding struct {
	Check  string `json:"check"` // "<group>: <what>", such as "tokens: expired"
	Result Result `json:"result"`
	Found  string `json:"found"`
	// Todo is empty for a pass.
	Todo string `json:"todo,omitempty"`
}

// Check performs one group of checks. What prevented a check is a finding too.
type Check func(ctx context.Context) []Finding

// Report is the outcome of a self-check.
type Report struct {
	Target  string         `json:"target"`
	Started time.Time      `json:"started"`
	Seconds float64        `json:"seconds"`
	Result  Result         `json:"result"`
	Counts  map[Result]int `json:"counts"`
	// Findings are in the order of the checks.
	Findings []Finding `json:"findings"`
}

// Run performs the checks one after the other, since some measure latencies. When ctx
// ends it reports how many were not performed.
func Run(ctx context.Context, target string, now func() time.Time, checks []Check) Report {
	r := Report{Target: target, Started: now().UTC(), Result: Pass, Counts: make(map[Result]int)}
	for _, result := range Results() {
		r.Counts[result] = 0
	}
	for i, check := range checks {
		if ctx.Err() != nil {
			r.Add(Finding{
				"audit: time", Fail, fmt.Sprintf("timeout: %d of %d groups of checks were not performed", len(checks)-i, len(checks)),
				"raise the function's timeout, or find out why the platform responds slowly",
			})
			break
		}
		for _, f := range check(ctx) {
			r.Add(f)
		}
	}
	r.Seconds = now().Sub(r.Started).Seconds()
	return r
}

// Add adds a finding and counts it.
func (r *Report) Add(f Finding) {
	if f.Result == Pass {
		f.Todo = ""
	}
	r.Findings = append(r.Findings, f)
	r.Counts[f.Result]++
	r.Result = worse(r.Result, f.Result)
}
