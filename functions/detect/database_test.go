package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/insighthub/insighthub/lib/detect"
	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/timescale"
	"github.com/insighthub/insighthub/lib/timescale/timescaletest"
	"github.com/insighthub/insighthub/lib/trail"
	"github.com/insighthub/insighthub/loadtest/fleet/fleettest"
)

// TestAnomaliesInDatabase runs the function over a real database that has no events
// yet. A machine's temperature has a fault, which a rule watches as well.
func TestAnomaliesInDatabase(t *testing.T) {
	pool, dsn := timescaletest.OpenAs(t, timescale.FunctionDetect)
	owner := timescaletest.Owner(t, dsn)
	p, bus := fleettest.New(t, 2, 2, 2, noon), &fakeBus{}
	device := p.Gateways[0].Machines[0].Name()
	high := 500.0
	entry := trail.Entry{Time: 1, Actor: "test", Action: "alarm-rule.create", Object: "alarm-rules/", Site: "plant-1", Detail: "{}"}
	// A rule needs a gateway of the site.
	names := &telemetry.Batch{Gateway: telemetry.GatewayID(p.Gateways[0].ID), Site: "plant-1", Received: 1}
	names.DeviceIndex(telemetry.DeviceName(device))
	names.MetricIndex("temperature")
	if err := timescale.NewWriter(owner, timescale.WriterConfig{}).AddNames(t.Context(), names); err != nil {
		t.Fatal(err)
	}
	rule, err := owner.SaveAlarmRule(t.Context(), directory.AlarmRule{
		Site: "plant-1", Gateway: telemetry.GatewayID(p.Gateways[0].ID), Device: telemetry.DeviceName(device), Metric: "temperature",
		Kind: directory.ByThreshold, High: &high, Severity: directory.Critical, Enabled: true,
	}, 0, entry)
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	a := anomalies{poolWriter{pool, timescale.NewWriter(pool, timescale.WriterConfig{})}, log}
	h, _ := newHandler(t, a, bus, configuration{pool}, nil)
	var all []fleettest.Record
	for s := range 150 {
		if p.Fault = 0; s == 140 {
			p.Fault = 1000
		}
		all = append(all, p.Run(noon.Add(time.Duration(s)*time.Second), 1)...)
	}
	for part := range slices.Chunk(all, 7) {
		response, err := h.Invoke(t.Context(), fleettest.Payload(part))
		if want := `{"batchItemFailures":[]}`; err != nil || string(response) != want {
			t.Fatalf("got response %s, %v, want %s", response, err, want)
		}
	}
	found, err := pool.Anomalies(t.Context(), directory.AnomalyFilter{Site: "plant-1", Limit: 10000})
	if err != nil {
		t.Fatal(err)
	}
	at := telemetry.MicrosOf(noon.Add(140 * time.Second))
	for kind, want := range map[directory.AnomalyKind]directory.RuleID{directory.ByScore: "", directory.ByThreshold: rule.ID} {
		if !slices.ContainsFunc(found, func(a directory.Anomaly) bool {
			return a.Kind == kind && a.Rule == want && string(a.Device) == device && a.Metric == "temperature" &&
				a.Time == at && *a.Value > 500
		}) {
			t.Errorf("got no anomaly of kind %s among %d, want the fault", kind, len(found))
		}
	}
	raised, ended := bus.of(eventType), bus.of(endType)
	if len(raised) != len(found) || len(ended) != 1 {
		t.Errorf("got %d anomalies on the bus, %d ends, want %d and 1", len(raised), len(ended), len(found))
	}
	for _, e := range ended { // of the alarm of the rule
		var d detail
		if err := json.Unmarshal(e.Detail, &d); err != nil || d.Kind != directory.ByThreshold || d.Rule != rule.ID || d.EndedAt == nil ||
			!e.Time.Equal(*d.EndedAt) || d.Reason != directory.EndCleared || d.Duration == nil || *d.Duration <= 0 ||
			d.Severity != directory.Critical {
			t.Errorf("got the end %s, %v, want that of the rule's alarm", e.Detail, err)
		}
	}
	for _, a := range found {
		if a.Active() || a.EndedAt < a.Time {
			t.Errorf("got %+v, want an end: the fault is over", a)
		}
	}
	ids := map[string]bool{}
	for _, e := range raised {
		var d detail
		if err := json.Unmarshal(e.Detail, &d); err != nil || d.ID == "" || ids[d.ID] || d.Site != "plant-1" || d.Kind == "" ||
			e.Type != "anomaly" {
			t.Errorf("got event of type %s: %s, %v; want an anomaly of plant-1 with an id of its own", e.Type, e.Detail, err)
		}
		ids[d.ID] = true
	}

	// Another process without a saved state finds the same anomalies and adds none.
	other, _ := newHandler(t, a, &fakeBus{}, configuration{pool}, nil)
	if _, err := other.Invoke(t.Context(), fleettest.Payload(all)); err != nil {
		t.Fatal(err)
	}
	same, err := pool.Anomalies(t.Context(), directory.AnomalyFilter{Site: "plant-1", Limit: 10000})
	if err != nil || len(same) != len(found) {
		t.Errorf("after all records were processed twice: got %d anomalies, %v, want %d", len(same), err, len(found))
	}
	// States and counters are not scored.
	for _, a := range found {
		if slices.Contains([]telemetry.MetricName{"state", "cycle_count", "good_count"}, a.Metric) {
			t.Errorf("got an anomaly of %s, want none of states and counters", a.Metric)
		}
	}
}

