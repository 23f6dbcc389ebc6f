package stack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/insighthub/insighthub/cdk/local/process/processtest"
	"github.com/insighthub/insighthub/cdk/local/stackfile"
	"github.com/insighthub/insighthub/lib/eventually"
)

const (
	tree           = "../../../.local/timescale"
	prometheusTree = "../../../.local/prometheus"
)

func needPrometheus(t *testing.T) {
	t.Helper()
	processtest.NeedFile(t, filepath.Join(prometheusTree, "bin", "prometheus"), "run cdk/local/prometheus/install.sh .local/prometheus")
}

// stateDir returns a folder that the database's account can enter; as root it cannot enter t.TempDir.
func stateDir(t *testing.T) string {
	t.Helper()
	processtest.NeedFile(t, filepath.Join(tree, "bin", "postgres"), "run cdk/local/postgres/install.sh .local/timescale")
	dir, err := os.MkdirTemp("", "insighthub-state-") //nolint:usetesting // see above
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	return dir
}

// running is a started local stack.
type running struct {
	cmd   *exec.Cmd
	out   *buffer
	state string
	ended chan error
}

type buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

func launch(t *testing.T, state, http string, more ...string) *running {
	t.Helper()
	needPrometheus(t)
	p := build(t)
	args := append([]string{
		"-assembly", filepath.Join("testdata", "assembly"), "-state", state, "-http", http,
		"-timescale", tree, "-functions", p.functions, "-prometheus", prometheusTree, "-prometheus-http", "127.0.0.1:0",
	}, more...)
	r := &running{cmd: exec.CommandContext(t.Context(), p.local, args...), out: &buffer{}, state: state, ended: make(chan error, 1)}
	r.cmd.Stdout, r.cmd.Stderr = r.out, r.out
	r.cmd.Cancel = func() error { return r.cmd.Process.Signal(os.Interrupt) }
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { r.ended <- r.cmd.Wait() }()
	t.Cleanup(func() { _ = r.cmd.Process.Kill() })
	return r
}

// ready waits for stack.json.
func (r *running) ready(t *testing.T) stackfile.Info {
	t.Helper()
	for deadline := time.Now().Add(eventually.Timeout); time.Now().Before(deadline); {
		switch info, err := stackfile.Read(r.state); {
		case err == nil && info.PIDs.Local == r.cmd.Process.Pid:
			return info
		case err != nil && !errors.Is(err, stackfile.ErrNotRunning):
			t.Fatal(err)
		}
		select {
		case err := <-r.ended:
			t.Fatalf("ended at its start: %v\n%s", err, r.out)
		case <-time.After(10 * time.Millisecond):
		}
	}
	t.Fatalf("not ready\n%s", r.out)
	return stackfile.Info{}
}

// end waits for the program's end and returns its error.
func (r *running) end(t *testing.T) error {
	t.Helper()
	select {
	case err := <-r.ended:
		return err
	case <-time.After(eventually.Timeout):
		t.Fatalf("still running\n%s", r.out)
		return nil
	}
}

// descendants returns the processes that a process started, and those that they started.
func descendants(t *testing.T, pid int) []int {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	parents := make(map[int]int)
	for _, path := range stats {
		raw, err := os.ReadFile(path)
		if err != nil {
			continue // the process has ended
		}
		fields := strings.Fields(string(raw[bytes.LastIndexByte(raw, ')')+1:]))
		child, err1 := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		parent, err2 := strconv.Atoi(fields[1])
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(err)
		}
		parents[child] = parent
	}
	var all []int
	for child := range parents {
		for at := parents[child]; at > 1; at = parents[at] {
			if at == pid {
				all = append(all, child)
				break
			}
		}
	}
	return all
}

// rows waits for the count of events of the database.
func rows(t *testing.T, dsn string, want int) {
	t.Helper()
	var got int
	eventually.NoError(t, fmt.Sprintf("%d events in the database", want), func() (err error) {
		if got, err = countRows(t.Context(), dsn); err == nil && got < want {
			err = fmt.Errorf("%d", got)
		}
		return err
	})
	if got != want {
		t.Fatalf("got %d rows, want %d", got, want)
	}
}

