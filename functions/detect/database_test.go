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

// TestTheDatabaseHasWhatTheDetectorFinds runs the function over a real database whose
// store has not stored anything yet: a fault of a machine's temperature, and rules.
func TestTheDatabaseHasWhatTheDetectorFinds(t *testing.T) {
	pool, _ := timescaletest.Open(t)
	p, to := fleettest.New(t, 2, 2, 2, noon), &posted{}
	device := p.Gateways[0].Machines[0].Name()
	high := 500.0
	entry := trail.Entry{Time: 1, Actor: "test", Action: "alarm-rule.create", Object: "alarm-rules/", Site: "plant-1", Detail: "{}"}
	rule, err := pool.SaveAlarmRule(t.Context(), directory.AlarmRule{
		Site: "plant-1", Gateway: telemetry.GatewayID(p.Gateways[0].ID), Device: telemetry.DeviceName(device), Metric: "temperature",
		Kind: directory.ByThreshold, High: &high, Severity: directory.Critical, Enabled: true,
	}, 0, entry)
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	keep := anomalies{keeper{pool, timescale.NewWriter(pool, timescale.WriterConfig{})}, log}
	h, _ := newHandler(t, keep, to, configuration{pool}, nil)
	var all []fleettest.Record
	for s := range 150 {
		if s == 140 {
			p.Fault = 1000
		}
		all = append(all, p.Run(noon.Add(time.Duration(s)*time.Second), 1)...)
	}
	for part := range slices.Chunk(all, 7) {
		answer, err := h.Invoke(t.Context(), fleettest.Payload(part))
		if err != nil || string(answer) != `{"batchItemFailures":[]}` {
			t.Fatalf("%s, %v", answer, err)
		}
	}
	found, err := pool.Anomalies(t.Context(), directory.AnomalyFilter{Site: "plant-1", Limit: 10000})
	if err != nil {
		t.Fatal(err)
	}
	at := telemetry.MicrosOf(noon.Add(140 * time.Second))
	for kind, want := range map[directory.AnomalyKind]directory.RuleID{directory.ByScore: "", directory.ByThreshold: rule.ID} {
		if !slices.ContainsFunc(found, func(a directory.Anomaly) bool {
			return a.Kind == kind && a.Rule == want && string(a.Device) == device && a.Metric == "temperature" && a.Time == at && *a.Value > 500
		}) {
			t.Errorf("none by %s in %d", kind, len(found))
		}
	}
	if len(to.events) != len(found) {
		t.Errorf("told of %d, found %d", len(to.events), len(found))
	}
	ids := map[string]bool{}
	for _, e := range to.events {
		var d detail
		if err := json.Unmarshal(e.Detail, &d); err != nil || d.ID == "" || ids[d.ID] || d.Site != "plant-1" || d.Kind == "" || e.Type != "anomaly" {
			t.Errorf("%s, %v", e.Detail, err)
		}
		ids[d.ID] = true
	}

	// Another process, which knows nothing, finds the same and adds none.
	again, _ := newHandler(t, keep, &posted{}, configuration{pool}, nil)
	if _, err := again.Invoke(t.Context(), fleettest.Payload(all)); err != nil {
		t.Fatal(err)
	}
	same, err := pool.Anomalies(t.Context(), directory.AnomalyFilter{Site: "plant-1", Limit: 10000})
	if err != nil || len(same) != len(found) {
		t.Errorf("%d after all came again, want %d, %v", len(same), len(found), err)
	}
	// States and counters are not scored.
	for _, a := range found {
		if slices.Contains([]telemetry.MetricName{"state", "cycle_count", "good_count"}, a.Metric) {
			t.Errorf("%s is scored", a.Metric)
		}
	}
}

// TestDevicesPastTheBound has anomalies of names that the database will not take.
func TestDevicesPastTheBound(t *testing.T) {
	pool, _ := timescaletest.Open(t)
	keep := anomalies{keeper{pool, timescale.NewWriter(pool, timescale.WriterConfig{DevicesPerGateway: 2})}, slog.New(slog.DiscardHandler)}
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
		kept, err := keep.Add(t.Context(), append(of("large", 3), of("small", 2)...))
		if err != nil || kept.Rejected != 3 || kept.Added+kept.Duplicates != 2 {
			t.Errorf("%+v, %v", kept, err)
		}
	}
	// One that the database refuses does not keep the others from it.
	wrong := of("small", 2)
	wrong = append(wrong, directory.Anomaly{Gateway: "small", Device: "d0", Time: 2, Kind: "phase of the moon", Severity: directory.Info})
	wrong = append(wrong, directory.Anomaly{Gateway: "small", Device: "d1", Time: 2, Kind: directory.ByMachine, Severity: directory.Info})
	kept, err := keep.Add(t.Context(), wrong)
	if want := (detect.AddResult{Added: 1, Duplicates: 2, Rejected: 1}); err != nil || kept != want {
		t.Errorf("%+v, %v; want %+v", kept, err, want)
	}
}

func TestDatabaseAway(t *testing.T) {
	pool, err := timescale.Open(t.Context(), timescale.PoolConfig{DSN: "postgres://u@127.0.0.1:1/d", MaxAttempts: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	keep := anomalies{keeper{pool, timescale.NewWriter(pool, timescale.WriterConfig{})}, slog.New(slog.DiscardHandler)}
	if _, err := keep.Add(t.Context(), []directory.Anomaly{{Gateway: "g"}}); !errors.Is(err, telemetry.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
	if _, err := (configuration{pool}).Configuration(t.Context()); !errors.Is(err, telemetry.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
}
