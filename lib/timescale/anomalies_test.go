package timescale

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/timescale/timescaletest/pgtest"
	"github.com/insighthub/insighthub/lib/trail"
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

// TestSilentNames: the names of an alarm for silence are not listed, count towards no bound,
// and are of use to nobody, until an event has them.
func TestSilentNames(t *testing.T) {
	p := migrated(t, FlavourPlain)
	w := NewWriter(p, WriterConfig{DevicesPerGateway: 2, MetricsPerGateway: 1})
	store := func(device telemetry.DeviceName, want int) {
		t.Helper()
		b := &telemetry.Batch{Gateway: "g", Site: "s", Received: 1}
		b.Append(telemetry.Event{Device: device, Metric: "m", Time: 1, Value: 7})
		if out, err := w.Write(t.Context(), []*telemetry.Batch{b}); err != nil || out.Stored != want {
			t.Errorf("%s: got %+v, %v; want %d events stored", device, out, err, want)
		}
	}
	devices := func(want ...telemetry.DeviceName) {
		t.Helper()
		listed, err := p.Devices(t.Context(), "s", "g", directory.Page{Limit: 10})
		var got []telemetry.DeviceName
		for _, d := range listed {
			got = append(got, d.Name)
		}
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("devices: %v (-want +got)\n%s", err, diff)
		}
	}
	names := &telemetry.Batch{
		Gateway: "g", Site: "s", Devices: []telemetry.DeviceName{"a", "late", "preess"}, Metrics: []telemetry.MetricName{"m", "tempp"},
	}
	store("a", 1)
	for range 2 {
		if err := w.AddSilentNames(t.Context(), names); err != nil {
			t.Fatal(err)
		}
	}
	found := []directory.Anomaly{{
		Gateway: "g", Device: "preess", Metric: "tempp", Time: 1, Kind: directory.ByNoData, Severity: directory.Warning,
	}}
	if added, unknown, err := p.AddAnomalies(t.Context(), found); added != 1 || unknown != 0 || err != nil {
		t.Errorf("got %d anomalies added, %d unknown, %v; want 1", added, unknown, err)
	}
	devices("a")
	metrics, err := p.Metrics(t.Context(), "s", "g", directory.Page{Limit: 10})
	if err != nil || len(metrics) != 1 || metrics[0].Name != "m" {
		t.Errorf("got the metrics %v, %v, want m", metrics, err)
	}
	if _, err := p.Device(t.Context(), "s", "g", "preess"); !errors.Is(err, telemetry.ErrNotFound) {
		t.Errorf("device: got %v, want ErrNotFound", err)
	}
	if err := p.RemoveDevice(t.Context(), "s", "g", "preess", 0, trail.Entry{}); !errors.Is(err, telemetry.ErrNotFound) {
		t.Errorf("remove: got %v, want ErrNotFound", err)
	}
	store("late", 1) // there is room for a second device
	devices("a", "late")
	store("preess", 0) // but not for a third
	devices("a", "late")
	if err := w.AddSilentNames(t.Context(), &telemetry.Batch{Gateway: "unknown", Devices: names.Devices}); err != nil {
		t.Error(err)
	}
}

