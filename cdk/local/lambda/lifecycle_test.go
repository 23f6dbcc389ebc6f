package lambda_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/insighthub/insighthub/cdk/local/lambda"
	"github.com/insighthub/insighthub/lib/eventually"
)

func TestInitFailures(t *testing.T) {
	tests := []struct {
		name, mode, kind, text string
		timeout                time.Duration
	}{
		{"exit", "exit", "Runtime.ExitError", "exit status 7", time.Minute},
		{"hang", "hang", "Sandbox.Timedout", "Task timed out after 0.50 seconds", 500 * time.Millisecond},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFunction(t, func(c *lambda.Config) {
				c.Env = []string{"ECHO_INIT=" + tt.mode}
				c.InitTimeout = tt.timeout
			})
			for range 3 { // each waits for the backoff and starts another process
				wantFailure(t, invoke(t, f, `{}`), tt.kind, tt.text)
			}
			if s := f.Stats(); s.ColdStarts != 3 || s.Errors != 3 || s.Environments != 0 || s.Busy != 0 {
				t.Errorf("stats %+v", s)
			}
		})
	}
}

func TestMissingBinary(t *testing.T) {
	f := newFunction(t, func(c *lambda.Config) { c.Binary = "/nonexistent/bootstrap" })
	if _, err := f.Invoke(t.Context(), []byte(`{}`)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("unexpected error %v", err)
	}
	if s := f.Stats(); s.Busy != 0 {
		t.Errorf("stats %+v", s)
	}
}

func TestConfigProblems(t *testing.T) {
	_, err := lambda.New(lambda.Config{Timeout: -1, Env: []string{"NOVALUE"}})
	for _, want := range []string{"name: empty", "binary: empty", "timeout -1ns", "NOVALUE"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v lacks %q", err, want)
		}
	}
}

func TestConcurrencyAndThrottle(t *testing.T) {
	var log logBuffer
	f := newFunction(t, func(c *lambda.Config) {
		c.MaxConcurrency = 3
		c.Logs = &log
	})
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	for range 3 {
		wg.Go(func() {
			if _, err := f.Invoke(ctx, []byte(`{"do":"sleep","millis":600000}`)); !errors.Is(err, context.Canceled) {
				t.Errorf("unexpected error %v", err)
			}
		})
	}
	eventually.True(t, "three environments busy", func() bool { return strings.Count(log.String(), "sleeping") == 3 })
	if _, err := f.Invoke(t.Context(), []byte(`{}`)); !errors.Is(err, lambda.ErrThrottled) {
		t.Errorf("a fourth: %v", err)
	}
	if s := f.Stats(); s.Throttles != 1 || s.ColdStarts != 3 {
		t.Errorf("stats %+v", s)
	}
	cancel()
	wg.Wait()
	// The callers have left, the function still runs.
	if s := f.Stats(); s.Busy != 3 {
		t.Errorf("%d busy after the callers left, want 3", s.Busy)
	}
}

func TestReservedConcurrency(t *testing.T) {
	for _, tt := range []struct{ reserved, ok int }{{0, 0}, {1, 1}, {2, 2}, {-1, 3}} {
		t.Run(strconv.Itoa(tt.reserved), func(t *testing.T) {
			f := newFunction(t, func(c *lambda.Config) {
				c.ReservedConcurrency = tt.reserved
				c.MaxConcurrency = 3
			})
			// The invocations that run do so until the others are throttled.
			ctx, release := context.WithCancel(t.Context())
			defer release()
			var served, throttled atomic.Int32
			var wg sync.WaitGroup
			for range 5 {
				wg.Go(func() {
					switch _, err := f.Invoke(ctx, []byte(`{"do":"sleep","millis":600000}`)); {
					case errors.Is(err, context.Canceled):
						served.Add(1)
					case errors.Is(err, lambda.ErrThrottled):
						throttled.Add(1)
					default:
						t.Error(err)
					}
				})
			}
			eventually.True(t, "the others throttled", func() bool { return int(throttled.Load()) >= 5-tt.ok && f.Stats().Busy == tt.ok })
			release()
			wg.Wait()
			if int(served.Load()) != tt.ok || int(throttled.Load()) != 5-tt.ok {
				t.Errorf("%d served, %d throttled, want %d and %d", served.Load(), throttled.Load(), tt.ok, 5-tt.ok)
			}
		})
	}
}

