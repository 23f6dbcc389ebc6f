package host

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	random "math/rand/v2"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/prometheus/client_golang/prometheus"

	awsconfig "github.com/insighthub/insighthub/lib/aws/config"
	"github.com/insighthub/insighthub/lib/httpclient"
	"github.com/insighthub/insighthub/lib/lambda/metrics"
	"github.com/insighthub/insighthub/lib/prometheus/remotewrite"
)

// Job is the label job of the functions' own metrics.
const Job = "insighthub"

// Host has what every function needs.
type Host struct {
	// Env reads the function's own settings; it has the problems of the host's already.
	Env *Env
	// AWS is the SDK's configuration. It is empty when Env has an error.
	AWS aws.Config
	Log *slog.Logger
	// Registry is for what the function counts itself; it has the metrics of the process
	// and of the Go runtime.
	Registry *prometheus.Registry

	memoryBytes int
	writeURL    string
	writeSigV4  *awsconfig.SigV4
	flusher     *metrics.Flusher // nil without a Prometheus to write to
}

// NewHost reads from the environment
//
//   - what awsconfig.Load reads;
//   - REMOTE_WRITE_URL, where Prometheus receives samples. Without it the metrics stay
//     in the process;
//   - REMOTE_WRITE_SIGV4 (true, false): sign requests, and use remote write 1.0, as
//     Amazon Managed Service for Prometheus requires. Default false;
//   - METRICS_INTERVAL_SECONDS, the longest time between two flushes. Default 15;
//   - what Lambda sets: AWS_LAMBDA_LOG_STREAM_NAME, AWS_LAMBDA_FUNCTION_MEMORY_SIZE;
//     and INSIGHTHUB_FUNCTION.
//
// Problems are in the host's Env.
func NewHost(getenv func(string) string, log *slog.Logger) *Host {
	const mebibyte, maxMB = 1 << 20, 1 << 20
	env := NewEnv(getenv)
	h := &Host{
		Env: env, Log: log, Registry: metrics.NewRegistry(),
		memoryBytes: env.Int("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", 0, 1, maxMB) * mebibyte,
		writeURL:    env.Optional("REMOTE_WRITE_URL", ""),
	}
	interval := env.Int("METRICS_INTERVAL_SECONDS", 15, 1, 300)
	var err error
	h.AWS, err = awsconfig.Load(getenv)
	env.Add(err)
	h.writeSigV4 = h.SigV4("REMOTE_WRITE_SIGV4")
	env.Add(h.startMetrics(time.Duration(interval) * time.Second))
	return h
}

// startMetrics makes the flusher, if there is a Prometheus to write to.
func (h *Host) startMetrics(interval time.Duration) error {
	// One attempt: the next flush is not far.
	client, err := h.RemoteWrite(remotewrite.Config{MaxAttempts: 1})
	if client == nil || err != nil {
		return err
	}
	h.flusher, err = metrics.New(metrics.Config{
		Writer: client, Gatherer: h.Registry, Registerer: h.Registry, Job: Job,
		Function: h.Env.Optional("INSIGHTHUB_FUNCTION", "unknown"),
		// Unique for each execution environment, as the log streams are.
		Instance: h.Env.Optional("AWS_LAMBDA_LOG_STREAM_NAME", rand.Text()),
		Now:      time.Now, Rand: random.Float64, Interval: interval,
	})
	return err
}

// SigV4 returns how to sign requests to Amazon Managed Service for Prometheus when the
// variable name is "true", and nil when it is "false" or not set.
func (h *Host) SigV4(name string) *awsconfig.SigV4 {
	if !h.Env.Bool(name, false) || h.AWS.Credentials == nil {
		return nil
	}
	return &awsconfig.SigV4{Region: h.AWS.Region, Credentials: h.AWS.Credentials}
}

// RemoteWrite returns a client for REMOTE_WRITE_URL, or nil when that is not set. The
// limits are the caller's; the rest of the configuration is set here.
func (h *Host) RemoteWrite(limits remotewrite.Config) (*remotewrite.Client, error) {
	if h.writeURL == "" {
		return nil, nil //nolint:nilnil // there is nowhere to write, which is not an error
	}
	limits.URL, limits.Now, limits.Rand = h.writeURL, time.Now, random.Float64
	// A connection pool of its own: the SDK's is for other hosts.
	limits.HTTP = httpclient.New(0)
	if limits.SigV4 = h.writeSigV4; limits.SigV4 != nil {
		limits.Protocol = remotewrite.V1
	}
	client, err := remotewrite.New(limits)
	if err != nil {
		return nil, fmt.Errorf("REMOTE_WRITE_URL: %w", err)
	}
	return client, nil
}

// Flush writes the metrics now and waits for it: for a function that is invoked too
// seldom for the flush of its next invocation to be soon. The outcome is counted.
func (h *Host) Flush(ctx context.Context) {
	if h.flusher != nil {
		h.flusher.FlushNow(ctx)
	}
}

// observe returns the handler with its invocations counted and the metrics written while they run.
func (h *Host) observe(handler lambda.Handler) (*metrics.Function, error) {
	return metrics.NewFunction(metrics.FunctionConfig{
		Handler: handler, Registry: h.Registry, Flusher: h.flusher, MemoryBytes: h.memoryBytes, Now: time.Now,
	})
}
