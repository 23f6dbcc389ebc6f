package api

import (
	"context"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// Conflicts reads the events that had the identity of a stored one and another value.
type Conflicts interface {
	Conflicts(ctx context.Context, f directory.ConflictFilter) ([]directory.Conflict, error)
	ConflictCounts(ctx context.Context, f directory.ConflictCountFilter) ([]directory.ConflictCount, error)
}

func (h *Handler) conflictRoutes() []route {
	const all = "/v1/sites/{site}/conflicts"
	return []route{
		{pattern: "GET " + all, role: directory.Viewer, serve: h.listConflicts, parameters: []string{
			"gateway", "device", "metric", "from", "to", "limit", "cursor",
		}},
		{pattern: "GET " + all + "/devices", role: directory.Viewer, serve: h.listConflictCounts, parameters: []string{
			"gateway", "since", "limit", "cursor",
		}},
	}
}

// optionalNumber is a float64 that is null if it is NaN.
type optionalNumber float64

// MarshalJSON implements json.Marshaler.
func (n optionalNumber) MarshalJSON() ([]byte, error) {
	if math.IsNaN(float64(n)) {
		return []byte("null"), nil
	}
	return appendNumber(nil, float64(n)), nil
}

type conflictDocument struct {
	Gateway       telemetry.GatewayID  `json:"gateway"`
	Device        telemetry.DeviceName `json:"device"`
	Metric        telemetry.MetricName `json:"metric"`
	Time          telemetry.Micros     `json:"time"`
	Value         optionalNumber       `json:"value"`
	Quality       string               `json:"quality"`
	StoredValue   optionalNumber       `json:"stored_value"`
	StoredQuality *string              `json:"stored_quality"`
	SeenAt        time.Time            `json:"seen_at"`
}

func viewConflict(c directory.Conflict) any {
	d := conflictDocument{
		c.Gateway, c.Device, c.Metric, c.Time, optionalNumber(c.Value), c.Quality.String(), optionalNumber(math.NaN()), nil, c.Seen.UTC(),
	}
	if c.Stored {
		quality := c.StoredQuality.String()
		d.StoredValue, d.StoredQuality = optionalNumber(c.StoredValue), &quality
	}
	return d
}

func (h *Handler) listConflicts(c *call) error {
	values, list := c.values, "conflicts of "+string(c.site())
	page, err := pageParameters(values, list)
	if err != nil {
		return err
	}
	filter := directory.ConflictFilter{Site: c.site(), Limit: page.Limit}
	if filter.Gateway, err = nameParameter[telemetry.GatewayID](values, "gateway", false); err != nil {
		return err
	}
	if filter.Device, err = nameParameter[telemetry.DeviceName](values, "device", false); err != nil {
		return err
	}
	if filter.Metric, err = nameParameter[telemetry.MetricName](values, "metric", false); err != nil {
		return err
	}
	var f fields
	filter.From = timeField(&f, "from", values.Get("from"))
	filter.To = timeField(&f, "to", values.Get("to"))
	if err := f.err(); err != nil {
		return badRequest("%s", err)
	}
	if page.After != "" {
		if filter.Before, err = wholeNumber(page.After, 1, math.MaxInt64); err != nil {
			return foreignCursor()
		}
	}
	found, err := h.config.Readings.Conflicts(c.Context(), filter)
	if err != nil {
		return err
	}
	c.w.Header().Set("Cache-Control", "no-store")
	return respondPage(c, list, page, found, viewConflict, func(c directory.Conflict) string { return strconv.FormatInt(c.ID, 10) })
}

type conflictCountDocument struct {
	Gateway     telemetry.GatewayID    `json:"gateway"`
	Device      telemetry.DeviceName   `json:"device"`
	Conflicts   int64                  `json:"conflicts"`
	Metrics     []telemetry.MetricName `json:"metrics"`
	FirstSeenAt time.Time              `json:"first_seen_at"`
	LastSeenAt  time.Time              `json:"last_seen_at"`
}

func viewConflictCount(c directory.ConflictCount) any {
	return conflictCountDocument{c.Gateway, c.Device, c.Count, c.Metrics, c.FirstSeen.UTC(), c.LastSeen.UTC()}
}

// listConflictCounts lists the devices that have conflicts.
func (h *Handler) listConflictCounts(c *call) error {
	values, list := c.values, "conflicting devices of "+string(c.site())
	page, err := pageParameters(values, list)
	if err != nil {
		return err
	}
	filter := directory.ConflictCountFilter{Site: c.site(), Limit: page.Limit}
	if filter.Gateway, err = nameParameter[telemetry.GatewayID](values, "gateway", false); err != nil {
		return err
	}
	var f fields
	filter.Since = timeField(&f, "since", values.Get("since"))
	if err := f.err(); err != nil {
		return badRequest("%s", err)
	}
	if page.After != "" {
		gateway, device, ok := strings.Cut(page.After, "\x02")
		if !ok || telemetry.ValidName(gateway) != nil || telemetry.ValidName(device) != nil {
			return foreignCursor()
		}
		filter.AfterGateway, filter.AfterDevice = telemetry.GatewayID(gateway), telemetry.DeviceName(device)
	}
	found, err := h.config.Readings.ConflictCounts(c.Context(), filter)
	if err != nil {
		return err
	}
	c.w.Header().Set("Cache-Control", "no-store")
	return respondPage(c, list, page, found, viewConflictCount, func(c directory.ConflictCount) string {
		return string(c.Gateway) + "\x02" + string(c.Device)
	})
}
