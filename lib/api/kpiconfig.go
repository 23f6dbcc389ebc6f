package api

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/insighthub/insighthub/lib/directory"
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
		k directory.KPIConfig, from directory.Version, entry trail.Entry) (directory.KPIConfig, error)
	// RemoveKPIConfig removes the device's own configuration.
	RemoveKPIConfig(ctx context.Context, site telemetry.SiteID, gateway telemetry.GatewayID, device telemetry.DeviceName,
		entry trail.Entry) error
}

func (h *Handler) kpiConfigRoutes() []route {
	const path = "/v1/sites/{site}/gateways/{gateway}/devices/{device}/kpi-config"
	return []route{
		{pattern: "GET " + path, role: directory.Viewer, serve: h.getKPIConfig},
		{pattern: "PUT " + path, role: directory.Operator, serve: h.setKPIConfig},
		{pattern: "DELETE " + path, role: directory.Operator, serve: h.removeKPIConfig},
	}
}

type kpiConfigDocument struct {
	StateMetric telemetry.MetricName              `json:"state_metric"`
	CountMetric telemetry.MetricName              `json:"count_metric"`
	GoodMetric  telemetry.MetricName              `json:"good_metric"`
	States      map[string]directory.MachineState `json:"states"`
	IdealCycle  float64                           `json:"ideal_cycle_seconds"`
	StaleAfter  float64                           `json:"stale_after_seconds"`
	Planned     map[string][][2]string            `json:"planned"`
}

func viewKPIConfig(k directory.KPIConfig) (any, directory.Version) {
	d := struct {
		kpiConfigDocument
		Inherited bool `json:"inherited"`
	}{kpiConfigDocument{
		StateMetric: k.StateMetric, CountMetric: k.CountMetric, GoodMetric: k.GoodMetric,
		States:     make(map[string]directory.MachineState, len(k.States)),
		IdealCycle: k.IdealCycle.Seconds(), StaleAfter: k.StaleAfter.Seconds(), Planned: k.Planned,
	}, k.Version == 0}
	for code, state := range k.States {
		d.States[strconv.Itoa(code)] = state
	}
	return d, k.Version
}

func (h *Handler) getKPIConfig(c *call) error {
	k, err := h.config.KPIConfigs.KPIConfig(c.Context(), c.site(), c.gateway(), c.device())
	return respond(c, http.StatusOK, viewKPIConfig, k, err)
}

const (
	maxStates  = 256
	maxShifts  = 24      // per day
	maxSeconds = 86400.0 // of a cycle, and of silence
)

// read checks the document and returns the configuration. Problems are in a fixed order.
func (d *kpiConfigDocument) read(f *fields) directory.KPIConfig {
	k := directory.KPIConfig{
		StateMetric: d.StateMetric, CountMetric: d.CountMetric, GoodMetric: d.GoodMetric,
		States: make(map[int]directory.MachineState, len(d.States)), Planned: d.Planned,
		IdealCycle: time.Duration(d.IdealCycle * float64(time.Second)), StaleAfter: time.Duration(d.StaleAfter * float64(time.Second)),
	}
	for _, m := range []struct {
		member string
		name   telemetry.MetricName
	}{{"state_metric", d.StateMetric}, {"count_metric", d.CountMetric}, {"good_metric", d.GoodMetric}} {
		f.require(m.name == "" || telemetry.ValidName(m.name) == nil, m.member, "must be the name of a metric, or empty")
	}
	f.require(d.IdealCycle >= 0 && d.IdealCycle <= maxSeconds, "ideal_cycle_seconds", fmt.Sprintf("must be 0 to %.0f", maxSeconds))
	f.require(d.StaleAfter > 0 && d.StaleAfter <= maxSeconds, "stale_after_seconds",
		fmt.Sprintf("must be more than 0 and at most %.0f", maxSeconds))
	f.require(len(d.States) <= maxStates, "states", fmt.Sprintf("must be at most %d", maxStates))
	for _, text := range slices.Sorted(maps.Keys(d.States)) {
		state := d.States[text]
		code, err := strconv.Atoi(text)
		f.require(err == nil && strconv.Itoa(code) == text, "states", "codes must be whole numbers")
		f.require(slices.Contains([]string{"production", "idle", "setup", "down", "not_planned"}, state.Element),
			"states", "element must be production, idle, setup, down or not_planned")
		f.require(state.Reason == "" || state.Element == "down", "states", "only the element down can have a reason")
		f.text("states", state.Reason)
		k.States[code] = state
	}
	for _, day := range slices.Sorted(maps.Keys(d.Planned)) {
		f.require(slices.Contains([]string{"mon", "tue", "wed", "thu", "fri", "sat", "sun"}, day), "planned", "days must be mon to sun")
		f.require(len(d.Planned[day]) <= maxShifts, "planned", fmt.Sprintf("must have at most %d times per day", maxShifts))
		for _, shift := range d.Planned[day] {
			f.require(isTimeOfDay(shift[0]) && isTimeOfDay(shift[1]) && shift[0] < shift[1], "planned",
				`times must be like ["06:00","14:00"], from 00:00 to 24:00, the start before the end`)
		}
	}
	return k
}

// isTimeOfDay reports whether s is 00:00 to 24:00; such texts sort as their times.
func isTimeOfDay(s string) bool {
	if s == "24:00" {
		return true
	}
	_, err := time.Parse("15:04", s)
	return err == nil && len(s) == len("15:04")
}

func (h *Handler) setKPIConfig(c *call) error {
	from, err := c.version()
	if err != nil {
		return err
	}
	var request kpiConfigDocument
	var k directory.KPIConfig
	if err := c.body(&request, func(f *fields) { k = request.read(f) }); err != nil {
		return err
	}
	entry := c.entry("kpi_config.set", devicePath(c.site(), c.gateway(), c.device()), c.site(), request)
	k, err = h.config.KPIConfigs.SetKPIConfig(c.Context(), c.site(), c.gateway(), c.device(), k, from, entry)
	return respond(c, http.StatusOK, viewKPIConfig, k, err)
}

func (h *Handler) removeKPIConfig(c *call) error {
	entry := c.entry("kpi_config.remove", devicePath(c.site(), c.gateway(), c.device()), c.site(), nil)
	return c.noContent(h.config.KPIConfigs.RemoveKPIConfig(c.Context(), c.site(), c.gateway(), c.device(), entry))
}
