package api

import (
	"context"
	"net/http"

	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/trail"
)

// Devices keeps what people say about devices. Devices and metrics come into being with
// their first event; those of a gateway of another site are telemetry.ErrNotFound.
type Devices interface {
	Devices(ctx context.Context, site telemetry.SiteID, gateway telemetry.GatewayID, page directory.Page) ([]directory.Device, error)
	Device(ctx context.Context, site telemetry.SiteID, gateway telemetry.GatewayID, name telemetry.DeviceName) (directory.Device, error)
	ChangeDevice(ctx context.Context, d directory.Device, from directory.Version, entry trail.Entry) (directory.Device, error)
}

// Metrics keeps what people say about metrics.
type Metrics interface {
	Metrics(ctx context.Context, site telemetry.SiteID, gateway telemetry.GatewayID, page directory.Page) ([]directory.Metric, error)
	Metric(ctx context.Context, site telemetry.SiteID, gateway telemetry.GatewayID, name telemetry.MetricName) (directory.Metric, error)
	ChangeMetric(ctx context.Context, m directory.Metric, from directory.Version, entry trail.Entry) (directory.Metric, error)
}

func (h *Handler) deviceRoutes() []route {
	const devices, metrics = "/v1/sites/{site}/gateways/{gateway}/devices", "/v1/sites/{site}/gateways/{gateway}/metrics"
	return []route{
		{pattern: "GET " + devices, role: directory.Viewer, serve: h.listDevices},
		{pattern: "GET " + devices + "/{device}", role: directory.Viewer, serve: h.getDevice},
		{pattern: "PUT " + devices + "/{device}", role: directory.Operator, serve: h.changeDevice},
		{pattern: "GET " + metrics, role: directory.Viewer, serve: h.listMetrics},
		{pattern: "GET " + metrics + "/{metric}", role: directory.Viewer, serve: h.getMetric},
		{pattern: "PUT " + metrics + "/{metric}", role: directory.Operator, serve: h.changeMetric},
	}
}

func (c *call) device() telemetry.DeviceName { return telemetry.DeviceName(c.PathValue("device")) }
func (c *call) metric() telemetry.MetricName { return telemetry.MetricName(c.PathValue("metric")) }

type deviceDocument struct {
	Site        telemetry.SiteID     `json:"site"`
	Gateway     telemetry.GatewayID  `json:"gateway"`
	Name        telemetry.DeviceName `json:"name"`
	Title       string               `json:"title"`
	Description string               `json:"description"`
}

func documentOfDevice(d directory.Device) deviceDocument {
	return deviceDocument{d.Site, d.Gateway, d.Name, d.Title, d.Description}
}

func devicePath(site telemetry.SiteID, gateway telemetry.GatewayID, device telemetry.DeviceName) string {
	return gatewayPath(site, gateway) + "/devices/" + string(device)
}

func (h *Handler) listDevices(c *call) error {
	list := "devices of " + gatewayPath(c.site(), c.gateway())
	p, err := c.page(list)
	if err != nil {
		return err
	}
	devices, err := h.config.Devices.Devices(c.Context(), c.site(), c.gateway(), p)
	if err != nil {
		return err
	}
	return answerPage(c, list, p, devices, documentOfDevice, func(d directory.Device) string { return string(d.Name) })
}

func (h *Handler) getDevice(c *call) error {
	d, err := h.config.Devices.Device(c.Context(), c.site(), c.gateway(), c.device())
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, documentOfDevice(d), d.Version)
}

func (h *Handler) changeDevice(c *call) error {
	from, err := c.version()
	if err != nil {
		return err
	}
	var request struct {
		Title       string `json:"title"`
		Description string `json:"description"`
	}
	if err := c.body(&request); err != nil {
		return err
	}
	var f fields
	f.text("title", request.Title)
	f.text("description", request.Description)
	if err := f.err(); err != nil {
		return err
	}
	d := directory.Device{Site: c.site(), Gateway: c.gateway(), Name: c.device(), Title: request.Title, Description: request.Description}
	entry := c.entry("device.change", devicePath(d.Site, d.Gateway, d.Name), d.Site, request)
	if d, err = h.config.Devices.ChangeDevice(c.Context(), d, from, entry); err != nil {
		return changed(err)
	}
	return c.answer(http.StatusOK, documentOfDevice(d), d.Version)
}

type metricDocument struct {
	Site    telemetry.SiteID     `json:"site"`
	Gateway telemetry.GatewayID  `json:"gateway"`
	Name    telemetry.MetricName `json:"name"`
	Title   string               `json:"title"`
	Unit    string               `json:"unit"`
}

func documentOfMetric(m directory.Metric) metricDocument {
	return metricDocument{m.Site, m.Gateway, m.Name, m.Title, m.Unit}
}

func (h *Handler) listMetrics(c *call) error {
	list := "metrics of " + gatewayPath(c.site(), c.gateway())
	p, err := c.page(list)
	if err != nil {
		return err
	}
	metrics, err := h.config.Metrics.Metrics(c.Context(), c.site(), c.gateway(), p)
	if err != nil {
		return err
	}
	return answerPage(c, list, p, metrics, documentOfMetric, func(m directory.Metric) string { return string(m.Name) })
}

func (h *Handler) getMetric(c *call) error {
	m, err := h.config.Metrics.Metric(c.Context(), c.site(), c.gateway(), c.metric())
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, documentOfMetric(m), m.Version)
}

const maxUnitBytes = 64

func (h *Handler) changeMetric(c *call) error {
	from, err := c.version()
	if err != nil {
		return err
	}
	var request struct {
		Title string `json:"title"`
		Unit  string `json:"unit"`
	}
	if err := c.body(&request); err != nil {
		return err
	}
	var f fields
	f.text("title", request.Title)
	f.text("unit", request.Unit)
	f.want(len(request.Unit) <= maxUnitBytes, "unit", "want a UCUM code of at most 64 bytes, such as Cel, mm/s or bar")
	if err := f.err(); err != nil {
		return err
	}
	m := directory.Metric{Site: c.site(), Gateway: c.gateway(), Name: c.metric(), Title: request.Title, Unit: request.Unit}
	entry := c.entry("metric.change", gatewayPath(m.Site, m.Gateway)+"/metrics/"+string(m.Name), m.Site, request)
	if m, err = h.config.Metrics.ChangeMetric(c.Context(), m, from, entry); err != nil {
		return changed(err)
	}
	return c.answer(http.StatusOK, documentOfMetric(m), m.Version)
}
