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

// jumpy is a tape on which a rule raises an alarm with each second record.
func jumpy(records int) (*tape, directory.AlarmRule) {
	p := &tape{}
	for i := range records {
		at := start + telemetry.Micros(i)*second
		p.add(at, batch("a", event("press", "state", at, float64(i%2))))
	}
	return p, directory.AlarmRule{
		ID: "1", Site: "plant", Gateway: "a", Device: "press", Metric: "state", Kind: directory.ByThreshold, High: new(0.5), Severity: directory.Critical,
	}
}

func TestDatabaseAway(t *testing.T) {
	p, rule := jumpy(10)
	b := newBench(t, p, rule)
	b.book.err = fmt.Errorf("%w: gone fishing", telemetry.ErrUnavailable)
	for range 3 {
		if err := b.invoke("s", 0, 10); !errors.Is(err, telemetry.ErrUnavailable) {
			t.Fatal(err)
		}
	}
	if len(b.told.ids) > 0 {
		t.Error("told of what is not kept")
	}
	if n := b.counter("insighthub_anomalies_total", "threshold"); n != 0 {
		t.Errorf("%v anomalies counted before they are kept", n)
	}
	b.book.err = nil
	b.all(3)
	if len(b.book.kept) != 5 || len(b.told.ids) != 5 || b.counter("insighthub_anomalies_total", "threshold") != 5 {
		t.Errorf("%d kept, %d told", len(b.book.kept), len(b.told.ids))
	}
}

// TestBusAway wants the stream to go on, and the loss to be seen.
func TestBusAway(t *testing.T) {
	p, rule := jumpy(10)
	b := newBench(t, p, rule)
	b.told.err, b.told.cut = errors.New("no bus today"), 2
	b.all(10)
	if n := b.counter("insighthub_detect_notifications_total", "failed"); n != 3 {
		t.Errorf("%v failed, want 3", n)
	}
	if n := b.counter("insighthub_detect_notifications_total", "sent"); n != 2 {
		t.Errorf("%v sent, want 2", n)
	}
	if log := b.log.String(); !strings.Contains(log, "no bus today") || len(b.book.kept) != 5 {
		t.Errorf("%d kept, log %s", len(b.book.kept), log)
	}
}

func TestNobodyReadsThousands(t *testing.T) {
	p, rule := jumpy(500)
	b := newBench(t, p, rule)
	b.all(500)
	if len(b.book.kept) != 250 || len(b.told.ids) != 200 || b.counter("insighthub_detect_notifications_total", "left_out") != 50 {
		t.Errorf("%d kept, %d told", len(b.book.kept), len(b.told.ids))
	}
}

// TestScoresAreExported wants the scores where they are drawn, the severe ones first, and
// the stream to go on without.
func TestScoresAreExported(t *testing.T) {
	p, rule := jumpy(100)
	b, drawn := newBench(t, p, rule), &told{}
	b.config.Scores, b.config.MaxScores = drawn, 20
	b.configure(b.config)
	b.all(50)
	if len(b.book.kept) != 50 || len(b.told.ids) != 50 || !slices.Equal(drawn.ids, slices.Concat(b.told.ids[:20], b.told.ids[25:45])) {
		t.Errorf("%d kept, %d told, %d drawn", len(b.book.kept), len(b.told.ids), len(drawn.ids))
	}
	if written, left := b.counter("insighthub_detect_scores_exported_total", "written"), b.counter("insighthub_detect_scores_exported_total", "left_out"); written != 40 || left != 10 {
		t.Errorf("%v written, %v left out", written, left)
	}

	b = newBench(t, p, rule)
	b.config.Scores = &told{err: errors.New("no screen today"), cut: 10}
	b.configure(b.config)
	b.all(100)
	if written, failed := b.counter("insighthub_detect_scores_exported_total", "written"), b.counter("insighthub_detect_scores_exported_total", "failed"); written != 10 || failed != 40 {
		t.Errorf("%v written, %v failed", written, failed)
	}
	if log := b.log.String(); !strings.Contains(log, "no screen today") || len(b.book.kept) != 50 {
		t.Errorf("%d kept, log %s", len(b.book.kept), log)
	}
}

// deadline notes how long it may take.
type deadline struct{ add, notify time.Time }

func (d *deadline) Add(ctx context.Context, _ []directory.Anomaly) (AddResult, error) {
	d.add, _ = ctx.Deadline()
	return AddResult{}, nil
}

func (d *deadline) Notify(ctx context.Context, found []directory.Anomaly) (int, error) {
	d.notify, _ = ctx.Deadline()
	return len(found), nil
}

func TestTimeIsLeftForTheState(t *testing.T) {
	p, rule := jumpy(2)
	b := newBench(t, p, rule)
	d := &deadline{}
	b.now = time.Now()
	b.config.Anomalies, b.config.Notifier = d, d
	b.configure(b.config)
	ctx, cancel := context.WithDeadline(t.Context(), b.now.Add(time.Hour))
	defer cancel()
	if _, err := b.Invoke(ctx, []byte("s 0 2")); err != nil {
		t.Fatal(err)
	}
	if left := b.now.Add(time.Hour).Sub(d.add); left != 6*time.Minute {
		t.Errorf("%v are left for the state, want a tenth of the hour", left)
	}
	if took := d.notify.Sub(b.now); took > 10*time.Second {
		t.Errorf("telling may take %v", took)
	}
}

func TestPayloads(t *testing.T) {
	p, rule := jumpy(4)
	b := newBench(t, p, rule)
	if _, err := b.Invoke(t.Context(), []byte("broken")); err == nil {
		t.Error("a broken payload was taken")
	}
	if out, err := b.Invoke(t.Context(), []byte("s 0 0")); err != nil || string(out) != "done" {
		t.Errorf("%s, %v", out, err)
	}
}

func TestIDIsTheIdentity(t *testing.T) {
	a := directory.Anomaly{Site: "s", Gateway: "g", Device: "d", Metric: "m", Time: 7, Kind: directory.ByRate, Rule: "r", Score: 1}
	same := a
	same.Site, same.Score, same.Message, same.Severity = "x", 0.5, "else", directory.Info
	if ID(&a) != ID(&same) || len(ID(&a)) != 32 {
		t.Errorf("%s and %s", ID(&a), ID(&same))
	}
	for i, change := range []func(*directory.Anomaly){
		func(a *directory.Anomaly) { a.Gateway = "h" }, func(a *directory.Anomaly) { a.Device = "e" }, func(a *directory.Anomaly) { a.Metric = "" },
		func(a *directory.Anomaly) { a.Time++ }, func(a *directory.Anomaly) { a.Kind = directory.ByNoData }, func(a *directory.Anomaly) { a.Rule = "" },
		func(a *directory.Anomaly) { a.Gateway, a.Device = "gd", "" },
	} {
		other := a
		change(&other)
		if ID(&a) == ID(&other) {
			t.Errorf("change %d makes no difference", i)
		}
	}
}
