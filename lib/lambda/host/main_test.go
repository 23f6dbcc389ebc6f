package host_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	lambdahost "github.com/insighthub/insighthub/lib/lambda/host"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// asFunction makes the test's own binary a function.
const asFunction = "LAMBDAHOST_TEST_FUNCTION"

func TestMain(m *testing.M) {
	if os.Getenv(asFunction) != "" {
		lambdahost.Main(func(_ context.Context, host *lambdahost.Host) (lambdahost.Function, error) {
			return lambdahost.Function{
				Handler:  echo{},
				Shutdown: func(context.Context) { fmt.Println("shut down") },
				Close:    func() { fmt.Println("closed") },
			}, host.Env.Err()
		})
	}
	os.Exit(m.Run())
}

// echo returns the payload and whether there is a deadline.
type echo struct{}

func (echo) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	_, ok := ctx.Deadline()
	return json.Marshal(map[string]any{"payload": string(payload), "deadline": ok})
}

// runtimeAPI is a Lambda Runtime API that sends one invocation and receives its response.
type runtimeAPI struct {
	responses chan string
	once      sync.Once
}

func (a *runtimeAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch path := r.URL.Path; {
	case path == "/2020-01-01/extension/register":
		w.Header().Set("Lambda-Extension-Identifier", "1")
	case path == "/2020-01-01/extension/event/next":
		<-r.Context().Done()
	case strings.HasSuffix(path, "/invocation/next"):
		first := false
		a.once.Do(func() { first = true })
		if !first {
			<-r.Context().Done()
			return
		}
		w.Header().Set("Lambda-Runtime-Aws-Request-Id", "request-1")
		w.Header().Set("Lambda-Runtime-Deadline-Ms", fmt.Sprint(time.Now().Add(time.Minute).UnixMilli()))
		_, _ = io.WriteString(w, `hello`)
	case strings.HasSuffix(path, "/invocation/request-1/response"):
		body, _ := io.ReadAll(r.Body)
		w.WriteHeader(http.StatusAccepted)
		a.responses <- string(body)
	default:
		http.NotFound(w, r)
	}
}

func TestMainFunction(t *testing.T) {
	api := &runtimeAPI{responses: make(chan string, 1)}
	server := httptest.NewServer(api)
	defer server.Close()
	defer server.CloseClientConnections()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var out bytes.Buffer
	function := exec.CommandContext(ctx, os.Args[0])
	function.Env = append(os.Environ(), asFunction+"=1", "AWS_LAMBDA_RUNTIME_API="+strings.TrimPrefix(server.URL, "http://"),
		"AWS_REGION=eu-west-1", "AWS_ACCESS_KEY_ID=id", "AWS_SECRET_ACCESS_KEY=secret")
	function.Stdout, function.Stderr = &out, os.Stderr
	if err := function.Start(); err != nil {
		t.Fatal(err)
	}
	select {
	case got := <-api.responses:
		if got != `{"deadline":true,"payload":"hello"}` {
			t.Errorf("got response %s", got)
		}
	case <-ctx.Done():
		t.Fatal("got no response")
	}
	if err := function.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := function.Wait(); err != nil {
		t.Fatalf("exit: %v", err)
	}
	if got, want := out.String(), "shut down\nclosed\n"; got != want {
		t.Errorf("got output %q, want %q", got, want)
	}
}

// TestMainCannotStart: the problem is logged, and the exit status is 1.
func TestMainCannotStart(t *testing.T) {
	function := exec.CommandContext(t.Context(), os.Args[0])
	function.Env = []string{asFunction + "=1", "METRICS_INTERVAL_SECONDS=0"}
	out, err := function.Output()
	if status, ok := errors.AsType[*exec.ExitError](err); !ok || status.ExitCode() != 1 {
		t.Errorf("got %v, want exit status 1", err)
	}
	for _, want := range []string{`"msg":"cannot start"`, "METRICS_INTERVAL_SECONDS", "AWS_REGION"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("got %s, want %s in it", out, want)
		}
	}
}

