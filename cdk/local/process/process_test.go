package process_test

import (
	"context"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/insighthub/insighthub/cdk/local/process"
	"github.com/insighthub/insighthub/cdk/local/process/processtest"
)

// TestMain lets the test binary play a host that is killed before it stops its child.
func TestMain(m *testing.M) {
	if os.Getenv(processtest.Folder) != "" {
		processtest.Host(func() (int, error) {
			c, err := process.Start(exec.Command("sleep", "3600"), syscall.SIGTERM)
			if err != nil {
				return 0, err
			}
			return c.PID(), nil
		})
	}
	os.Exit(m.Run())
}

// shell starts a script and returns when it has written a line.
func shell(t *testing.T, script string) *process.Child {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-c", script)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout = w
	c, err := process.Start(cmd, syscall.SIGKILL)
	_ = w.Close()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.KillGroup(); _ = r.Close() })
	if _, err := io.ReadAtLeast(r, make([]byte, 64), 1); err != nil {
		t.Fatal(err)
	}
	return c
}

func ended(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

func TestEnd(t *testing.T) {
	c := shell(t, `trap 'exit 0' TERM; echo; while :; do sleep 0.01; done`)
	if !c.End(t.Context(), syscall.SIGTERM) {
		t.Error("End = false, want true of a child that ended")
	}
	if err := c.Err(); err != nil {
		t.Errorf("Err: %v, want nil", err)
	}
	<-c.Exited()
	if !c.End(ended(t), syscall.SIGTERM) {
		t.Error("a second End = false, want true whatever became of the context")
	}
	if err := c.Signal(syscall.SIGHUP); err == nil {
		t.Error("Signal succeeded, want an error: the child has ended")
	}
	c.Kill()
}

func TestKilledIfItIgnoresTheSignal(t *testing.T) {
	c := shell(t, `trap '' TERM; echo; while :; do sleep 0.01; done`)
	if c.End(ended(t), syscall.SIGTERM) {
		t.Error("End = true, want false of a child that ignores the signal")
	}
	c.Kill()
	if err := c.Err(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("Err: %v, want killed", err)
	}
}

// The group is the child's own: a signal to it reaches what the child started and
// not the test.
func TestGroup(t *testing.T) {
	c := shell(t, `sleep 3600 & trap '' TERM; echo; wait; exit 7`)
	if !c.EndGroup(t.Context(), syscall.SIGTERM) {
		t.Error("EndGroup = false, want true")
	}
	if err := c.Err(); err == nil || !strings.Contains(err.Error(), "7") {
		t.Errorf("Err: %v, want status 7, after the end of the grandchild", err)
	}
}

func TestNoSuchProgram(t *testing.T) {
	if _, err := process.Start(exec.Command("/nonexistent"), syscall.SIGTERM); err == nil {
		t.Error("Start succeeded, want an error")
	}
}

func TestEndsWithItsHost(t *testing.T) {
	processtest.Gone(t, processtest.Orphan(t, t.TempDir()))
}

// TestStartLowPriority checks that the child has a raised niceness and its own group, and
// that the threads of this process keep theirs.
func TestStartLowPriority(t *testing.T) {
	priority, err := syscall.Getpriority(syscall.PRIO_PROCESS, 0)
	if err != nil {
		t.Fatal(err)
	}
	own := strconv.Itoa(20 - priority) // the tests themselves may have been started nice
	cmd := exec.Command("/bin/sh", "-c", `nice; sleep 3600 & wait`)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout = w
	c, err := process.StartLowPriority(cmd, syscall.SIGKILL)
	_ = w.Close()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.KillGroup(); _ = r.Close() })
	written := make([]byte, 64)
	n, err := r.Read(written)
	if got := strings.TrimSpace(string(written[:n])); err != nil || got != "10" {
		t.Errorf("niceness of the child: got %q, %v; want 10", got, err)
	}
	if group, err := syscall.Getpgid(c.PID()); err != nil || group != c.PID() {
		t.Errorf("group of child %d: got %d, %v; want its own", c.PID(), group, err)
	}
	if raw, err := os.ReadFile("/proc/" + strconv.Itoa(c.PID()) + "/autogroup"); err == nil &&
		!strings.HasSuffix(strings.TrimSpace(string(raw)), "nice 10") {
		t.Errorf("session: got %s, want nice 10", raw)
	}
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	changed := 0
	for _, thread := range threads {
		if stat, err := os.ReadFile("/proc/self/task/" + thread.Name() + "/stat"); err == nil &&
			strings.Fields(string(stat[strings.LastIndex(string(stat), ")")+1:]))[16] != own {
			changed++
		}
	}
	if changed > 1 { // the one that waits for the child
		t.Errorf("got %d threads of this process with another niceness, want at most 1", changed)
	}
}
