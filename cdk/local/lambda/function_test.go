package lambda_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/insighthub/insighthub/cdk/local/lambda"
)

// asHost is the environment variable that makes the test binary the host that is killed;
// its value is the path of the test function's binary.
const asHost = "LAMBDA_TEST_HOST"

// echo is the path of the test function's binary.
var echo string

func TestMain(m *testing.M) {
	if os.Getenv(asHost) != "" { // the binary exists, and this process is killed before it could remove it
		os.Exit(m.Run())
	}
	dir, err := os.MkdirTemp("", "echo")
	if err != nil {
		panic(err)
	}
	echo = filepath.Join(dir, "bootstrap")
	build := exec.Command("go", "build", "-tags", "lambda.norpc", "-o", echo, "./testdata/echo")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		panic(fmt.Sprintf("build the test function: %v\n%s", err, out))
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// logBuffer is a log that can be read while functions write to it.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newFunction(tb testing.TB, change func(*lambda.Config)) *lambda.Function {
	tb.Helper()
	cfg := lambda.Config{
		Name:                "echo",
		Binary:              echo,
		ReservedConcurrency: -1,
		MemoryMB:            512,
		Timeout:             5 * time.Minute,
		InitTimeout:         5 * time.Minute,
	}
	if change != nil {
		change(&cfg)
	}
	f, err := lambda.New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := f.Close(context.Background()); err != nil {
			tb.Error(err)
		}
	})
	return f
}

func invoke(tb testing.TB, f *lambda.Function, payload string) lambda.Result {
	tb.Helper()
	result, err := f.Invoke(tb.Context(), []byte(payload))
	if err != nil {
		tb.Fatal(err)
	}
	return result
}

type failure struct {
	Message string `json:"errorMessage"`
	Type    string `json:"errorType"`
}

func wantFailure(t *testing.T, result lambda.Result, kind, text string) {
	t.Helper()
	var got failure
	if err := json.Unmarshal(result.Payload, &got); err != nil {
		t.Fatalf("error document %q: %v", result.Payload, err)
	}
	if result.FunctionError != lambda.Unhandled || got.Type != kind || !strings.Contains(got.Message, text) {
		t.Errorf("got %s %s, want type %q with %q", result.FunctionError, result.Payload, kind, text)
	}
}

func alive(pid int) bool { return syscall.Kill(pid, 0) == nil }

func TestEcho(t *testing.T) {
	f := newFunction(t, nil)
	for range 3 {
		if got := invoke(t, f, `{"text":"hello"}`); string(got.Payload) != `{"text":"hello"}` || got.FunctionError != "" {
			t.Fatalf("got %s %q", got.Payload, got.FunctionError)
		}
	}
	s := f.Stats()
	if s.ColdStarts != 1 || s.Invocations != 3 || s.Errors != 0 || s.Environments != 1 || len(s.PIDs) != 1 {
		t.Errorf("stats %+v", s)
	}
}

type description struct {
	PID         int      `json:"pid"`
	Invocations int      `json:"invocations"`
	Request     string   `json:"request"`
	ARN         string   `json:"arn"`
	Trace       string   `json:"trace"`
	Deadline    int64    `json:"deadline"`
	Environment []string `json:"environment"`
}

func describe(t *testing.T, f *lambda.Function, ctx context.Context) description { //nolint:revive // t first, as in the other helpers
	t.Helper()
	result, err := f.Invoke(ctx, []byte(`{"do":"describe"}`))
	if err != nil {
		t.Fatal(err)
	}
	var d description
	if err := json.Unmarshal(result.Payload, &d); err != nil {
		t.Fatalf("%s: %v", result.Payload, err)
	}
	return d
}

