package api

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"slices"
	"time"

	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/trail"
)

// AlarmRules keeps the alarms beside the detector's. One of another site is
// telemetry.ErrNotFound.
type AlarmRules interface {
	AlarmRules(ctx context.Context, site telemetry.SiteID, page directory.Page) ([]directory.AlarmRule, error)
	AlarmRule(ctx context.Context, site telemetry.SiteID, id directory.RuleID) (directory.AlarmRule, error)
	// SaveAlarmRule makes a rule when r has no ID, and otherwise changes all of it but
	// its site.
	SaveAlarmRule(ctx context.Context, r directory.AlarmRule, from directory.Version, entry trail.Entry) (directory.AlarmRule, error)
	RemoveAlarmRule(ctx context.Context, site telemetry.SiteID, id directory.RuleID, entry trail.Entry) error
}

func (h *Handler) alarmRuleRoutes() []route {
	const all = "/v1/sites/{site}/alarm-rules"
	return []route{
		{pattern: "GET " + all, role: directory.Viewer, serve: h.listAlarmRules},
		{pattern: "POST " + all, role: directory.Operator, serve: h.createAlarmRule, create: true},
		{pattern: "GET " + all + "/{rule}", role: directory.Viewer, serve: h.getAlarmRule},
		{pattern: "PUT " + all + "/{rule}", role: directory.Operator, serve: h.changeAlarmRule},
		{pattern: "DELETE " + all + "/{rule}", role: directory.Operator, serve: h.removeAlarmRule},
	}
}

type alarmRuleChange struct {
	Gateway    telemetry.GatewayID   `json:"gateway"`
	Device     telemetry.DeviceName  `json:"device"`
	Metric     telemetry.MetricName  `json:"metric"`
	Kind       directory.AnomalyKind `json:"kind"`
	Low        *float64              `json:"low"`
	High       *float64              `json:"high"`
	Hysteresis float64               `json:"hysteresis"`
	PerSecond  *float64              `json:"per_second"`
	Silence    float64               `json:"silence_seconds"`
	Severity   directory.Severity    `json:"severity"`
	Enabled    *bool                 `json:"enabled"`
}

type alarmRuleDocument struct {
	ID   directory.RuleID `json:"id"`
	Site telemetry.SiteID `json:"site"`
	alarmRuleChange
}

func documentOfRule(r directory.AlarmRule) alarmRuleDocument {
	return alarmRuleDocument{r.ID, r.Site, alarmRuleChange{
		r.Gateway, r.Device, r.Metric, r.Kind, r.Low, r.High, r.Hysteresis, r.PerSecond, r.Silence.Seconds(), r.Severity, &r.Enabled,
	}}
}

const maxSilence = 7 * 86400.0 // s