func countRows(ctx context.Context, dsn string) (n int, err error) {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return 0, err
	}
	defer conn.Close(ctx)
	err = conn.QueryRow(ctx, "SELECT count(*) FROM event").Scan(&n)
	return n, err
}

// TestProgram runs the program with its own database: servers that are killed, starts that
// are rejected, the ways in which it ends, and restarts on the same data.
func TestProgram(t *testing.T) {
	t.Parallel()
	state := stateDir(t)
	start := time.Now().Add(-time.Hour).Truncate(time.Second)
	first := launch(t, state, "127.0.0.1:0", "-and", "sleep 1000")
	info := first.ready(t)
	g := newGateway(t, &Stack{info: info}, "gw-1")
	post := func(n int) {
		t.Helper()
		if err := g.post(t.Context(), info.HTTP, body(start, n)); err != nil {
			t.Fatal(err)
		}
	}
	post(0)
	rows(t, info.Database, eventsPerBatch)

	second := launch(t, state, "127.0.0.1:0")
	if err := second.end(t); err == nil || !strings.Contains(second.out.String(), "process "+strconv.Itoa(first.cmd.Process.Pid)) {
		t.Errorf("second instance: got %v, want an error with the first one's pid\n%s", err, second.out)
	}
	third := launch(t, stateDir(t), strings.TrimPrefix(info.HTTP, "http://"))
	if err := third.end(t); err == nil || !strings.Contains(third.out.String(), "is in use") {
		t.Errorf("port in use: got %v, want an error\n%s", err, third.out)
	}

	// The database is killed: gateways still get responses, and no event is lost.
	if err := syscall.Kill(info.PIDs.Postgres, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for n := 1; n < 10; n++ {
		post(n)
	}
	rows(t, info.Database, 10*eventsPerBatch)

	// Prometheus is killed: it is restarted at its address, with the template's rules.
	await42(t, info.Prometheus)
	if err := syscall.Kill(info.PIDs.Prometheus, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	processtest.Gone(t, info.PIDs.Prometheus)
	await42(t, info.Prometheus)

	below := descendants(t, first.cmd.Process.Pid)
	if len(below) < 5 { // the command, the servers, ingest, authorizer or store
		t.Errorf("got %d child processes, want at least 5", len(below))
	}
	if err := first.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := first.end(t); err != nil {
		t.Errorf("ended with %v\n%s", err, first.out)
	}
	for _, message := range []string{"database   restarted", "prometheus restarted"} {
		if !strings.Contains(first.out.String(), message) {
			t.Errorf("the output does not have %q:\n%s", message, first.out)
		}
	}
	processtest.Gone(t, below...)
	if _, err := os.Stat(filepath.Join(state, stackfile.Name)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("stack.json after the end: got %v, want %v", err, fs.ErrNotExist)
	}

	// The stack is killed: no child outlives it.
	killed := launch(t, state, "127.0.0.1:0", "-and", "sleep 1000")
	info = killed.ready(t)
	g = newGateway(t, &Stack{info: info}, "gw-1") // the issuer contains the port
	post(10)
	rows(t, info.Database, 11*eventsPerBatch)
	below = descendants(t, killed.cmd.Process.Pid)
	if err := killed.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = killed.end(t)
	processtest.Gone(t, below...)

	// A command that ignores SIGTERM delays the end; a second signal ends all processes.
	last := launch(t, state, "127.0.0.1:0", "-and", `sh -c 'trap "" TERM; while :; do sleep 1; done'`)
	info = last.ready(t)
	rows(t, info.Database, 11*eventsPerBatch)
	if !strings.Contains(last.out.String(), "was killed") {
		t.Errorf("the output does not say that the previous run was killed:\n%s", last.out)
	}
	below = descendants(t, last.cmd.Process.Pid)
	for ended := false; !ended; {
		if err := last.cmd.Process.Signal(os.Interrupt); err != nil && !errors.Is(err, os.ErrProcessDone) {
			t.Fatal(err)
		}
		select {
		case err := <-last.ended:
			ended = true
			if last.cmd.ProcessState.ExitCode() != 130 {
				t.Errorf("got %v, want exit status 130\n%s", err, last.out)
			}
		case <-time.After(100 * time.Millisecond):
		}
	}
	processtest.Gone(t, below...)
}
