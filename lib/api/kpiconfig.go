package api

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/kpi"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/trail"
)

// KPIConfigs stores how the KPIs of devices are computed.
type KPIConfigs interface {
	// KPIConfig returns the configuration that applies to a device. Its Version is 0 when
	// it is inherited from a rule for many devices. telemetry.ErrNotFound when none
	// applies.
	KPIConfig(ctx context.Context, site telemetry.SiteID, gateway telemetry.GatewayID,
		device telemetry.DeviceName) (directory.KPIConfig, error)
	// SetKPIConfig gives the device a configuration of its own.
	SetKPIConfig(ctx context.Context, site telemetry.SiteID, gateway telemetry.GatewayID, device telemetry.DeviceName,
		d kpi.Document, from directory.Version, entry trail.Entry) (directory.KPIConfig, error)
	// RemoveKPIConfig removes the device's own configuration.
	RemoveKPIConfig(ctx context.Context, site telemetry.SiteID, gateway telemetry.GatewayID, device telemetry.DeviceName,
		from directory.Version, entry trail.Entry) error
}

func (h *Handler) kpiConfigRoutes() []route {
	const path = "/v1/sites/{site}/gateways/{gateway}/devices/{device}/kpi-config"
	return []route{
		{pattern: "GET " + path, role: directory.Viewer, serve: h.getKPIConfig},
		{pattern: "PUT " + path, role: directory.Operator, serve: h.setKPIConfig},
		{pattern: "DELETE " + path, role: directory.Operator, serve: h.removeKPIConfig},
	}
}

func viewKPIConfig(k directory.KPIConfig) (any, directory.Version) {
	d := struct {
		kpi.Document
		// The stored ones, whether they are valid or not.
		States    json.RawMessage `json:"states"`
		Planned   json.RawMessage `json:"planned"`
		Inherited bool            `json:"inherited"`
		Problems  []string        `json:"problems"`
		Warnings  []string        `json:"warnings"`
	}{k.Document, k.States, k.Planned, k.Version == 0, []string{}, append([]string{}, k.Warnings()...)}
	_, problems := k.Machine(true)
	for _, p := range problems {
		d.Problems = append(d.Problems, p.String())
	}
	return d, k.Version
}

func (h *Handler) getKPIConfig(c *call) error {
	k, err := h.config.KPIConfigs.KPIConfig(c.Context(), c.site(), c.gateway(), c.device())
	return respond(c, http.StatusOK, viewKPIConfig, k, err)
}

func (h *Handler) setKPIConfig(c *call) error {
	from, err := c.version()
	if err != nil {
		return err
	}
	var request kpi.Document
	err = c.body(&request, func(f *fields) {
		_, problems := request.Machine(true)
		for _, p := range problems {
			f.require(false, p.Member, p.Text)
		}
	})
	if err != nil {
		return err
	}
	entry := c.entry("kpi_config.set", devicePath(c.site(), c.gateway(), c.device()), c.site(), request)
	k, err := h.config.KPIConfigs.SetKPIConfig(c.Context(), c.site(), c.gateway(), c.device(), request, from, entry)
	return respond(c, http.StatusOK, viewKPIConfig, k, err)
}

func (h *Handler) removeKPIConfig(c *call) error {
	from, err := c.optionalVersion()
	if err != nil {
		return err
	}
	entry := c.entry("kpi_config.remove", devicePath(c.site(), c.gateway(), c.device()), c.site(), nil)
	return c.noContent(h.config.KPIConfigs.RemoveKPIConfig(c.Context(), c.site(), c.gateway(), c.device(), from, entry))
}