// TestReservedConcurrencyCountsWaiting: an invocation that waits for a process would run in
// Lambda, so it is one of those that the reserved concurrency allows.
func TestReservedConcurrencyCountsWaiting(t *testing.T) {
	f := newFunction(t, func(c *lambda.Config) {
		c.ReservedConcurrency, c.MaxConcurrency, c.MaxWait = 5, 2, time.Hour
	})
	ctx, release := context.WithCancel(t.Context())
	defer release()
	var throttled atomic.Int32
	var wg sync.WaitGroup
	for range 9 {
		wg.Go(func() {
			switch _, err := f.Invoke(ctx, []byte(`{"do":"sleep","millis":600000}`)); {
			case errors.Is(err, lambda.ErrThrottled):
				throttled.Add(1)
			case !errors.Is(err, context.Canceled):
				t.Error(err)
			}
		})
	}
	eventually.True(t, "four throttled", func() bool { return throttled.Load() == 4 && f.Stats().Busy == 2 })
	release()
	wg.Wait()
	if n := throttled.Load(); n != 4 {
		t.Errorf("%d throttled, want 4: two run and three wait", n)
	}
}

// At the emulator's limit invocations wait for their turn.
func TestMaxWait(t *testing.T) {
	f := newFunction(t, func(c *lambda.Config) {
		c.MaxConcurrency = 2
		c.MaxWait = 5 * time.Minute
	})
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() { invoke(t, f, `{"do":"sleep","millis":5}`) })
	}
	wg.Wait()
	if s := f.Stats(); s.ColdStarts > 2 || s.Invocations != 50 || s.Throttles != 0 || s.Busy != 0 {
		t.Errorf("stats %+v", s)
	}
}

func TestMaxWaitEnds(t *testing.T) {
	f := newFunction(t, func(c *lambda.Config) {
		c.MaxConcurrency = 1
		c.MaxWait = 100 * time.Millisecond
	})
	release, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = f.Invoke(release, []byte(`{"do":"sleep","millis":600000}`)) })
	eventually.True(t, "one invocation in flight", func() bool { return f.Stats().Busy == 1 })
	if _, err := f.Invoke(t.Context(), []byte(`{}`)); !errors.Is(err, lambda.ErrThrottled) {
		t.Errorf("after MaxWait: %v, want %v", err, lambda.ErrThrottled)
	}
	gone, leave := context.WithCancel(t.Context())
	leave()
	if _, err := f.Invoke(gone, []byte(`{}`)); !errors.Is(err, context.Canceled) && !errors.Is(err, lambda.ErrThrottled) {
		t.Errorf("canceled caller: %v, want %v", err, context.Canceled)
	}
	if s := f.Stats(); s.Busy != 1 || s.Throttles < 1 {
		t.Errorf("stats %+v", s)
	}
	cancel()
	wg.Wait()
}

// TestMany sends many payloads through few environments: each gets its own response, and
// the environments are reused.
func TestMany(t *testing.T) {
	f := newFunction(t, func(c *lambda.Config) { c.MaxConcurrency = 4 })
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			buf := make([]byte, 0, 200_000)
			for i := range 100 {
				text := strings.Repeat(strconv.Itoa(worker), 1000*i) + strconv.Itoa(i)
				buf = append(append(append(buf[:0], `{"text":"`...), text...), `"}`...)
				got, err := f.Invoke(t.Context(), buf)
				if err != nil || string(got.Payload) != string(buf) {
					t.Errorf("worker %d, call %d: %d bytes, %v", worker, i, len(got.Payload), err)
					return
				}
				clear(buf) // the payload belongs to the caller
			}
		})
	}
	wg.Wait()
	if s := f.Stats(); s.Invocations != 400 || s.ColdStarts > 4 || s.Throttles != 0 || s.CPU <= 0 {
		t.Errorf("stats %+v", s)
	}
}