// read checks the document and returns the rule that it describes.
func (d *alarmRuleChange) read(f *fields, site telemetry.SiteID) directory.AlarmRule {
	f.want(telemetry.ValidName(d.Gateway) == nil, "gateway", "want a name")
	f.want(telemetry.ValidName(d.Device) == nil, "device", "want a name")
	f.want(telemetry.ValidName(d.Metric) == nil, "metric", "want a name")
	if d.Severity == "" {
		d.Severity = directory.Warning
	}
	f.want(slices.Contains([]directory.Severity{directory.Info, directory.Warning, directory.Critical}, d.Severity), "severity", "want info, warning or critical")
	r := directory.AlarmRule{
		Site: site, Gateway: d.Gateway, Device: d.Device, Metric: d.Metric, Kind: d.Kind, Severity: d.Severity, Enabled: d.Enabled == nil || *d.Enabled,
	}
	switch d.Kind {
	case directory.ByThreshold:
		f.want(d.Low != nil || d.High != nil, "low", "want low, high or both")
		f.want(d.Low == nil || d.High == nil || *d.Low <= *d.High, "low", "want at most high")
		f.want(d.Hysteresis >= 0 && d.Hysteresis < math.MaxFloat64, "hysteresis", "want 0 or more")
		r.Low, r.High, r.Hysteresis = d.Low, d.High, d.Hysteresis
	case directory.ByRate:
		f.want(d.PerSecond != nil && *d.PerSecond > 0, "per_second", "want more than 0")
		r.PerSecond = d.PerSecond
	case directory.ByNoData:
		// What is kept has microseconds: less would be a rule of no time at all.
		f.want(d.Silence >= 1e-6 && d.Silence <= maxSilence, "silence_seconds", fmt.Sprintf("want more than 0 and at most %.0f", maxSilence))
		r.Silence = time.Duration(d.Silence * float64(time.Second))
	default:
		f.want(false, "kind", "want threshold, rate or no_data")
	}
	// What does not belong to the kind is a mistake of who wrote it.
	f.want(d.Kind == directory.ByThreshold || d.Low == nil && d.High == nil && d.Hysteresis == 0, "low", "low, high and hysteresis are a threshold's")
	f.want(d.Kind == directory.ByRate || d.PerSecond == nil, "per_second", "is a rate's")
	f.want(d.Kind == directory.ByNoData || d.Silence == 0, "silence_seconds", "is that of no_data")
	return r
}

func (h *Handler) listAlarmRules(c *call) error {
	list := "alarm rules of " + string(c.site())
	p, err := c.page(list)
	if err != nil {
		return err
	}
	if p.After != "" && !isUUID(p.After) {
		return badRequest("parameter cursor: not one of this list")
	}
	rules, err := h.config.AlarmRules.AlarmRules(c.Context(), c.site(), p)
	if err != nil {
		return err
	}
	return answerPage(c, list, p, rules, documentOfRule, func(r directory.AlarmRule) string { return string(r.ID) })
}

func (c *call) rule() (directory.RuleID, error) {
	id := c.PathValue("rule")
	if !isUUID(id) {
		return "", telemetry.ErrNotFound
	}
	return directory.RuleID(id), nil
}

func rulePath(site telemetry.SiteID, id directory.RuleID) string {
	return "sites/" + string(site) + "/alarm-rules/" + string(id)
}

func (h *Handler) getAlarmRule(c *call) error {
	id, err := c.rule()
	if err != nil {
		return err
	}
	r, err := h.config.AlarmRules.AlarmRule(c.Context(), c.site(), id)
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, documentOfRule(r), r.Version)
}

func (h *Handler) createAlarmRule(c *call) error {
	return h.saveAlarmRule(c, "", 0, http.StatusCreated, "alarm_rule.create")
}

func (h *Handler) changeAlarmRule(c *call) error {
	from, err := c.version()
	if err != nil {
		return err
	}
	id, err := c.rule()
	if err != nil {
		return err
	}
	return h.saveAlarmRule(c, id, from, http.StatusOK, "alarm_rule.change")
}

func (h *Handler) saveAlarmRule(c *call, id directory.RuleID, from directory.Version, status int, action trail.Action) error {
	var request alarmRuleChange
	if err := c.body(&request); err != nil {
		return err
	}
	var f fields
	r := request.read(&f, c.site())
	if err := f.err(); err != nil {
		return err
	}
	r.ID = id
	r, err := h.config.AlarmRules.SaveAlarmRule(c.Context(), r, from, c.entry(action, rulePath(c.site(), id), c.site(), request))
	if err != nil {
		return changed(err)
	}
	return c.answer(status, documentOfRule(r), r.Version)
}

func (h *Handler) removeAlarmRule(c *call) error {
	id, err := c.rule()
	if err != nil {
		return err
	}
	entry := c.entry("alarm_rule.remove", rulePath(c.site(), id), c.site(), nil)
	if err := h.config.AlarmRules.RemoveAlarmRule(c.Context(), c.site(), id, entry); err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}
