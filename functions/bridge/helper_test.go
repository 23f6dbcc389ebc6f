package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/insighthub/insighthub/lib/aws/kinesis/kinesistest"
	"github.com/insighthub/insighthub/lib/bridge"
	"github.com/insighthub/insighthub/lib/kpi"
	lambdahost "github.com/insighthub/insighthub/lib/lambda/host"
	"github.com/insighthub/insighthub/lib/lambda/metrics"
	"github.com/insighthub/insighthub/lib/prometheus/remotewrite"
	"github.com/insighthub/insighthub/lib/shardstate"
	"github.com/insighthub/insighthub/lib/shardstate/shardstatetest"
)

const window = 5 * time.Second

// outOfOrder is how the sink rejects a sample when it has a newer one.
const outOfOrder = "out of order sample"

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// sink is a receiver in memory that accepts and rejects samples as a Prometheus
// without an out-of-order window does.
type sink struct {
	mu     sync.Mutex
	stored map[string][]remotewrite.Sample // by series
	lags   map[string][]remotewrite.Histogram
	writes int
	// down returns how many of a write's n series are stored before it fails, or a
	// negative number if it succeeds.
	down func(n int) int
	bad  func(series string) bool
	// outOfOrder counts the samples that were rejected because a newer one is stored.
	outOfOrder int
}

var _ metrics.Writer = (*sink)(nil)

func newSink() *sink {
	return &sink{stored: map[string][]remotewrite.Sample{}, lags: map[string][]remotewrite.Histogram{}}
}

func (s *sink) Write(_ context.Context, series []remotewrite.Series) (remotewrite.Result, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out remotewrite.Result
	s.writes++
	fail := -1
	if s.down != nil {
		fail = s.down(len(series))
	}
	for i := range series {
		if i == fail {
			return out, &remotewrite.RetryError{Err: context.DeadlineExceeded}
		}
		in := &series[i]
		key := in.String()
		switch reason := s.put(key, in); reason {
		case "":
			out.Samples += len(in.Samples)
			out.Histograms += len(in.Histograms)
		default:
			out.Rejected = append(out.Rejected, remotewrite.Rejection{
				Series: i, Labels: key, Samples: 1, Status: 400, Reason: reason, Duplicate: reason == outOfOrder, Isolated: true,
			})
		}
	}
	if fail >= len(series) {
		return out, &remotewrite.RetryError{Err: context.DeadlineExceeded}
	}
	return out, nil
}

func (s *sink) put(key string, in *remotewrite.Series) string {
	if s.bad != nil && s.bad(key) {
		return "label value too long"
	}
	if len(in.Histograms) > 0 {
		h := in.Histograms[0]
		have := s.lags[key]
		if n := len(have); n > 0 && have[n-1].Timestamp >= h.Timestamp {
			if have[n-1].Timestamp == h.Timestamp && have[n-1].Count == h.Count {
				return ""
			}
			s.outOfOrder++
			return outOfOrder
		}
		s.lags[key] = append(have, h)
		return ""
	}
	sample := in.Samples[0]
	have := s.stored[key]
	if n := len(have); n > 0 && have[n-1].Timestamp >= sample.Timestamp {
		switch {
		case have[n-1] == sample:
			return ""
		case have[n-1].Timestamp == sample.Timestamp:
			return "duplicate sample for timestamp"
		}
		s.outOfOrder++
		return outOfOrder
	}
	s.stored[key] = append(have, sample)
	return ""
}

type noRules struct{}

func (noRules) Rules(context.Context) ([]bridge.Rule, error) { return bridge.DefaultRules(), nil }

// fixture is the function with its dependencies in memory.
type fixture struct {
	handler *bridge.Handler
	objects shardstate.Objects
	sink    metrics.Writer
	rules   bridge.Rules
	log     bytes.Buffer
}

func newFixture(tb testing.TB, to metrics.Writer) *fixture {
	tb.Helper()
	f := &fixture{objects: &shardstatetest.Memory{}, sink: to}
	f.restart(tb)
	return f
}

// restart replaces the process by a new one.
func (f *fixture) restart(tb testing.TB) {
	tb.Helper()
	log := slog.New(slog.NewJSONHandler(&f.log, nil))
	rules := f.rules
	if rules == nil {
		rules = noRules{}
	}
	h, err := assemble(parts{
		settings: settings{stream: "telemetry", kpi: kpi.Config{Window: window, Lateness: 2 * time.Second}},
		objects:  f.objects, lineage: kinesistest.OneShard{}, client: f.sink, rules: rules, log: log,
		config: bridge.Config{Metrics: prometheus.NewRegistry(), Log: log, Now: time.Now},
	})
	if err != nil {
		tb.Fatal(err)
	}
	f.handler = h
}

// newClient returns the client with which the function writes to a Prometheus.
func newClient(tb testing.TB, url string) *remotewrite.Client {
	tb.Helper()
	env := map[string]string{
		"REMOTE_WRITE_URL": url, "AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none",
	}
	h := lambdahost.NewHost(func(name string) string { return env[name] }, slog.New(slog.DiscardHandler))
	client, err := h.RemoteWrite(writeLimits())
	if err := errors.Join(err, h.Env.Err()); err != nil {
		tb.Fatal(err)
	}
	return client
}
