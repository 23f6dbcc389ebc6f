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

// fakeWriter records the samples that it gets, and returns result and err.
type fakeWriter struct {
	series []string
	result remotewrite.Result
	err    error
}

func (w *fakeWriter) Write(_ context.Context, series []remotewrite.Series) (remotewrite.Result, error) {
	for i := range series {
		for _, s := range series[i].Samples {
			w.series = append(w.series, series[i].String()+" "+number(s))
		}
	}
	return w.result, w.err
}

func number(s remotewrite.Sample) string {
	level := map[bool]string{true: " high", false: " low"}[s.Value > 0.8]
	return telemetry.Micros(s.Timestamp*1000).Time().Format("05.000") + level
}

func found(device, metric string, at telemetry.Micros, kind directory.AnomalyKind, score float64) directory.Anomaly {
	return directory.Anomaly{
		Site: "s", Gateway: "g", Device: telemetry.DeviceName(device), Metric: telemetry.MetricName(metric),
		Time: at, Kind: kind, Score: score,
	}
}

// TestScoresExported expects one sample per millisecond and series, in order of time.
func TestScoresExported(t *testing.T) {
	w := &fakeWriter{}
	n, err := scores{w}.Notify(t.Context(), []directory.Anomaly{
		found("press", "heat", 2_000_000, directory.ByScore, 0.9),
		found("press", "heat", 1_000_900, directory.ByScore, 0.6),
		found("press", "", 1_000_000, directory.ByMachine, 0.9),
		found("press", "heat", 1_000_100, directory.ByScore, 0.9),
		found("press", "heat", 1_000_000, directory.ByRate, 1),
	})
	if n != 5 || err != nil {
		t.Errorf("got %d, %v, want 5 exported", n, err)
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
		t.Errorf("got %q, want %q", w.series, want)
	}
}

func TestScoresNotExported(t *testing.T) {
	three := []directory.Anomaly{
		found("a", "m", 1e6, directory.ByScore, 0.9), found("a", "m", 2e6, directory.ByScore, 0.9),
		found("b", "m", 1e6, directory.ByScore, 0.9),
	}
	unavailable := errors.New("connection refused")
	rejected := func(reason string, duplicate bool) remotewrite.Result {
		r := remotewrite.Rejection{Series: 1, Samples: 1, Reason: reason, Duplicate: duplicate}
		return remotewrite.Result{Settled: 2, Rejected: []remotewrite.Rejection{r}}
	}
	for name, c := range map[string]struct {
		client fakeWriter
		want   int
		err    error
	}{
		"unavailable":                  {fakeWriter{err: unavailable}, 0, unavailable},
		"unavailable after one series": {fakeWriter{result: remotewrite.Result{Settled: 1}, err: unavailable}, 2, unavailable},
		"duplicate":                    {fakeWriter{result: rejected("out of order sample", true)}, 3, nil},
		"out of bounds":                {fakeWriter{result: rejected("out of bounds", false)}, 2, errRejected},
	} {
		if n, err := (scores{&c.client}).Notify(t.Context(), three); n != c.want || !errors.Is(err, c.err) {
			t.Errorf("%s: got %d, %v, want %d, %v", name, n, err, c.want, c.err)
		}
	}
}

func TestScoresNeedURL(t *testing.T) {
	for url, want := range map[string]bool{"": false, "http://127.0.0.1:1/write": true} {
		h := lambdahost.NewHost(func(name string) string {
			return map[string]string{
				"REMOTE_WRITE_URL": url, "AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none",
			}[name]
		}, slog.New(slog.DiscardHandler))
		if got, err := newScores(h); (got != nil) != want || err != nil || h.Env.Err() != nil {
			t.Errorf("REMOTE_WRITE_URL %q: got %v, %v, %v; want a client: %v", url, got, err, h.Env.Err(), want)
		}
	}
}