func TestEnvironmentAndContext(t *testing.T) {
	t.Setenv("ONLY_THE_HOSTS", "secret")
	now := time.Now()
	f := newFunction(t, func(c *lambda.Config) {
		c.Env = []string{"STREAM_NAME=telemetry", "AWS_REGION=eu-west-1", "AWS_ACCESS_KEY_ID=own"}
		c.MemoryMB = 256
		c.Timeout = 7 * time.Minute
		c.Now = func() time.Time { return now.Add(time.Hour) }
	})
	d := describe(t, f, lambda.WithTrace(t.Context(), "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1"))
	for _, want := range []string{
		"STREAM_NAME=telemetry", "AWS_REGION=eu-west-1", "AWS_DEFAULT_REGION=eu-west-1", "AWS_ACCESS_KEY_ID=own",
		"AWS_LAMBDA_FUNCTION_NAME=echo", "AWS_LAMBDA_FUNCTION_VERSION=$LATEST", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE=256",
		"AWS_LAMBDA_LOG_GROUP_NAME=/aws/lambda/echo", "_HANDLER=bootstrap", "TZ=:UTC", "LAMBDA_TASK_ROOT=" + filepath.Dir(echo),
	} {
		if !slices.Contains(d.Environment, want) {
			t.Errorf("the environment lacks %s", want)
		}
	}
	for _, pair := range d.Environment {
		if strings.HasPrefix(pair, "ONLY_THE_HOSTS") || strings.HasPrefix(pair, "HOME=") || strings.HasPrefix(pair, "GOMEMLIMIT") {
			t.Errorf("the environment contains the host's %s", pair)
		}
	}
	if d.ARN != "arn:aws:lambda:eu-west-1:000000000000:function:echo" || d.ARN != f.ARN() {
		t.Errorf("ARN %s", d.ARN)
	}
	if d.Trace != "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1" {
		t.Errorf("trace %q", d.Trace)
	}
	if want := now.Add(time.Hour + 7*time.Minute).UnixMilli(); d.Deadline != want {
		t.Errorf("deadline %d, want %d", d.Deadline, want)
	}
	second := describe(t, f, t.Context())
	if second.PID != d.PID || second.Invocations != 2 || second.Request == d.Request || len(second.Request) != 36 {
		t.Errorf("second invocation: PID %d after %d, number %d, request id %q after %q",
			second.PID, d.PID, second.Invocations, second.Request, d.Request)
	}
	if !strings.HasPrefix(second.Trace, "Root=1-") || second.Trace == d.Trace {
		t.Errorf("trace of an invocation without one: %q", second.Trace)
	}
}

func TestFunctionErrors(t *testing.T) {
	tests := []struct {
		name, payload, kind, text string
		coldStarts                uint64        // after one more invocation
		timeout                   time.Duration // of both invocations; 0 is long
	}{
		{"returned", `{"do":"fail","text":"no such stream"}`, "errorString", "no such stream", 1, 0},
		{"panic", `{"do":"panic","text":"oh"}`, "string", "oh", 2, 0},
		{"exit", `{"do":"exit"}`, "Runtime.ExitError", "Runtime exited with error: exit status 3", 2, 0},
		{"timeout", `{"do":"sleep","millis":600000}`, "Sandbox.Timedout", "Task timed out after 4.00 seconds", 2, 4 * time.Second},
		{"response too large", `{"do":"large","bytes":6291557}`, "Function.ResponseSizeTooLarge", "6291556", 2, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFunction(t, func(c *lambda.Config) {
				if tt.timeout > 0 {
					c.Timeout = tt.timeout
				}
				c.ReservedConcurrency = 1
			})
			wantFailure(t, invoke(t, f, tt.payload), tt.kind, tt.text)
			if got := invoke(t, f, `{}`); string(got.Payload) != `{}` {
				t.Errorf("next invocation: %s", got.Payload)
			}
			s := f.Stats()
			if s.ColdStarts != tt.coldStarts || s.Invocations != 2 || s.Errors != 1 || s.Environments != 1 || s.Busy != 0 {
				t.Errorf("stats %+v", s)
			}
		})
	}
}

func TestPayloadLimits(t *testing.T) {
	f := newFunction(t, nil)
	full := bytes.Repeat([]byte(" "), lambda.MaxRequestBytes)
	result, err := f.Invoke(t.Context(), full)
	if err != nil || string(result.Payload) != strconv.Itoa(len(full)) {
		t.Errorf("payload at the limit: %s, %v, want %d", result.Payload, err, len(full))
	}
	if _, err := f.Invoke(t.Context(), append(full, ' ')); !errors.Is(err, lambda.ErrTooLarge) {
		t.Errorf("payload above the limit: %v, want %v", err, lambda.ErrTooLarge)
	}
	if got := invoke(t, f, `{"do":"large","bytes":6291556}`); len(got.Payload) != lambda.MaxResponseBytes {
		t.Errorf("response at the limit: %d bytes, %s, want %d bytes", len(got.Payload), got.FunctionError, lambda.MaxResponseBytes)
	}
	if s := f.Stats(); s.ColdStarts != 1 {
		t.Errorf("%d cold starts, want 1", s.ColdStarts)
	}
}
