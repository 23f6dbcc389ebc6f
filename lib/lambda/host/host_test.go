package host_test

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/lambda"

	lambdahost "github.com/insighthub/insighthub/lib/lambda/host"
	"github.com/insighthub/insighthub/lib/lambda/metrics/metricstest"
	"github.com/insighthub/insighthub/lib/prometheus/remotewrite"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// environment is one in which a host has no problems, with other values over it.
func environment(values map[string]string) func(string) string {
	all := map[string]string{"AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret"}
	maps.Copy(all, values)
	return func(name string) string { return all[name] }
}

// serving builds a function of a handler.
func serving(handler lambda.Handler) lambdahost.Build {
	return func(_ context.Context, host *lambdahost.Host) (lambdahost.Function, error) {
		return lambdahost.Function{Handler: handler}, host.Env.Err()
	}
}

func newInstance(tb testing.TB, handler lambda.Handler, values map[string]string) *lambdahost.Instance {
	tb.Helper()
	instance, err := lambdahost.New(tb.Context(), environment(values), slog.New(slog.DiscardHandler), serving(handler))
	if err != nil {
		tb.Fatal(err)
	}
	return instance
}

func TestNewHost(t *testing.T) {
	t.Parallel()
	host := lambdahost.NewHost(environment(nil), slog.New(slog.DiscardHandler))
	if err := host.Env.Err(); err != nil || host.AWS.Region != "eu-west-1" || host.Registry == nil {
		t.Fatalf("got region %q, registry %v, %v", host.AWS.Region, host.Registry, err)
	}
	client, err := host.RemoteWrite(remotewrite.Config{})
	if client != nil || err != nil {
		t.Errorf("without REMOTE_WRITE_URL: got client %v, %v, want neither", client, err)
	}
	if got := host.SigV4("REMOTE_WRITE_SIGV4"); got != nil {
		t.Errorf("without REMOTE_WRITE_SIGV4: got %+v, want nil", got)
	}
}

// TestEveryProblemIsReported: those of AWS, of the metrics and of the function, at once.
func TestEveryProblemIsReported(t *testing.T) {
	t.Parallel()
	getenv := environment(map[string]string{
		"AWS_REGION": "", "REMOTE_WRITE_URL": "nonsense", "REMOTE_WRITE_SIGV4": "perhaps", "METRICS_INTERVAL_SECONDS": "0",
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "much",
	})
	build := func(_ context.Context, host *lambdahost.Host) (lambdahost.Function, error) {
		_ = host.Env.Required("STREAM_NAME")
		host.Env.Add(errors.New("retention: wrong"))
		return lambdahost.Function{}, host.Env.Err()
	}
	_, err := lambdahost.New(t.Context(), getenv, slog.New(slog.DiscardHandler), build)
	if !errors.Is(err, telemetry.ErrInvalid) {
		t.Fatalf("got %v, want telemetry.ErrInvalid", err)
	}
	for _, want := range []string{
		"AWS_REGION", "REMOTE_WRITE_URL", "REMOTE_WRITE_SIGV4", "METRICS_INTERVAL_SECONDS", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
		"STREAM_NAME", "retention: wrong",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s in it", err, want)
		}
	}
}

func TestSigV4(t *testing.T) {
	t.Parallel()
	host := lambdahost.NewHost(environment(map[string]string{"PROMETHEUS_SIGV4": "true"}), slog.New(slog.DiscardHandler))
	got := host.SigV4("PROMETHEUS_SIGV4")
	if got == nil || got.Region != "eu-west-1" || got.Credentials == nil {
		t.Errorf("got %+v, want the function's region and credentials", got)
	}
}

func TestInstanceWithoutPrometheus(t *testing.T) {
	instance := newInstance(t, waits(0), nil)
	metricstest.Check(t, instance, "insighthub_invocations_total")
	if got, err := instance.Invoke(t.Context(), nil); err != nil || string(got) != "done" {
		t.Errorf("got %s, %v, want done", got, err)
	}
	instance.Shutdown(t.Context())
}
