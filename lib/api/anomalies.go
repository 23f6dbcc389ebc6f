package api

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/trail"
)

// Anomalies stores what the detector and the alarm rules found. An anomaly of another
// site is telemetry.ErrNotFound.
type Anomalies interface {
	// Anomalies returns those that pass the filter, the newest first, without comments.
	Anomalies(ctx context.Context, filter directory.AnomalyFilter) ([]directory.Anomaly, error)
	Anomaly(ctx context.Context, site telemetry.SiteID, id int64) (directory.Anomaly, error)
	// Acknowledge stores who acknowledged it first; later calls change nothing.
	Acknowledge(ctx context.Context, site telemetry.SiteID, id int64, by string, entry trail.Entry) error
	Comment(ctx context.Context, site telemetry.SiteID, id int64, comment directory.AnomalyComment, entry trail.Entry) error
}

func (h *Handler) anomalyRoutes() []route {
	const all = "/v1/sites/{site}/anomalies"
	return []route{
		{pattern: "GET " + all, role: directory.Viewer, serve: h.listAnomalies, parameters: []string{
			"gateway", "device", "metric", "kind", "from", "to", "state", "active", "limit", "cursor",
		}},
		{pattern: "GET " + all + "/{anomaly}", role: directory.Viewer, serve: h.getAnomaly},
		{pattern: "POST " + all + "/{anomaly}/acknowledge", role: directory.Operator, serve: h.acknowledgeAnomaly, bodyless: true},
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
	Active         bool                  `json:"active"`
	EndedAt        *time.Time            `json:"ended_at"`
	EndReason      directory.EndReason   `json:"end_reason"`
	Duration       *float64              `json:"duration_seconds"`
	Late           bool                  `json:"late"`
	Lag            float64               `json:"lag_seconds"`
	Comments       []commentDocument     `json:"comments,omitempty"`
}

type commentDocument struct {
	Author string    `json:"author"`
	Time   time.Time `json:"time"`
	Text   string    `json:"text"`
}

func viewAnomaly(a directory.Anomaly) (any, directory.Version) {
	d := anomalyDocument{
		strconv.FormatInt(a.ID, 10), a.Site, a.Gateway, a.Device, a.Metric, a.Time.Time(), a.Kind, a.Rule, a.Score, a.Value,
		a.Severity, a.Message, optionalTime(a.AcknowledgedAt), a.AcknowledgedBy,
		a.Active(), nil, a.EndReason, nil, a.Late, a.Lag.Seconds(), nil,
	}
	if a.EndedAt != 0 {
		at, duration := a.EndedAt.Time(), a.EndedAt.Time().Sub(a.Time.Time()).Seconds()
		d.EndedAt, d.Duration = &at, &duration
	}
	for _, c := range a.Comments {
		d.Comments = append(d.Comments, commentDocument{c.Author, c.Time.UTC(), c.Text})
	}
	return d, a.Version
}

func (h *Handler) listAnomalies(c *call) error {
	name := "anomalies of " + string(c.site())
	page, err := pageParameters(c.values, name)
	if err != nil {
		return err
	}
	filter, err := anomalyFilter(c.values, c.site(), page)
	if err != nil {
		return err
	}
	found, err := h.config.Anomalies.Anomalies(c.Context(), filter)
	if err != nil {
		return err
	}
	key := func(a directory.Anomaly) string { return fmt.Sprintf("%d %d", a.Time, a.ID) }
	return respondPage(c, name, page, found, documentOf(viewAnomaly), key)
}

func anomalyFilter(values url.Values, site telemetry.SiteID, page directory.Page) (directory.AnomalyFilter, error) {
	filter := directory.AnomalyFilter{
		Site: site, Gateway: telemetry.GatewayID(values.Get("gateway")), Device: telemetry.DeviceName(values.Get("device")),
		Metric: telemetry.MetricName(values.Get("metric")), Kind: directory.AnomalyKind(values.Get("kind")), Limit: page.Limit,
	}
	var f fields
	f.require(filter.Kind == "" || slices.Contains(anomalyKinds(), filter.Kind), "kind", fmt.Sprintf("must be one of %v", anomalyKinds()))
	for _, name := range []string{"gateway", "device", "metric"} {
		f.require(!values.Has(name) || validName(values.Get(name)), name, "must be "+aName)
	}
	state := values.Get("state")
	f.require(state == "" || state == "open" || state == "all", "state", "must be open or all")
	filter.Open = state == "open"
	if active := values.Get("active"); active != "" {
		f.require(active == "true" || active == "false", "active", "must be true or false")
		only := active == "true"
		filter.Active = &only
	}
	filter.From = timeField(&f, "from", values.Get("from"))
	filter.To = timeField(&f, "to", values.Get("to"))
	if page.After != "" {
		at, id, _ := strings.Cut(page.After, " ")
		micros, err := wholeNumber(at, 0, int64(maxTime))
		last, err2 := wholeNumber(id, 1, math.MaxInt64)
		f.require(err == nil && err2 == nil, "cursor", "is not a cursor of this list")
		filter.BeforeTime, filter.BeforeID = telemetry.Micros(micros), last
	}
	if err := f.err(); err != nil {
		return filter, badRequest("%s", err)
	}
	return filter, nil
}

func anomalyKinds() []directory.AnomalyKind {
	return []directory.AnomalyKind{directory.ByScore, directory.ByMachine, directory.ByThreshold, directory.ByRate, directory.ByNoData}
}

// anomaly returns the number in the path.
func (c *call) anomaly() int64 {
	id, _ := strconv.ParseInt(c.PathValue("anomaly"), 10, 64) // checked by checkPath
	return id
}

func (h *Handler) getAnomaly(c *call) error {
	id := c.anomaly()
	return h.respondAnomaly(c, http.StatusOK, id)
}

func (h *Handler) respondAnomaly(c *call, status int, id int64) error {
	a, err := h.config.Anomalies.Anomaly(c.Context(), c.site(), id)
	return respond(c, status, viewAnomaly, a, err)
}

func anomalyPath(site telemetry.SiteID, id int64) string {
	return "sites/" + string(site) + "/anomalies/" + strconv.FormatInt(id, 10)
}

func (h *Handler) acknowledgeAnomaly(c *call) error {
	id := c.anomaly()
	entry := c.entry("anomaly.acknowledge", anomalyPath(c.site(), id), c.site(), nil)
	if err := h.config.Anomalies.Acknowledge(c.Context(), c.site(), id, c.caller.Subject, entry); err != nil {
		return err
	}
	return h.respondAnomaly(c, http.StatusOK, id)
}

func (h *Handler) commentAnomaly(c *call) error {
	id := c.anomaly()
	var request struct {
		Text string `json:"text" required:""`
	}
	err := c.body(&request, func(f *fields) {
		f.require(request.Text != "", "text", "must not be empty")
		f.text("text", request.Text)
	})
	if err != nil {
		return err
	}
	entry := c.entry("anomaly.comment", anomalyPath(c.site(), id), c.site(), request)
	comment := directory.AnomalyComment{Author: c.caller.Subject, Time: c.now, Text: request.Text}
	if err := h.config.Anomalies.Comment(c.Context(), c.site(), id, comment, entry); err != nil {
		return err
	}
	return h.respondAnomaly(c, http.StatusCreated, id)
}
