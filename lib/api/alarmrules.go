package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"time"

	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/trail"
)

// AlarmRules stores alarm rules. A rule of another site is telemetry.ErrNotFound.
type AlarmRules interface {
	AlarmRules(ctx context.Context, site telemetry.SiteID, page directory.Page) ([]directory.AlarmRule, error)
	AlarmRule(ctx context.Context, site telemetry.SiteID, id directory.RuleID) (directory.AlarmRule, error)
	// SaveAlarmRule creates a rule when r has no ID, and otherwise changes everything but
	// its site. directory.ErrNoGateway when the site does not have the gateway.
	SaveAlarmRule(ctx context.Context, r directory.AlarmRule, from directory.Version, entry trail.Entry) (directory.AlarmRule, error)
	RemoveAlarmRule(ctx context.Context, site telemetry.SiteID, id directory.RuleID, from directory.Version, entry trail.Entry) error
	// RuleTarget returns what there is of what a rule is for.
	RuleTarget(ctx context.Context, r directory.AlarmRule) (directory.RuleTarget, error)
}

func (h *Handler) alarmRuleRoutes() []route {
	const all = "/v1/sites/{site}/alarm-rules"
	return []route{
		{pattern: "GET " + all, role: directory.Viewer, serve: h.listAlarmRules, parameters: pages()},
		{pattern: "POST " + all, role: directory.Operator, serve: h.createAlarmRule, create: true},
		{pattern: "GET " + all + "/{rule}", role: directory.Viewer, serve: h.getAlarmRule},
		{pattern: "PUT " + all + "/{rule}", role: directory.Operator, serve: h.changeAlarmRule},
		{pattern: "DELETE " + all + "/{rule}", role: directory.Operator, serve: h.removeAlarmRule},
	}
}

type alarmRuleChange struct {
	Gateway    telemetry.GatewayID   `json:"gateway" required:""`
	Device     telemetry.DeviceName  `json:"device" required:""`
	Metric     telemetry.MetricName  `json:"metric" required:""`
	Kind       directory.AnomalyKind `json:"kind" required:""`
	Low        *float64              `json:"low" nullable:""`
	High       *float64              `json:"high" nullable:""`
	Hysteresis float64               `json:"hysteresis"`
	PerSecond  *float64              `json:"per_second" nullable:""`
	Interval   float64               `json:"min_interval_seconds"`
	Silence    float64               `json:"silence_seconds"`
	IgnoreBad  bool                  `json:"ignore_bad"`
	Severity   directory.Severity    `json:"severity"`
	Enabled    *bool                 `json:"enabled"`
}

type alarmRuleDocument struct {
	ID   directory.RuleID `json:"id"`
	Site telemetry.SiteID `json:"site"`
	alarmRuleChange
	// Warnings say why the rule matches nothing today, each as "member: reason".
	Warnings []string `json:"warnings,omitempty"`
}

func viewAlarmRule(r directory.AlarmRule) (any, directory.Version) {
	return alarmRuleDocument{r.ID, r.Site, alarmRuleChange{
		r.Gateway, r.Device, r.Metric, r.Kind, r.Low, r.High, r.Hysteresis, r.PerSecond, r.MinInterval.Seconds(),
		r.Silence.Seconds(), r.IgnoreBad, r.Severity, &r.Enabled,
	}, nil}, r.Version
}

// respondAlarmRule responds with one rule and its warnings. A rule may be there before its
// machine, and is then not wrong; a name with a typing error looks the same.
func (h *Handler) respondAlarmRule(c *call, status int, r directory.AlarmRule) error {
	target, err := h.config.AlarmRules.RuleTarget(c.Context(), r)
	if err != nil {
		return err
	}
	view := func(r directory.AlarmRule) (any, directory.Version) {
		document, version := viewAlarmRule(r)
		d, _ := document.(alarmRuleDocument)
		d.Warnings = warningsOf(target)
		return d, version
	}
	return respond(c, status, view, r, nil)
}

func warningsOf(t directory.RuleTarget) (warnings []string) {
	warn := func(applies bool, text string) {
		if applies {
			warnings = append(warnings, text+": the rule matches nothing today")
		}
	}
	warn(!t.Gateway, "gateway: the site has no such gateway")
	warn(t.Revoked, "gateway: it was revoked")
	warn(t.Gateway && !t.Device, "device: the gateway has not reported it")
	warn(t.Gateway && !t.Metric, "metric: the gateway has not reported it")
	return warnings
}

// Of a rate's min_interval_seconds and of silence_seconds, in seconds.
const (
	defaultInterval                = 1.0
	leastInterval, longestInterval = 0.001, 86400.0
	maxSilence                     = 7 * 86400.0
)

// A limit beyond maxAlarmLimit is one that no value of a machine passes. A hysteresis is a small
// part of a limit; maxHysteresis times it is a mistake in the unit.
const (
	maxAlarmLimit = 1e300
	maxHysteresis = 1e6
)

