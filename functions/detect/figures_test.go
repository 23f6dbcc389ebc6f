package main

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"

	"github.com/insighthub/insighthub/lib/directory"
	lambdahost "github.com/insighthub/insighthub/lib/lambda/host"
	"github.com/insighthub/insighthub/lib/prometheus/remotewrite"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// written is a Prometheus in memory.
type written struct {
	series []string
	result remotewrite.Result
	err    error
}

func (w *written) Write(_ context.Context, series []remotewrite.Series) (remotewrite.Result, error) {
	for i := range series {
		for _, s := range series[i].Samples {
			w.series = append(w.series, series[i].String()+" "+number(s))
		}
	}
	return w.result, w.err
}

func number(s remotewrite.Sample) string {
	return telemetry.Micros(s.Timestamp*1000).Time().Format("05.000") + map[bool]string{true: " high", false: " low"}[s.Value > 0.8]
}

func found(device, metric string, at telemetry.Micros, kind directory.AnomalyKind, score float64) directory.Anomaly {
	return directory.Anomaly{
		Site: "s", Gateway: "g", Device: telemetry.DeviceName(device), Metric: telemetry.MetricName(metric), Time: at, Kind: kind, Score: score,
	}
}

// Each anomaly is a sample; in the order of time, by series, and one a millisecond.
func TestAnomaliesBecomeSamples(t *testing.T) {
	w := &written{}
	n, err := figures{w}.Notify(t.Context(), []directory.Anomaly{
		found("press", "heat", 2_000_000, directory.ByScore, 0.9),
		found("press", "heat", 1_000_900, directory.ByScore, 0.6),
		found("press", "", 1_000_000, directory.ByMachine, 0.9),
		found("press", "heat", 1_000_100, directory.ByScore, 0.9),
		found("press", "heat", 1_000_000, directory.ByRate, 1),
	})
	if n != 5 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	labels := func(kind, metric string) string {
		if metric != "" {
			metric = `metric="` + metric + `", `
		}
		return `{__name__="insighthub_anomaly_score", device="press", gateway="g", kind="` + kind + `", ` + metric + `site="s"}`
	}
	want := []string{
		labels("machine", "") + " 01.000 high", labels("rate", "heat") + " 01.000 high",
		labels("score", "heat") + " 01.000 high", labels("score", "heat") + " 02.000 high",
	}
	if !slices.Equal(w.series, want) {
		t.Errorf("%q, want %q", w.series, want)
	}
}

func TestWhatIsNotDrawnIsCounted(t *testing.T) {
	three := []directory.Anomaly{
		found("a", "m", 1e6, directory.ByScore, 0.9), found("a", "m", 2e6, directory.ByScore, 0.9), found("b", "m", 1e6, directory.ByScore, 0.9),
	}
	away := errors.New("away")
	rejected := func(reason string, duplicate bool) remotewrite.Result {
		return remotewrite.Result{Settled: 2, Rejected: []remotewrite.Rejection{{Series: 1, Samples: 1, Reason: reason, Duplicate: duplicate}}}
	}
	for name, c := range map[string]struct {
		of   written
		want int
		err  error
	}{
		"away":                  {written{err: away}, 0, away},
		"away in the middle":    {written{result: remotewrite.Result{Settled: 1}, err: away}, 2, away},
		"there already":         {written{result: rejected("out of order sample", true)}, 3, nil},
		"older than all it has": {written{result: rejected("out of bounds", false)}, 2, errRefused},
	} {
		if n, err := (figures{&c.of}).Notify(t.Context(), three); n != c.want || !errors.Is(err, c.err) {
			t.Errorf("%s: %d, %v", name, n, err)
		}
	}
}

func TestFiguresNeedAReceiver(t *testing.T) {
	for url, want := range map[string]bool{"": false, "http://127.0.0.1:1/write": true} {
		h := lambdahost.NewHost(func(name string) string {
			return map[string]string{
				"REMOTE_WRITE_URL": url, "AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none",
			}[name]
		}, slog.New(slog.DiscardHandler))
		if got, err := newFigures(h); (got != nil) != want || err != nil || h.Env.Err() != nil {
			t.Errorf("REMOTE_WRITE_URL %q: got %v, %v, %v; want a client: %v", url, got, err, h.Env.Err(), want)
		}
	}
}