// TestEndsOfAnomalies stores ends, again and again: the first one stays, but for that of a
// late anomaly, which may move on.
func TestEndsOfAnomalies(t *testing.T) {
	p := migrated(t, FlavourPlain)
	names := &telemetry.Batch{Gateway: "g", Site: "s", Devices: []telemetry.DeviceName{"d"}, Metrics: []telemetry.MetricName{"m"}}
	if err := NewWriter(p, WriterConfig{}).AddNames(t.Context(), names); err != nil {
		t.Fatal(err)
	}
	of := func(metric telemetry.MetricName, at telemetry.Micros, kind directory.AnomalyKind) directory.Anomaly {
		return directory.Anomaly{Gateway: "g", Device: "d", Metric: metric, Time: at, Kind: kind, Severity: directory.Warning}
	}
	late := of("m", 3, directory.ByRate)
	late.Late, late.Lag, late.EndedAt, late.EndReason = true, 90*time.Second, 3, directory.EndPast
	found := []directory.Anomaly{of("m", 1, directory.ByScore), of("", 2, directory.ByMachine), late, of("m", 4, directory.ByNoData)}
	step := func(at telemetry.Micros, reason directory.EndReason, which ...int) {
		t.Helper()
		if _, _, err := p.AddAnomalies(t.Context(), found); err != nil { // those that exist stay as they are
			t.Fatal(err)
		}
		var ended []directory.Anomaly
		for _, i := range which {
			a := found[i]
			a.EndedAt, a.EndReason = at, reason
			ended = append(ended, a)
		}
		unknown := of("other", 1, directory.ByScore)
		unknown.EndedAt, unknown.EndReason = at, reason
		if err := p.EndAnomalies(t.Context(), append(ended, unknown)); err != nil {
			t.Fatal(err)
		}
	}
	type end struct {
		Time, At telemetry.Micros
		Reason   directory.EndReason
		Late     bool
		Lag      time.Duration
		Version  directory.Version
	}
	compare := func(active *bool, want ...end) {
		t.Helper()
		all, err := p.Anomalies(t.Context(), directory.AnomalyFilter{Site: "s", Limit: 10, Active: active})
		if err != nil {
			t.Fatal(err)
		}
		var got []end
		for _, a := range all {
			got = append(got, end{a.Time, a.EndedAt, a.EndReason, a.Late, a.Lag, a.Version})
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("ends differ (-want +got):\n%s", diff)
		}
	}
	step(7, directory.EndPast, 2)
	step(6, directory.EndPast, 2)
	step(10, directory.EndCleared, 0, 1, 2)
	step(11, directory.EndRuleChanged, 0, 1)
	yes, no := true, false
	compare(nil, end{4, 0, "", false, 0, 1}, end{3, 7, "past", true, 90 * time.Second, 2},
		end{2, 10, "cleared", false, 0, 2}, end{1, 10, "cleared", false, 0, 2})
	compare(&yes, end{4, 0, "", false, 0, 1})
	compare(&no, end{3, 7, "past", true, 90 * time.Second, 2}, end{2, 10, "cleared", false, 0, 2}, end{1, 10, "cleared", false, 0, 2})
	early := found[3]
	early.EndedAt, early.EndReason = 1, directory.EndCleared
	if err := p.EndAnomalies(t.Context(), []directory.Anomaly{early}); !errors.Is(err, telemetry.ErrInvalid) {
		t.Errorf("an end before the anomaly: got %v, want ErrInvalid", err)
	}
}

