package timescale

import (
	"errors"
	"testing"

	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/telemetry"
)

func TestAnomaliesBeforeTheirEvents(t *testing.T) {
	p := migrated(t, FlavourPlain)
	value := 7.0
	found := []directory.Anomaly{
		{
			Gateway: "g", Device: "d", Metric: "m", Time: 1, Kind: directory.ByScore, Score: 0.75, Value: &value,
			Severity: directory.Warning,
			Message:  "new",
		},
		{Gateway: "g", Device: "d", Time: 1, Kind: directory.ByMachine, Score: 0.5, Severity: directory.Info},
		{
			Gateway: "g", Device: "d", Metric: "m", Time: 1, Kind: directory.ByRate, Rule: "00000000-0000-0000-0000-000000000001", Score: 1,
			Severity: directory.Critical,
		},
		{
			Gateway: "g", Device: "d", Metric: "m", Time: 1, Kind: directory.ByScore, Score: 0.25,
			Severity: directory.Warning,
		}, // the first one again
		{Gateway: "g", Device: "d", Metric: "n", Time: 1, Kind: directory.ByScore, Severity: directory.Warning},
	}
	add := func(wantAdded, wantUnknown int) {
		t.Helper()
		if added, unknown, err := p.AddAnomalies(t.Context(), found); added != wantAdded || unknown != wantUnknown || err != nil {
			t.Errorf("%d added, %d unknown, %v; want %d and %d", added, unknown, err, wantAdded, wantUnknown)
		}
	}
	add(0, 5)
	w := NewWriter(p, WriterConfig{DevicesPerGateway: 1, MetricsPerGateway: 1})
	names := &telemetry.Batch{Gateway: "g", Site: "s", Devices: []telemetry.DeviceName{"d"}, Metrics: []telemetry.MetricName{"m"}}
	if err := w.AddNames(t.Context(), names); err != nil {
		t.Fatal(err)
	}
	add(3, 1)
	add(0, 1)
	names.Metrics = []telemetry.MetricName{"n"}
	if err := w.AddNames(t.Context(), names); !errors.Is(err, telemetry.ErrInvalid) {
		t.Errorf("beyond the limit: got %v, want ErrInvalid", err)
	}
	got, err := p.Anomalies(t.Context(), directory.AnomalyFilter{Site: "s", Limit: 10})
	if err != nil || len(got) != 3 || got[2].Score != 0.75 || got[2].Value == nil || *got[2].Value != 7 || got[1].Metric != "" ||
		got[1].Value != nil || got[0].Rule == "" {
		t.Errorf("got %+v, %v; want the three anomalies as added, the newest first", got, err)
	}
	// Events that are stored later have the same names.
	b := &telemetry.Batch{Gateway: "g", Site: "s", Received: 1}
	b.Append(telemetry.Event{Device: "d", Metric: "m", Time: 1, Value: 7})
	if out, err := w.Write(t.Context(), []*telemetry.Batch{b}); err != nil || out.Stored != 1 {
		t.Errorf("got %+v, %v; want one event stored", out, err)
	}
	if added, _, err := p.AddAnomalies(t.Context(), []directory.Anomaly{{
		Gateway: "g", Device: "d", Kind: "phase",
		Severity: directory.Info,
	}}); added != 0 || !errors.Is(err, telemetry.ErrInvalid) {
		t.Errorf("an unknown kind: got %d added, %v; want ErrInvalid", added, err)
	}
}