func TestLastUsedEnvironmentIsReused(t *testing.T) {
	f := newFunction(t, nil)
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() { invoke(t, f, `{"do":"sleep","millis":500}`) })
	}
	wg.Wait()
	first := describe(t, f, t.Context()).PID
	for range 5 {
		if got := describe(t, f, t.Context()).PID; got != first {
			t.Fatalf("environment %d after %d", got, first)
		}
	}
}

func TestIdleEnvironmentsStop(t *testing.T) {
	f := newFunction(t, func(c *lambda.Config) { c.IdleTimeout = 100 * time.Millisecond })
	pid := describe(t, f, t.Context()).PID // from the function: Stats may come after its end
	eventually.True(t, "the idle environment stopped", func() bool { return f.Stats().Environments == 0 })
	if alive(pid) {
		t.Errorf("process %d is alive", pid)
	}
	if s := f.Stats(); s.CPU <= 0 {
		t.Errorf("CPU of the ended process is %v, want more than 0", s.CPU)
	}
	if got := invoke(t, f, `{}`); string(got.Payload) != `{}` {
		t.Errorf("after the stop: got %s, want {}", got.Payload)
	}
}

func TestKilledWhileIdle(t *testing.T) {
	f := newFunction(t, nil)
	invoke(t, f, `{}`)
	process, err := os.FindProcess(f.Stats().PIDs[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Kill(); err != nil {
		t.Fatal(err)
	}
	// Immediately: the emulator may not have noticed, and must not lose the payload.
	if got := invoke(t, f, `{"text":"kept"}`); got.FunctionError != "" && !strings.Contains(string(got.Payload), "Runtime.ExitError") {
		t.Errorf("got %s %s", got.FunctionError, got.Payload)
	}
	if got := invoke(t, f, `{}`); string(got.Payload) != `{}` {
		t.Errorf("got %s", got.Payload)
	}
}

func TestMemoryLimit(t *testing.T) {
	f := newFunction(t, func(c *lambda.Config) { c.MemoryMB = 64 })
	result := invoke(t, f, `{"do":"allocate","bytes":200000000,"millis":600000}`)
	wantFailure(t, result, "Runtime.ExitError", "signal: killed")
}

func TestCallerIsCanceledDuringStart(t *testing.T) {
	f := newFunction(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.Invoke(ctx, []byte(`{}`)); !errors.Is(err, context.Canceled) {
		t.Errorf("unexpected error %v", err)
	}
	if s := f.Stats(); s.Busy != 0 || s.Environments != 1 {
		t.Errorf("stats %+v", s)
	}
	if got := invoke(t, f, `{}`); string(got.Payload) != `{}` {
		t.Errorf("got %s", got.Payload)
	}
}

func TestLogs(t *testing.T) {
	var log logBuffer
	f := newFunction(t, func(c *lambda.Config) {
		c.Logs = &log
		c.Platform = true
	})
	long := strings.Repeat("l", 300<<10)
	invoke(t, f, `{"do":"log","text":"one line"}`)
	invoke(t, f, `{"do":"log","text":"`+long+`"}`)
	invoke(t, f, `{"do":"exit"}`)
	eventually.True(t, "everything logged", func() bool {
		s := log.String()
		return strings.Contains(s, "one line\nstderr: one line\n") &&
			strings.Count(s, "l") > 2*len(long) &&
			strings.Contains(s, `"status":"error"`) && strings.Contains(s, `"platform.report"`)
	})
	for line := range strings.Lines(log.String()) {
		if len(line) > 256<<10+1 {
			t.Errorf("line of %d bytes, want at most %d", len(line), 256<<10)
		}
	}
}

func TestCloseLeavesNothing(t *testing.T) {
	f := newFunction(t, nil)
	child, err := strconv.Atoi(string(invoke(t, f, `{"do":"child"}`).Payload))
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			if _, err := f.Invoke(t.Context(), []byte(`{"do":"sleep","millis":600000}`)); !errors.Is(err, lambda.ErrClosed) {
				t.Errorf("in flight at Close: %v, want %v", err, lambda.ErrClosed)
			}
		})
	}
	eventually.True(t, "three busy", func() bool { return f.Stats().Busy == 3 && f.Stats().Environments == 3 })
	pids := append(f.Stats().PIDs, child)
	if err := f.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	for _, pid := range pids[:3] {
		if alive(pid) {
			t.Errorf("process %d is alive", pid)
		}
	}
	// Its new parent reaps the child; a zombie has ended.
	eventually.True(t, "the function's own child ended", func() bool { return !running(child) })
	if _, err := f.Invoke(t.Context(), []byte(`{}`)); !errors.Is(err, lambda.ErrClosed) {
		t.Errorf("after Close: %v, want %v", err, lambda.ErrClosed)
	}
	if err := f.Close(t.Context()); err != nil {
		t.Errorf("second Close: %v", err)
	}
}

