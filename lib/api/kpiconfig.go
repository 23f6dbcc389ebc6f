package api

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/trail"
)

// KPIConfigs keeps how the KPIs of devices are computed.
type KPIConfigs interface {
	// KPIConfig returns what holds for a device. Its Version is 0 when that is a rule
	// for many devices and not the device's own. telemetry.ErrNotFound when the device is no
	// machine.
	KPIConfig(ctx context.Context, site telemetry.SiteID, gateway telemetry.GatewayID, device telemetry.DeviceName) (directory.KPIConfig, error)
	// SetKPIConfig gives the device a configuration of its own.
	SetKPIConfig(ctx context.Context, site telemetry.SiteID, gateway telemetry.GatewayID, device telemetry.DeviceName,
		k directory.KPIConfig, from directory.Version, entry trail.Entry) (directory.KPIConfig, error)
	// RemoveKPIConfig takes the device's own away.
	RemoveKPIConfig(ctx context.Context, site telemetry.SiteID, gateway telemetry.GatewayID, device telemetry.DeviceName, entry trail.Entry) error
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

// answerKPIConfig adds to the configuration whether it is the device's own.
func answerKPIConfig(c *call, k directory.KPIConfig) error {
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
	return c.answer(http.StatusOK, d, k.Version)
}

func (h *Handler) getKPIConfig(c *call) error {
	k, err := h.config.KPIConfigs.KPIConfig(c.Context(), c.site(), c.gateway(), c.device())
	if err != nil {
		return err
	}
	return answerKPIConfig(c, k)
}

const (
	maxStates = 256
	maxShifts = 24 // of one day
	maxSpan   = 86400.0
)

// read checks the document and returns what it says.
func (d *kpiConfigDocument) read(f *fields) directory.KPIConfig {
	k := directory.KPIConfig{
		StateMetric: d.StateMetric, CountMetric: d.CountMetric, GoodMetric: d.GoodMetric,
		States: make(map[int]directory.MachineState, len(d.States)), Planned: d.Planned,
		IdealCycle: time.Duration(d.IdealCycle * float64(time.Second)), StaleAfter: time.Duration(d.StaleAfter * float64(time.Second)),
	}
	for member, name := range map[string]telemetry.MetricName{"state_metric": d.StateMetric, "count_metric": d.CountMetric, "good_metric": d.GoodMetric} {
		f.want(name == "" || telemetry.ValidName(name) == nil, member, "want the name of a metric, or nothing")
	}
	f.want(d.IdealCycle >= 0 && d.IdealCycle <= maxSpan, "ideal_cycle_seconds", "want 0 to 86400")
	f.want(d.StaleAfter > 0 && d.StaleAfter <= maxSpan, "stale_after_seconds", "want more than 0 and at most 86400")
	f.want(len(d.States) <= maxStates, "states", fmt.Sprintf("want at most %d", maxStates))
	for text, state := range d.States {
		code, err := strconv.Atoi(text)
		f.want(err == nil && strconv.Itoa(code) == text, "states", "want whole numbers as codes")
		f.want(slices.Contains([]string{"production", "idle", "setup", "down", "not_planned"}, state.Element),
			"states", "want an element of production, idle, setup, down, not_planned")
		f.want(state.Reason == "" || state.Element == "down", "states", "only down has a reason")
		f.text("states", state.Reason)
		k.States[code] = state
	}
	for day, shifts := range d.Planned {
		f.want(slices.Contains([]string{"mon", "tue", "wed", "thu", "fri", "sat", "sun"}, day), "planned", "want days mon to sun")
		f.want(len(shifts) <= maxShifts, "planned", fmt.Sprintf("want at most %d times a day", maxShifts))
		for _, shift := range shifts {
			f.want(clock(shift[0]) && clock(shift[1]) && shift[0] < shift[1], "planned", `want ["06:00","14:00"], from 00:00 to 24:00`)
		}
	}
	return k
}

// clock holds for 00:00 to 24:00; such texts are in order as the times are.
func clock(s string) bool {
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
	if err := c.body(&request); err != nil {
		return err
	}
	var f fields
	k := request.read(&f)
	if err := f.err(); err != nil {
		return err
	}
	entry := c.entry("kpi_config.set", devicePath(c.site(), c.gateway(), c.device()), c.site(), request)
	if k, err = h.config.KPIConfigs.SetKPIConfig(c.Context(), c.site(), c.gateway(), c.device(), k, from, entry); err != nil {
		return changed(err)
	}
	return answerKPIConfig(c, k)
}

func (h *Handler) removeKPIConfig(c *call) error {
	entry := c.entry("kpi_config.remove", devicePath(c.site(), c.gateway(), c.device()), c.site(), nil)
	if err := h.config.KPIConfigs.RemoveKPIConfig(c.Context(), c.site(), c.gateway(), c.device(), entry); err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}
