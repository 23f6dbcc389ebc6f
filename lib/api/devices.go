package api

import (
	"context"
	"fmt"
	"net/http"

	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/trail"
)

// Devices stores the descriptions of devices. Devices and metrics are created by their
// first event; those of a gateway of another site are telemetry.ErrNotFound.
type Devices interface {
	Devices(ctx context.Context, site telemetry.SiteID, gateway telemetry.GatewayID, page directory.Page) ([]directory.Device, error)
	Device(ctx context.Context, site telemetry.SiteID, gateway telemetry.GatewayID, name telemetry.DeviceName) (directory.Device, error)
	ChangeDevice(ctx context.Context, d directory.Device, from directory.Version, entry trail.Entry) (directory.Device, error)
	// RemoveDevice deletes a device with its anomalies and readings.
	RemoveDevice(ctx context.Context, site telemetry.SiteID, gateway telemetry.GatewayID, name telemetry.DeviceName,
		from directory.Version, entry trail.Entry) error
}

// Metrics stores the descriptions of metrics.
type Metrics interface {
	Metrics(ctx context.Context, site telemetry.SiteID, gateway telemetry.GatewayID, page directory.Page) ([]directory.Metric, error)
	Metric(ctx context.Context, site telemetry.SiteID, gateway telemetry.GatewayID, name telemetry.MetricName) (directory.Metric, error)
	ChangeMetric(ctx context.Context, m directory.Metric, from directory.Version, entry trail.Entry) (directory.Metric, error)
	// RemoveMetric deletes a metric of all devices of a gateway with its anomalies and readings.
	RemoveMetric(ctx context.Context, site telemetry.SiteID, gateway telemetry.GatewayID, name telemetry.MetricName,
		from directory.Version, entry trail.Entry) error
}

// Names publishes the names of a gateway, from which ingest knows whether it has room.
type Names interface {
	Publish(ctx context.Context, gateway telemetry.GatewayID) error
}

// UnpublishedNames is Names that publishes nothing.
type UnpublishedNames struct{}

// Publish implements Names.
func (UnpublishedNames) Publish(context.Context, telemetry.GatewayID) error { return nil }

