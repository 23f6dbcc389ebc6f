package detect

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// alternating returns a stream in which every second record raises the rule's alarm.
func alternating(records int) (*testStream, directory.AlarmRule) {
	stream := &testStream{}
	for i := range records {
		at := start + telemetry.Micros(i)*second
		stream.add(at, batch("a", event("press", "state", at, float64(i%2))))
	}
	return stream, directory.AlarmRule{
		ID: "1", Site: "plant", Gateway: "a", Device: "press", Metric: "state", Kind: directory.ByThreshold, High: new(0.5),
		Severity: directory.Critical,
	}
}

func TestDatabaseUnavailable(t *testing.T) {
	stream, rule := alternating(10)
	f := newFixture(t, stream, rule)
	f.anomalies.err = fmt.Errorf("%w: connection refused", telemetry.ErrUnavailable)
	for range 3 {
		if err := f.invoke("s", 0, 10); !errors.Is(err, telemetry.ErrUnavailable) {
			t.Fatalf("got %v, want an error that wraps telemetry.ErrUnavailable", err)
		}
	}
	if n := len(f.notifier.ids); n > 0 {
		t.Errorf("got %d notifications of anomalies that are not stored, want none", n)
	}
	if n := f.counter("insighthub_anomalies_total", "threshold"); n != 0 {
		t.Errorf("got %v anomalies counted before they are stored, want 0", n)
	}
	f.anomalies.err = nil
	f.all(3)
	if len(f.anomalies.stored) != 5 || len(f.notifier.ids) != 5 || f.counter("insighthub_anomalies_total", "threshold") != 5 {
		t.Errorf("got %d stored, %d notified, want 5 each, and 5 counted", len(f.anomalies.stored), len(f.notifier.ids))
	}
}

// TestBusUnavailable expects invocations to succeed, and the failures to be counted and
// logged.
func TestBusUnavailable(t *testing.T) {
	stream, rule := alternating(10)
	f := newFixture(t, stream, rule)
	f.notifier.err, f.notifier.sent = errors.New("bus unavailable"), 2
	f.all(10)
	if n := f.counter("insighthub_detect_notifications_total", "failed"); n != 3 {
		t.Errorf("got %v failed, want 3", n)
	}
	if n := f.counter("insighthub_detect_notifications_total", "sent"); n != 2+4 {
		t.Errorf("got %v sent, want 2 anomalies and 4 ends", n)
	}
	if log := f.log.String(); !strings.Contains(log, "bus unavailable") || len(f.anomalies.stored) != 5 {
		t.Errorf("got %d stored, log %s; want 5, and the error of the bus", len(f.anomalies.stored), log)
	}
}

func TestMaxNotified(t *testing.T) {
	stream, rule := alternating(500)
	f := newFixture(t, stream, rule)
	f.all(500)
	left := f.counter("insighthub_detect_notifications_total", "left_out")
	if len(f.anomalies.stored) != 250 || len(f.notifier.ids) != 200 || left != 50+49 {
		t.Errorf("got %d stored, %d notified, %v left out, want 250, 200, and 50 anomalies and 49 ends",
			len(f.anomalies.stored), len(f.notifier.ids), left)
	}
}

