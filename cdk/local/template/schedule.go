package template

import (
	"cmp"
	"encoding/json"
	"regexp"
	"strconv"
	"strings"
	"time"
)

const (
	// ruleType is one of EventBridge's own rules, scheduleType one of its scheduler.
	ruleType     = "AWS::Events::Rule"
	scheduleType = "AWS::Scheduler::Schedule"
)

// Schedule invokes a function at a rate.
type Schedule struct {
	ID
	ARN         string // for the event
	FunctionARN string
	Every       time.Duration
	// Input is the function's input; if empty, it gets an event with the time.
	Input string
}

// Rule delivers the events of a bus to a function, unchanged.
type Rule struct {
	ID
	// Bus is the name of the bus.
	Bus         string
	FunctionARN string
	// Pattern is the event pattern, in JSON.
	Pattern string
}

// target of a rule or a schedule.
type target struct {
	arn, input string
	changed    bool // its input is not the event
}

// addRule adds a rule that has a rate, or delivers events to a function.
func (p *Plan) addRule(f *fields) {
	var targets []target
	list, _ := f.get("Targets").([]any)
	for _, one := range list {
		object, _ := one.(map[string]any)
		arn, _ := object["Arn"].(string)
		input, _ := object["Input"].(string)
		targets = append(targets, target{arn, input, object["Input"] != nil || object["InputPath"] != nil ||
			object["InputTransformer"] != nil})
	}
	if pattern := f.get("EventPattern"); pattern != nil && f.text("ScheduleExpression") == "" && f.text("State") != "DISABLED" {
		p.addEventRule(f, pattern, targets)
		return
	}
	p.addSchedule(f, ruleType, targets, f.text("State") != "DISABLED")
}

func (p *Plan) addEventRule(f *fields, pattern any, targets []target) {
	raw, err := json.Marshal(pattern)
	if err != nil {
		f.fail("EventPattern", err)
	}
	bus := f.text("EventBusName")
	bus = bus[strings.LastIndexByte(bus, '/')+1:] // of a name or an ARN
	bus = cmp.Or(bus, "default")
	if f.err != nil {
		return
	}
	for _, t := range targets {
		switch {
		case !strings.HasPrefix(t.arn, "arn:aws:lambda:"):
			p.Skipped = append(p.Skipped, Skipped{f.id, ruleType, NotEmulated, "its target is not a function: " + t.arn})
		case t.changed:
			p.Skipped = append(p.Skipped, Skipped{f.id, ruleType, NotEmulated, "it changes the events, which is not emulated"})
		default:
			p.Rules = append(p.Rules, Rule{ID: f.id, Bus: bus, FunctionARN: functionARN(t.arn, f.r), Pattern: string(raw)})
		}
	}
}

func (p *Plan) addScheduler(f *fields) {
	p.addSchedule(f, scheduleType, []target{{arn: f.text("Target.Arn"), input: f.text("Target.Input")}}, f.text("State") != "DISABLED")
}

func (p *Plan) addSchedule(f *fields, kind string, targets []target, enabled bool) {
	expression := f.text("ScheduleExpression")
	every, ok := parseRate(expression)
	switch {
	case f.err != nil:
		return
	case !enabled:
		p.Skipped = append(p.Skipped, Skipped{f.id, kind, NotNeeded, "the template disables it"})
		return
	case expression == "":
		p.Skipped = append(p.Skipped, Skipped{f.id, kind, NotEmulated, "it has neither a rate nor a pattern"})
		return
	case !ok:
		p.Skipped = append(p.Skipped, Skipped{f.id, kind, NotEmulated, "only schedules with a rate are emulated; it is " + expression})
		return
	}
	for _, t := range targets {
		if !strings.HasPrefix(t.arn, "arn:aws:lambda:") {
			p.Skipped = append(p.Skipped, Skipped{f.id, kind, NotEmulated, "its target is not a function: " + t.arn})
			continue
		}
		p.Schedules = append(p.Schedules, Schedule{
			ID: f.id, ARN: f.attribute("Arn"), FunctionARN: functionARN(t.arn, f.r), Every: every, Input: t.input,
		})
	}
}

// parseRate reads EventBridge's rate(5 minutes).
func parseRate(expression string) (time.Duration, bool) {
	found := regexp.MustCompile(`^rate\(([1-9]\d{0,5}) (minute|hour|day)s?\)$`).FindStringSubmatch(expression)
	if found == nil {
		return 0, false
	}
	n, err := strconv.Atoi(found[1])
	if err != nil {
		return 0, false
	}
	unit := map[string]time.Duration{"minute": time.Minute, "hour": time.Hour, "day": 24 * time.Hour}[found[2]]
	return time.Duration(n) * unit, true
}