func (d *alarmRuleChange) check(f *fields) {
	requireName(f, "gateway", d.Gateway)
	requireName(f, "device", d.Device)
	requireName(f, "metric", d.Metric)
	d.Severity = cmp.Or(d.Severity, directory.Warning)
	f.require(slices.Contains([]directory.Severity{directory.Info, directory.Warning, directory.Critical}, d.Severity),
		"severity", "must be info, warning or critical")
	switch d.Kind {
	case directory.ByThreshold:
		f.require(d.Low != nil || d.High != nil, "low", "a threshold must have low, high or both")
		f.require(d.Low == nil || d.High == nil || *d.Low <= *d.High, "low", "must be at most high")
		for _, l := range []struct {
			member string
			limit  *float64
		}{{"low", d.Low}, {"high", d.High}} {
			limit := l.limit
			f.require(limit == nil || math.Abs(*limit) <= maxAlarmLimit, l.member,
				fmt.Sprintf("must be %g to %g: no value is beyond", -maxAlarmLimit, maxAlarmLimit))
			f.require(limit == nil || d.Hysteresis <= maxHysteresis*max(1, math.Abs(*limit)), "hysteresis",
				fmt.Sprintf("must be at most %g times the limit (and at most %g with limits up to 1), or the alarm hardly ever ends",
					maxHysteresis, maxHysteresis))
		}
		f.require(d.Hysteresis >= 0, "hysteresis", "must be 0 or more")
		f.require(d.Low == nil || d.High == nil || d.Hysteresis <= 0 || *d.Low > *d.High || d.Hysteresis < *d.High/2-*d.Low/2,
			"hysteresis", "must be less than half of the difference between low and high, so that values are inside of both by it")
	case directory.ByRate:
		f.require(d.PerSecond != nil && *d.PerSecond > 0 && *d.PerSecond <= maxAlarmLimit, "per_second",
			fmt.Sprintf("must be more than 0, and at most %g: no value changes faster", maxAlarmLimit))
		d.Interval = cmp.Or(d.Interval, defaultInterval)
		f.require(d.Interval >= leastInterval && d.Interval <= longestInterval, "min_interval_seconds",
			fmt.Sprintf("must be %g to %.0f", leastInterval, longestInterval))
	case directory.ByNoData:
		// The database stores microseconds: a shorter time would become 0.
		f.require(d.Silence >= 1e-6 && d.Silence <= maxSilence, "silence_seconds",
			fmt.Sprintf("must be more than 0 and at most %.0f", maxSilence))
	default:
		f.require(false, "kind", "must be threshold, rate or no_data")
	}
	// A member of another kind shows that the client meant another rule.
	f.require(d.Kind == directory.ByThreshold || d.Low == nil && d.High == nil && d.Hysteresis == 0,
		"low", "only the kind threshold has low, high and hysteresis")
	f.require(d.Kind == directory.ByRate || d.PerSecond == nil, "per_second", "only the kind rate has it")
	f.require(d.Kind == directory.ByRate || d.Interval == 0, "min_interval_seconds", "only the kind rate has it")
	f.require(d.Kind == directory.ByNoData || d.Silence == 0, "silence_seconds", "only the kind no_data has it")
	f.require(d.Kind == directory.ByNoData || !d.IgnoreBad, "ignore_bad", "only the kind no_data has it")
}

func (d *alarmRuleChange) rule(site telemetry.SiteID, id directory.RuleID) directory.AlarmRule {
	return directory.AlarmRule{
		ID: id, Site: site, Gateway: d.Gateway, Device: d.Device, Metric: d.Metric, Kind: d.Kind,
		Low: d.Low, High: d.High, Hysteresis: d.Hysteresis, PerSecond: d.PerSecond,
		MinInterval: time.Duration(d.Interval * float64(time.Second)), Silence: time.Duration(d.Silence * float64(time.Second)),
		IgnoreBad: d.IgnoreBad, Severity: d.Severity, Enabled: d.Enabled == nil || *d.Enabled,
	}
}

func (h *Handler) listAlarmRules(c *call) error {
	key := func(r directory.AlarmRule) string { return string(r.ID) }
	return list(c, "alarm rules of "+string(c.site()), viewAlarmRule, key, func(p directory.Page) ([]directory.AlarmRule, error) {
		if p.After != "" && !isUUID(p.After) {
			return nil, foreignCursor()
		}
		return h.config.AlarmRules.AlarmRules(c.Context(), c.site(), p)
	})
}

func (c *call) rule() directory.RuleID { return directory.RuleID(c.PathValue("rule")) }

func rulePath(site telemetry.SiteID, id directory.RuleID) string {
	return "sites/" + string(site) + "/alarm-rules/" + string(id)
}

func (h *Handler) getAlarmRule(c *call) error {
	id := c.rule()
	r, err := h.config.AlarmRules.AlarmRule(c.Context(), c.site(), id)
	if err != nil {
		return err
	}
	return h.respondAlarmRule(c, http.StatusOK, r)
}

func (h *Handler) createAlarmRule(c *call) error {
	return h.saveAlarmRule(c, "", 0, http.StatusCreated, "alarm_rule.create")
}

func (h *Handler) changeAlarmRule(c *call) error {
	from, err := c.version()
	if err != nil {
		return err
	}
	id := c.rule()
	return h.saveAlarmRule(c, id, from, http.StatusOK, "alarm_rule.change")
}

func (h *Handler) saveAlarmRule(c *call, id directory.RuleID, from directory.Version, status int, action trail.Action) error {
	var request alarmRuleChange
	if err := c.body(&request, request.check); err != nil {
		return err
	}
	entry := c.entry(action, rulePath(c.site(), id), c.site(), request)
	r, err := h.config.AlarmRules.SaveAlarmRule(c.Context(), request.rule(c.site(), id), from, entry)
	if errors.Is(err, directory.ErrNoGateway) {
		const problem = "gateway: the site has no such gateway, or it was revoked: the rule would match nothing"
		return &rejection{Status: http.StatusUnprocessableEntity, Detail: problem, Members: []string{problem}}
	}
	if err != nil {
		return err
	}
	return h.respondAlarmRule(c, status, r)
}

func (h *Handler) removeAlarmRule(c *call) error {
	from, err := c.optionalVersion()
	if err != nil {
		return err
	}
	id := c.rule()
	entry := c.entry("alarm_rule.remove", rulePath(c.site(), id), c.site(), nil)
	return c.noContent(h.config.AlarmRules.RemoveAlarmRule(c.Context(), c.site(), id, from, entry))
}