func TestLoggerRedacts(t *testing.T) {
	var out bytes.Buffer
	const hidden = "hunter2"
	logger := lambdahost.NewLogger(&out, slog.LevelInfo).With("token", hidden, slog.Group("database", "dsn", hidden))
	logger.Info("start", "password", hidden, "Authorization", hidden, "token_secret", hidden, "databaseDSN", hidden,
		"api-token", hidden, "secret", []byte(hidden), slog.Group("x", slog.Group("y", "Secret", hidden)))
	logger.Debug("not shown")
	if strings.Contains(out.String(), hidden) {
		t.Errorf("a secret in %s", out.String())
	}
	if n := strings.Count(out.String(), lambdahost.Redacted); n != 9 {
		t.Errorf("%d values redacted in %s, want 9", n, out.String())
	}
	out.Reset()
	logger.Info("next", "secret_arn", "arn", "tokens", 3, "gateway", "gw-1")
	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatalf("%s: %v", out.String(), err)
	}
	if line["secret_arn"] != "arn" || line["tokens"] != 3.0 || line["gateway"] != "gw-1" || line["msg"] != "next" {
		t.Errorf("too much redacted: %v", line)
	}
}

func TestLoggerLevel(t *testing.T) {
	for text, want := range map[string]slog.Level{
		"": slog.LevelInfo, "debug": slog.LevelDebug, "WARN": slog.LevelWarn, "error": slog.LevelError,
	} {
		logger := lambdahost.Logger(func(name string) string {
			if name == "LOG_LEVEL" {
				return text
			}
			return ""
		})
		if !logger.Enabled(t.Context(), want) || logger.Enabled(t.Context(), want-1) {
			t.Errorf("%q: level is not %v", text, want)
		}
	}
}

func TestEnv(t *testing.T) {
	values := map[string]string{"STREAM_NAME": "telemetry", "DAYS": "30", "COMPRESSION": "zstd", "PATH_STYLE": "true"}
	env := lambdahost.NewEnv(func(name string) string { return values[name] })
	got := []any{
		env.Required("STREAM_NAME"), env.Int("DAYS", 1, 1, 100), env.Int("OTHER", 7, 1, 100),
		env.OneOf("COMPRESSION", "none", "none", "zstd"), env.OneOf("NONE", "none", "none", "zstd"),
		env.Bool("PATH_STYLE", false), env.Bool("OTHER", true), env.Optional("OTHER", "x"),
	}
	want := []any{"telemetry", 30, 7, "zstd", "none", true, true, "x"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if err := env.Err(); err != nil {
		t.Error(err)
	}
}

func TestEnvReportsEveryProblem(t *testing.T) {
	values := map[string]string{"WORD": "ten", "SMALL": "0", "LARGE": "101", "COMPRESSION": "gzip", "PATH_STYLE": "yes"}
	env := lambdahost.NewEnv(func(name string) string { return values[name] })
	got := []any{
		env.Required("STREAM_NAME"), env.Int("WORD", 7, 1, 100), env.Int("SMALL", 7, 1, 100), env.Int("LARGE", 7, 1, 100),
		env.OneOf("COMPRESSION", "none", "none", "zstd"), env.Bool("PATH_STYLE", false),
	}
	if diff := cmp.Diff([]any{"", 7, 7, 7, "none", false}, got); diff != "" {
		t.Error(diff)
	}
	err := env.Err()
	if !errors.Is(err, telemetry.ErrInvalid) {
		t.Fatalf("got %v", err)
	}
	for _, want := range []string{
		"STREAM_NAME: not set", `WORD: got "ten", want an integer from 1 to 100`, "SMALL", "LARGE",
		`COMPRESSION: got "gzip", want one of none, zstd`, "PATH_STYLE",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %s", err, want)
		}
	}
}