// TestRejectedAnomalies adds anomalies of devices above the limit of their gateway, and
// one that violates a constraint.
func TestRejectedAnomalies(t *testing.T) {
	pool, _ := timescaletest.OpenAs(t, timescale.FunctionDetect)
	writer := timescale.NewWriter(pool, timescale.WriterConfig{DevicesPerGateway: 2})
	a := anomalies{poolWriter{pool, writer}, slog.New(slog.DiscardHandler)}
	of := func(gateway string, n int) (out []directory.Anomaly) {
		for i := range n {
			out = append(out, directory.Anomaly{
				Site: "s", Gateway: telemetry.GatewayID(gateway), Device: telemetry.DeviceName(fmt.Sprint("d", i)), Metric: "m", Time: 1,
				Kind: directory.ByScore, Severity: directory.Warning,
			})
		}
		return out
	}
	for range 2 {
		got, err := a.Add(t.Context(), append(of("large", 3), of("small", 2)...))
		if err != nil || got.Rejected != 1 || got.Added+got.Duplicates != 4 {
			t.Errorf("got %+v, %v, want the one of the third device rejected, and 4 others", got, err)
		}
	}
	// A rejected anomaly does not affect the others.
	wrong := of("small", 2)
	wrong = append(wrong, directory.Anomaly{Gateway: "small", Device: "d0", Time: 2, Kind: "phase of the moon", Severity: directory.Info})
	wrong = append(wrong, directory.Anomaly{Gateway: "small", Device: "d1", Time: 2, Kind: directory.ByMachine, Severity: directory.Info})
	got, err := a.Add(t.Context(), wrong)
	if want := (detect.AddResult{Added: 1, Duplicates: 2, Rejected: 1}); err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
}

func TestDatabaseUnavailable(t *testing.T) {
	pool, err := timescale.Open(t.Context(), timescale.PoolConfig{DSN: "postgres://u@127.0.0.1:1/d", MaxAttempts: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	a := anomalies{poolWriter{pool, timescale.NewWriter(pool, timescale.WriterConfig{})}, slog.New(slog.DiscardHandler)}
	if _, err := a.Add(t.Context(), []directory.Anomaly{{Gateway: "g"}}); !errors.Is(err, telemetry.ErrUnavailable) {
		t.Errorf("Add: got %v, want an error that wraps telemetry.ErrUnavailable", err)
	}
	if _, err := (configuration{pool}).Configuration(t.Context()); !errors.Is(err, telemetry.ErrUnavailable) {
		t.Errorf("Configuration: got %v, want an error that wraps telemetry.ErrUnavailable", err)
	}
}

// TestRemovedRulesBringNoNameBack: the alarm of a rule that went with its device, raised
// before the detector has read that, does not create the device anew; that of a rule whose
// device has never reported does, but the device is not listed.
func TestRemovedRulesBringNoNameBack(t *testing.T) {
	pool, dsn := timescaletest.OpenAs(t, timescale.FunctionDetect)
	owner := timescaletest.Owner(t, dsn)
	writer := timescale.NewWriter(pool, timescale.WriterConfig{})
	a := anomalies{poolWriter{pool, writer}, slog.New(slog.DiscardHandler)}
	names := &telemetry.Batch{Site: "s", Gateway: "g", Received: 1}
	names.DeviceIndex("deleted")
	names.MetricIndex("m")
	if err := writer.AddNames(t.Context(), names); err != nil {
		t.Fatal(err)
	}
	entry := trail.Entry{Time: 1, Actor: "ada", Action: "test", Object: "x", Site: "s", Detail: "{}"}
	var found []directory.Anomaly
	for _, device := range []telemetry.DeviceName{"deleted", "never reported"} {
		rule, err := owner.SaveAlarmRule(t.Context(), directory.AlarmRule{
			Site: "s", Gateway: "g", Device: device, Metric: "m", Kind: directory.ByNoData, Silence: time.Second,
			Severity: directory.Warning, Enabled: true,
		}, 0, entry)
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, directory.Anomaly{
			Site: "s", Gateway: "g", Device: device, Metric: "m", Time: 1, Kind: directory.ByNoData, Rule: rule.ID,
			Severity: directory.Warning,
		})
	}
	if err := owner.RemoveDevice(t.Context(), "s", "g", "deleted", 0, entry); err != nil {
		t.Fatal(err)
	}
	for i, want := range []detect.AddResult{{Added: 1, Rejected: 1}, {Duplicates: 1, Rejected: 1}} {
		if got, err := a.Add(t.Context(), found); err != nil || got != want {
			t.Errorf("time %d: got %+v, %v, want %+v", i, got, err, want)
		}
	}
	if got := timescaletest.Value(t, dsn, "SELECT string_agg(name, ', ') FROM device"); got != "never reported" {
		t.Errorf("the devices are %s", got)
	}
	page := directory.Page{Limit: 10}
	if got, err := pool.Devices(t.Context(), "s", "g", page); err != nil || len(got) != 0 {
		t.Errorf("got the devices %v, %v, want none", got, err)
	}
	active := true
	got, err := pool.Anomalies(t.Context(), directory.AnomalyFilter{Site: "s", Active: &active, Limit: 10})
	if err != nil || len(got) != 1 || got[0].Device != "never reported" || got[0].Metric != "m" {
		t.Errorf("got the alarms %v, %v, want that of the device that never reported", got, err)
	}
}
