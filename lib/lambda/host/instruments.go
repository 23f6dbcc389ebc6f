package host

import (
	"crypto/rand"
	"fmt"
	random "math/rand/v2"
	"net/http"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/prometheus/client_golang/prometheus"

	awsconfig "github.com/insighthub/insighthub/lib/aws/config"
	"github.com/insighthub/insighthub/lib/lambda/metrics"
	"github.com/insighthub/insighthub/lib/prometheus/remotewrite"
)

// Job is the label job of the functions' own metrics.
const Job = "insighthub"

// Instruments are a function's own metrics and their way to Prometheus.
type Instruments struct {
	// Registry takes what the function counts itself; it has the process's and the
	// Go runtime's metrics.
	Registry *prometheus.Registry

	memoryBytes int
	flusher     *metrics.Flusher // nil: nowhere to write
}

// NewInstruments reads from the environment
//
//   - REMOTE_WRITE_URL, where Prometheus takes samples. Without it the metrics stay
//     in the process;
//   - REMOTE_WRITE_SIGV4 (true, false): sign, and speak 1.0, as Amazon's managed
//     service wants it. Default false;
//   - METRICS_INTERVAL_SECONDS, the longest time between two flushes. Default 15;
//   - what Lambda sets: AWS_LAMBDA_LOG_STREAM_NAME, AWS_LAMBDA_FUNCTION_MEMORY_SIZE;
//     and INSIGHTHUB_FUNCTION.
//
// The error names everything that is wrong with them.
func NewInstruments(getenv func(string) string, cfg aws.Config) (*Instruments, error) {
	env := NewEnv(getenv)
	const mebibyte, mostMB = 1 << 20, 1 << 20
	i := &Instruments{
		Registry:    metrics.NewRegistry(),
		memoryBytes: env.Int("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", 0, 1, mostMB) * mebibyte,
	}
	url, sigV4 := getenv("REMOTE_WRITE_URL"), env.Bool("REMOTE_WRITE_SIGV4", false)
	to := metrics.Config{
		Gatherer: i.Registry, Registerer: i.Registry, Job: Job,
		Function: env.Optional("INSIGHTHUB_FUNCTION", "unknown"),
		// Unique for each environment, as the log streams are.
		Instance: env.Optional("AWS_LAMBDA_LOG_STREAM_NAME", rand.Text()),
		Now:      time.Now, Rand: random.Float64,
		Interval: time.Duration(env.Int("METRICS_INTERVAL_SECONDS", 15, 1, 300)) * time.Second,
	}
	if err := env.Err(); err != nil {
		return nil, err
	}
	if url == "" {
		return i, nil
	}
	client, err := newMetricsClient(url, sigV4, cfg)
	if err != nil {
		return nil, fmt.Errorf("instruments: %w", err)
	}
	to.Writer = client
	if i.flusher, err = metrics.New(to); err != nil {
		return nil, fmt.Errorf("instruments: %w", err)
	}
	return i, nil
}

// newMetricsClient returns a client that gives up where others would try again: the
// next flush is not far.
func newMetricsClient(url string, sigV4 bool, cfg aws.Config) (*remotewrite.Client, error) {
	c := remotewrite.Config{
		URL: url, Now: time.Now, Rand: random.Float64, MaxAttempts: 1, MaxBisections: 16,
		// A connection of its own: the SDK's are for other hosts.
		HTTP: &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
	}
	if sigV4 {
		c.Protocol = remotewrite.V1
		c.SigV4 = &awsconfig.SigV4{Region: cfg.Region, Credentials: cfg.Credentials}
	}
	return remotewrite.New(c)
}

// Observe returns the handler with its invocations counted and the metrics written
// inside them; its method Shutdown, which Start calls, writes them for the last time.
// It is called once.
func (i *Instruments) Observe(handler lambda.Handler) (lambda.Handler, error) {
	return metrics.NewFunction(metrics.FunctionConfig{
		Handler: handler, Registry: i.Registry, Flusher: i.flusher, MemoryBytes: i.memoryBytes, Now: time.Now,
	})
}