// TestScoresAreExported expects the most severe scores to be exported, and invocations
// to succeed if the export fails.
func TestScoresAreExported(t *testing.T) {
	stream, rule := alternating(100)
	const metric = "insighthub_detect_scores_exported_total"
	f, exporter := newFixture(t, stream, rule), &fakeNotifier{}
	f.config.Scores, f.config.MaxScores = exporter, 20
	f.configure(f.config)
	f.all(50)
	if len(f.anomalies.stored) != 50 || len(f.notifier.ids) != 50 {
		t.Fatalf("got %d stored, %d notified, want 50 each", len(f.anomalies.stored), len(f.notifier.ids))
	}
	if want := slices.Concat(f.notifier.ids[:20], f.notifier.ids[25:45]); !slices.Equal(exporter.ids, want) {
		t.Errorf("got %d exported: %v, want %v", len(exporter.ids), exporter.ids, want)
	}
	if written, left := f.counter(metric, "written"), f.counter(metric, "left_out"); written != 40 || left != 10 {
		t.Errorf("got %v written, %v left out, want 40 and 10", written, left)
	}

	f = newFixture(t, stream, rule)
	f.config.Scores = &fakeNotifier{err: errors.New("receiver unavailable"), sent: 10}
	f.configure(f.config)
	f.all(100)
	if written, failed := f.counter(metric, "written"), f.counter(metric, "failed"); written != 10 || failed != 40 {
		t.Errorf("got %v written, %v failed, want 10 and 40", written, failed)
	}
	if log := f.log.String(); !strings.Contains(log, "receiver unavailable") || len(f.anomalies.stored) != 50 {
		t.Errorf("got %d stored, log %s; want 50, and the error of the receiver", len(f.anomalies.stored), log)
	}
}

// deadline records the deadlines of its contexts.
type deadline struct{ add, notify time.Time }

func (d *deadline) Add(ctx context.Context, _ []directory.Anomaly) (AddResult, error) {
	d.add, _ = ctx.Deadline()
	return AddResult{}, nil
}

func (*deadline) End(context.Context, []directory.Anomaly) error { return nil }

func (d *deadline) Notify(ctx context.Context, found []directory.Anomaly) (int, error) {
	d.notify, _ = ctx.Deadline()
	return len(found), nil
}

func TestDeadlineLeavesTimeForState(t *testing.T) {
	stream, rule := alternating(2)
	f := newFixture(t, stream, rule)
	d := &deadline{}
	f.now = time.Now()
	f.config.Anomalies, f.config.Notifier = d, d
	f.configure(f.config)
	ctx, cancel := context.WithDeadline(t.Context(), f.now.Add(time.Hour))
	defer cancel()
	if _, err := f.Invoke(ctx, []byte("s 0 2")); err != nil {
		t.Fatal(err)
	}
	if left := f.now.Add(time.Hour).Sub(d.add); left != 6*time.Minute {
		t.Errorf("got %v left for saving the state, want 6m, a tenth of the hour", left)
	}
	if took := d.notify.Sub(f.now); took > 10*time.Second {
		t.Errorf("got a deadline of notifications after %v, want at most 10s", took)
	}
}

func TestPayloads(t *testing.T) {
	stream, rule := alternating(4)
	f := newFixture(t, stream, rule)
	if _, err := f.Invoke(t.Context(), []byte("broken")); err == nil {
		t.Error("got no error of a payload that is not valid")
	}
	if out, err := f.Invoke(t.Context(), []byte("s 0 0")); err != nil || string(out) != "done" {
		t.Errorf("without records: got response %q, %v, want done", out, err)
	}
}

func TestIDIsTheIdentity(t *testing.T) {
	a := directory.Anomaly{Site: "s", Gateway: "g", Device: "d", Metric: "m", Time: 7, Kind: directory.ByRate, Rule: "r", Score: 1}
	same := a
	same.Site, same.Score, same.Message, same.Severity = "x", 0.5, "else", directory.Info
	if ID(&a) != ID(&same) || len(ID(&a)) != 32 {
		t.Errorf("got ids %s and %s, want the same 32 digits", ID(&a), ID(&same))
	}
	for i, change := range []func(*directory.Anomaly){
		func(a *directory.Anomaly) { a.Gateway = "h" }, func(a *directory.Anomaly) { a.Device = "e" },
		func(a *directory.Anomaly) { a.Metric = "" }, func(a *directory.Anomaly) { a.Time++ },
		func(a *directory.Anomaly) { a.Kind = directory.ByNoData }, func(a *directory.Anomaly) { a.Rule = "" },
		func(a *directory.Anomaly) { a.Gateway, a.Device = "gd", "" },
	} {
		other := a
		change(&other)
		if ID(&a) == ID(&other) {
			t.Errorf("change %d: got the same id %s, want another", i, ID(&a))
		}
	}
}