// TestBeginsOfLateAnomalies moves the begin of a late anomaly back, as older values of it
// arrive, and repeats each step: the anomaly is found again with the time that it had first.
func TestBeginsOfLateAnomalies(t *testing.T) {
	p := migrated(t, FlavourPlain)
	names := &telemetry.Batch{Gateway: "g", Site: "s", Devices: []telemetry.DeviceName{"d"}, Metrics: []telemetry.MetricName{"m"}}
	if err := NewWriter(p, WriterConfig{}).AddNames(t.Context(), names); err != nil {
		t.Fatal(err)
	}
	found := directory.Anomaly{
		Gateway: "g", Device: "d", Metric: "m", Time: 8, Kind: directory.ByThreshold, Rule: "00000000-0000-0000-0000-000000000001",
		Severity: directory.Warning, Value: new(95.0), Message: "value 95 is above 90",
		Late: true, EndedAt: 8, EndReason: directory.EndPast,
	}
	end := func(began, at telemetry.Micros, value *float64, message string) directory.Anomaly {
		a := found
		a.BeganAt, a.EndedAt, a.Value, a.Message = began, at, value, message
		return a
	}
	for i, one := range []struct {
		end              directory.Anomaly
		wantTime, wantAt telemetry.Micros
		wantValue        float64
	}{
		{end(7, 8, new(96.0), "value 96 is above 90"), 7, 8, 96},
		{end(6, 8, new(97.0), "value 97 is above 90"), 6, 8, 97},
		{end(7, 8, new(96.0), "value 96 is above 90"), 6, 8, 97}, // delivered again
		{end(6, 9, nil, ""), 6, 9, 97},
		{end(6, 8, new(97.0), "value 97 is above 90"), 6, 9, 97},
	} {
		for range 2 {
			if _, _, err := p.AddAnomalies(t.Context(), []directory.Anomaly{found}); err != nil {
				t.Fatal(err)
			}
			if err := p.EndAnomalies(t.Context(), []directory.Anomaly{one.end}); err != nil {
				t.Fatal(err)
			}
			got, err := p.Anomalies(t.Context(), directory.AnomalyFilter{Site: "s", Limit: 10})
			message := fmt.Sprintf("value %g is above 90", one.wantValue)
			if err != nil || len(got) != 1 || got[0].Time != one.wantTime || got[0].EndedAt != one.wantAt ||
				*got[0].Value != one.wantValue || got[0].Message != message {
				t.Errorf("step %d: got %+v, %v; want one anomaly from %d to %d, %s", i, got, err, one.wantTime, one.wantAt, message)
			}
		}
	}
}

// TestAnomaliesBeforeEndsWereStored migrates a database with an anomaly: it is not active for ever.
func TestAnomaliesBeforeEndsWereStored(t *testing.T) {
	p := openPool(t, pgtest.NewDatabase(t))
	if err := p.do(t.Context(), func(ctx context.Context, conn *pgx.Conn) error {
		_, err := migrate(ctx, conn, FlavourPlain, 9)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	execute(t, p, `INSERT INTO gateway (name, site, site_since) VALUES ('g', 's', now())`)
	execute(t, p, `INSERT INTO device (gateway_id, name) SELECT id, 'd' FROM gateway`)
	execute(t, p, `INSERT INTO anomaly (device_id, time, kind) SELECT id, now(), 'machine' FROM device`)
	execute(t, p, `INSERT INTO alarm_rule (site, gateway, device, metric, kind, per_second) VALUES ('s', 'g', 'd', 'm', 'rate', 5)`)
	if _, err := Migrate(t.Context(), p, FlavourPlain); err != nil {
		t.Fatal(err)
	}
	all, err := p.Anomalies(t.Context(), directory.AnomalyFilter{Site: "s", Limit: 10})
	if err != nil || len(all) != 1 || all[0].Active() || all[0].EndReason != directory.EndUnknown || all[0].EndedAt != 0 {
		t.Errorf("got %+v, %v, want one that ended at an unknown time", all, err)
	}
	rules, err := p.EnabledAlarmRules(t.Context())
	if err != nil || len(rules) != 1 || rules[0].MinInterval != time.Second || !rules[0].Expected || rules[0].ChangedAt.IsZero() {
		t.Errorf("got %+v, %v, want a least interval of a second, and a gateway of the site", rules, err)
	}
	execute(t, p, `UPDATE gateway SET site = 'other'`)
	if rules, err = p.EnabledAlarmRules(t.Context()); err != nil || len(rules) != 1 || rules[0].Expected {
		t.Errorf("got %+v, %v, want a gateway that the site does not have", rules, err)
	}
	execute(t, p, `UPDATE alarm_rule SET kind = 'no_data', silence_seconds = 5, per_second = NULL`)
	execute(t, p, `UPDATE gateway SET site = 's', revoked_at = now()`)
	if rules, err = p.EnabledAlarmRules(t.Context()); err != nil || len(rules) != 0 {
		t.Errorf("got %+v, %v, want no rule for the silence of a revoked gateway", rules, err)
	}
}