func (h *Handler) deviceRoutes() []route {
	const (
		devices = "/v1/sites/{site}/gateways/{gateway}/devices"
		metrics = "/v1/sites/{site}/gateways/{gateway}/metrics"
	)
	return []route{
		{pattern: "GET " + devices, role: directory.Viewer, serve: h.listDevices, parameters: pages()},
		{pattern: "GET " + devices + "/{device}", role: directory.Viewer, serve: h.getDevice},
		{pattern: "PUT " + devices + "/{device}", role: directory.Operator, serve: h.changeDevice},
		{pattern: "DELETE " + devices + "/{device}", role: directory.Admin, serve: h.removeDevice},
		{pattern: "GET " + metrics, role: directory.Viewer, serve: h.listMetrics, parameters: pages()},
		{pattern: "GET " + metrics + "/{metric}", role: directory.Viewer, serve: h.getMetric},
		{pattern: "PUT " + metrics + "/{metric}", role: directory.Operator, serve: h.changeMetric},
		{pattern: "DELETE " + metrics + "/{metric}", role: directory.Admin, serve: h.removeMetric},
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

func viewDevice(d directory.Device) (any, directory.Version) {
	return deviceDocument{d.Site, d.Gateway, d.Name, d.Title, d.Description}, d.Version
}

func devicePath(site telemetry.SiteID, gateway telemetry.GatewayID, device telemetry.DeviceName) string {
	return gatewayPath(site, gateway) + "/devices/" + string(device)
}

func (h *Handler) listDevices(c *call) error {
	key := func(d directory.Device) string { return string(d.Name) }
	return list(c, "devices of "+gatewayPath(c.site(), c.gateway()), viewDevice, key, func(p directory.Page) ([]directory.Device, error) {
		return h.config.Devices.Devices(c.Context(), c.site(), c.gateway(), p)
	})
}

func (h *Handler) getDevice(c *call) error {
	d, err := h.config.Devices.Device(c.Context(), c.site(), c.gateway(), c.device())
	return respond(c, http.StatusOK, viewDevice, d, err)
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
	err = c.body(&request, func(f *fields) {
		f.text("title", request.Title)
		f.text("description", request.Description)
	})
	if err != nil {
		return err
	}
	d := directory.Device{Site: c.site(), Gateway: c.gateway(), Name: c.device(), Title: request.Title, Description: request.Description}
	entry := c.entry("device.change", devicePath(d.Site, d.Gateway, d.Name), d.Site, request)
	d, err = h.config.Devices.ChangeDevice(c.Context(), d, from, entry)
	return respond(c, http.StatusOK, viewDevice, d, err)
}

type metricDocument struct {
	Site    telemetry.SiteID     `json:"site"`
	Gateway telemetry.GatewayID  `json:"gateway"`
	Name    telemetry.MetricName `json:"name"`
	Title   string               `json:"title"`
	Unit    string               `json:"unit"`
}

func viewMetric(m directory.Metric) (any, directory.Version) {
	return metricDocument{m.Site, m.Gateway, m.Name, m.Title, m.Unit}, m.Version
}

func (h *Handler) listMetrics(c *call) error {
	key := func(m directory.Metric) string { return string(m.Name) }
	return list(c, "metrics of "+gatewayPath(c.site(), c.gateway()), viewMetric, key, func(p directory.Page) ([]directory.Metric, error) {
		return h.config.Metrics.Metrics(c.Context(), c.site(), c.gateway(), p)
	})
}

func (h *Handler) getMetric(c *call) error {
	m, err := h.config.Metrics.Metric(c.Context(), c.site(), c.gateway(), c.metric())
	return respond(c, http.StatusOK, viewMetric, m, err)
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
	err = c.body(&request, func(f *fields) {
		f.text("title", request.Title)
		f.text("unit", request.Unit)
		f.require(len(request.Unit) <= maxUnitBytes, "unit",
			fmt.Sprintf("must be a UCUM code of at most %d bytes, such as Cel, mm/s or bar", maxUnitBytes))
	})
	if err != nil {
		return err
	}
	m := directory.Metric{Site: c.site(), Gateway: c.gateway(), Name: c.metric(), Title: request.Title, Unit: request.Unit}
	entry := c.entry("metric.change", gatewayPath(m.Site, m.Gateway)+"/metrics/"+string(m.Name), m.Site, request)
	m, err = h.config.Metrics.ChangeMetric(c.Context(), m, from, entry)
	return respond(c, http.StatusOK, viewMetric, m, err)
}

func (h *Handler) removeDevice(c *call) error {
	return h.removeNamed(c, func(from directory.Version) error {
		entry := c.entry("device.remove", devicePath(c.site(), c.gateway(), c.device()), c.site(), nil)
		return h.config.Devices.RemoveDevice(c.Context(), c.site(), c.gateway(), c.device(), from, entry)
	})
}

func (h *Handler) removeMetric(c *call) error {
	return h.removeNamed(c, func(from directory.Version) error {
		entry := c.entry("metric.remove", gatewayPath(c.site(), c.gateway())+"/metrics/"+string(c.metric()), c.site(), nil)
		return h.config.Metrics.RemoveMetric(c.Context(), c.site(), c.gateway(), c.metric(), from, entry)
	})
}

// removeNamed deletes a device or a metric, and publishes that there is room.
func (h *Handler) removeNamed(c *call, remove func(from directory.Version) error) error {
	from, err := c.optionalVersion()
	if err != nil {
		return err
	}
	if err := remove(from); err != nil {
		return err
	}
	// What fails here is repaired by the roll-up within minutes.
	if err := h.config.Names.Publish(c.Context(), c.gateway()); err != nil {
		h.config.Log.WarnContext(c.Context(), "names of a gateway not published", "gateway", c.gateway(), "error", err)
	}
	return c.noContent(nil)
}