// running reports whether pid is a process and not a zombie.
func running(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

// TestEndOfThreads ends many threads of the emulator: no function may end with them, though
// a child ends with the thread that started it.
func TestEndOfThreads(t *testing.T) {
	functions := make([]*lambda.Function, 6)
	for i := range functions {
		functions[i] = newFunction(t, nil)
	}
	pids := make([]int, len(functions))
	var starts sync.WaitGroup
	for i, f := range functions {
		starts.Go(func() { pids[i] = describe(t, f, t.Context()).PID })
	}
	starts.Wait()
	for range 20 {
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				runtime.LockOSThread() // a goroutine that ends locked ends its thread
				time.Sleep(time.Millisecond)
			})
		}
		wg.Wait()
	}
	for i, f := range functions {
		if got := describe(t, f, t.Context()).PID; got != pids[i] {
			t.Errorf("process %d, want %d", got, pids[i])
		}
	}
}

// TestHostKilled sends SIGKILL to a process that runs functions: they must not outlive it,
// not even one that is busy and so does not notice the end of its Runtime API.
func TestHostKilled(t *testing.T) {
	if os.Getenv(asHost) != "" {
		f := newFunction(t, func(c *lambda.Config) {
			c.Binary = os.Getenv(asHost)
			c.Logs = os.Stdout
			c.Timeout = time.Minute
		})
		d := describe(t, f, t.Context())
		_, _ = os.Stdout.WriteString("pid " + strconv.Itoa(d.PID) + "\n")
		_, _ = f.Invoke(t.Context(), []byte(`{"do":"sleep","millis":600000}`))
		return
	}
	host := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestHostKilled$")
	host.Env = append(os.Environ(), asHost+"="+echo)
	var out logBuffer
	host.Stdout = &out
	host.WaitDelay = time.Second
	if err := host.Start(); err != nil {
		t.Fatal(err)
	}
	eventually.True(t, "the host's function is busy", func() bool { return strings.Contains(out.String(), "sleeping\n") })
	_, after, _ := strings.Cut(out.String(), "pid ")
	digits, _, _ := strings.Cut(after, "\n")
	pid, err := strconv.Atoi(digits)
	if err != nil {
		t.Fatal(err)
	}
	if !running(pid) {
		t.Fatalf("function %d does not run", pid)
	}
	if err := host.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = host.Wait()
	eventually.True(t, "the function died with its host", func() bool { return !running(pid) })
}
