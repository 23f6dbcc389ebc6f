package api

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/trail"
)

// Anomalies keeps what the detector and the rules found. One of another site is
// telemetry.ErrNotFound.
type Anomalies interface {
	// Anomalies returns those that pass the filter, the newest first, without comments.
	Anomalies(ctx context.Context, filter directory.AnomalyFilter) ([]directory.Anomaly, error)
	Anomaly(ctx context.Context, site telemetry.SiteID, id int64) (directory.Anomaly, error)
	// Acknowledge keeps the first who did.
	Acknowledge(ctx context.Context, site telemetry.SiteID, id int64, by string, entry trail.Entry) error
	Comment(ctx context.Context, site telemetry.SiteID, id int64, comment directory.AnomalyComment, entry trail.Entry) error
}

func (h *Handler) anomalyRoutes() []route {
	const all = "/v1/sites/{site}/anomalies"
	return []route{
		{pattern: "GET " + all, role: directory.Viewer, serve: h.listAnomalies},
		{pattern: "GET " + all + "/{anomaly}", role: directory.Viewer, serve: h.getAnomaly},
		{pattern: "POST " + all + "/{anomaly}/acknowledge", role: directory.Operator, serve: h.acknowledgeAnomaly},
		{pattern: "POST " + all + "/{anomaly}/comments", role: directory.Operator, serve: h.commentAnomaly, create: true},
	}
}

type anomalyDocument struct {
	ID             string                `json:"id"`
	Site           telemetry.SiteID      `json:"site"`
	Gateway        telemetry.GatewayID   `json:"gateway"`
	Device         telemetry.DeviceName  `json:"device"`
	Metric         telemetry.MetricName  `json:"metric"`
	Time           time.Time             `json:"time"`
	Kind           directory.AnomalyKind `json:"kind"`
	Rule           directory.RuleID      `json:"rule"`
	Score          float64               `json:"score"`
	Value          *float64              `json:"value"`
	Severity       directory.Severity    `json:"severity"`
	Message        string                `json:"message"`
	AcknowledgedAt *time.Time            `json:"acknowledged_at"`
	AcknowledgedBy string                `json:"acknowledged_by"`
	Comments       []commentDocument     `json:"comments,omitempty"`
}

type commentDocument struct {
	Author string    `json:"author"`
	Time   time.Time `json:"time"`
	Text   string    `json:"text"`
}

func documentOfAnomaly(a directory.Anomaly) anomalyDocument {
	d := anomalyDocument{
		strconv.FormatInt(a.ID, 10), a.Site, a.Gateway, a.Device, a.Metric, a.Time.Time(), a.Kind, a.Rule, a.Score, a.Value,
		a.Severity, a.Message, optional(a.AcknowledgedAt), a.AcknowledgedBy, nil,
	}
	for _, c := range a.Comments {
		d.Comments = append(d.Comments, commentDocument{c.Author, c.Time.UTC(), c.Text})
	}
	return d
}

func (h *Handler) listAnomalies(c *call) error {
	values, err := c.query("gateway", "device", "metric", "kind", "from", "to", "state", "limit", "cursor")
	if err != nil {
		return err
	}
	list := "anomalies of " + string(c.site())
	p, err := page(values, list)
	if err != nil {
		return err
	}
	filter := directory.AnomalyFilter{
		Site: c.site(), Gateway: telemetry.GatewayID(values.Get("gateway")), Device: telemetry.DeviceName(values.Get("device")),
		Metric: telemetry.MetricName(values.Get("metric")), Kind: directory.AnomalyKind(values.Get("kind")), Limit: p.Limit,
	}
	var f fields
	f.want(filter.Kind == "" || slices.Contains(anomalyKinds(), filter.Kind), "kind", fmt.Sprintf("want one of %v", anomalyKinds()))
	state := values.Get("state")
	f.want(state == "" || state == "open" || state == "all", "state", "want open or all")
	filter.Open = state == "open"
	filter.From = readTime(&f, "from", values.Get("from"))
	filter.To = readTime(&f, "to", values.Get("to"))
	if p.After != "" {
		at, id, _ := strings.Cut(p.After, " ")
		micros, err := strconv.ParseInt(at, 10, 64)
		last, err2 := strconv.ParseInt(id, 10, 64)
		f.want(err == nil && err2 == nil, "cursor", "not one of this list")
		filter.BeforeTime, filter.BeforeID = telemetry.Micros(micros), last
	}
	if err := f.err(); err != nil {
		return badRequest("%s", err)
	}
	found, err := h.config.Anomalies.Anomalies(c.Context(), filter)
	if err != nil {
		return err
	}
	return answerPage(c, list, p, found, documentOfAnomaly, func(a directory.Anomaly) string { return fmt.Sprintf("%d %d", a.Time, a.ID) })
}

func anomalyKinds() []directory.AnomalyKind {
	return []directory.AnomalyKind{directory.ByScore, directory.ByMachine, directory.ByThreshold, directory.ByRate, directory.ByNoData}
}

// readTime reads an RFC 3339 time, or none.
func readTime(f *fields, name, text string) time.Time {
	if text == "" {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339, text)
	f.want(err == nil && t.Year() >= 1970 && t.Year() < 10000, name, "want an RFC 3339 time such as 2026-11-23T09:00:00Z")
	return t
}

// anomaly reads the number in the path.
func (c *call) anomaly() (int64, error) {
	id, err := strconv.ParseInt(c.PathValue("anomaly"), 10, 64)
	if err != nil || id < 1 {
		return 0, telemetry.ErrNotFound
	}
	return id, nil
}

func (h *Handler) getAnomaly(c *call) error {
	id, err := c.anomaly()
	if err != nil {
		return err
	}
	return h.answerAnomaly(c, http.StatusOK, id)
}

func (h *Handler) answerAnomaly(c *call, status int, id int64) error {
	a, err := h.config.Anomalies.Anomaly(c.Context(), c.site(), id)
	if err != nil {
		return err
	}
	return c.answer(status, documentOfAnomaly(a), a.Version)
}

func anomalyPath(site telemetry.SiteID, id int64) string {
	return "sites/" + string(site) + "/anomalies/" + strconv.FormatInt(id, 10)
}

func (h *Handler) acknowledgeAnomaly(c *call) error {
	id, err := c.anomaly()
	if err != nil {
		return err
	}
	entry := c.entry("anomaly.acknowledge", anomalyPath(c.site(), id), c.site(), nil)
	if err := h.config.Anomalies.Acknowledge(c.Context(), c.site(), id, c.caller.Subject, entry); err != nil {
		return err
	}
	return h.answerAnomaly(c, http.StatusOK, id)
}

func (h *Handler) commentAnomaly(c *call) error {
	id, err := c.anomaly()
	if err != nil {
		return err
	}
	var request struct {
		Text string `json:"text"`
	}
	if err := c.body(&request); err != nil {
		return err
	}
	var f fields
	f.want(request.Text != "", "text", "want a text")
	f.text("text", request.Text)
	if err := f.err(); err != nil {
		return err
	}
	entry := c.entry("anomaly.comment", anomalyPath(c.site(), id), c.site(), request)
	comment := directory.AnomalyComment{Author: c.caller.Subject, Time: c.now, Text: request.Text}
	if err := h.config.Anomalies.Comment(c.Context(), c.site(), id, comment, entry); err != nil {
		return err
	}
	return h.answerAnomaly(c, http.StatusCreated, id)
}
