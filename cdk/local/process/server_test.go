package process_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/insighthub/insighthub/cdk/local/process"
)

func TestInstalled(t *testing.T) {
	tree := t.TempDir()
	program, link := filepath.Join(tree, "real"), filepath.Join(tree, "bin", "server")
	if err := errors.Join(os.Mkdir(filepath.Dir(link), 0o755), os.WriteFile(program, nil, 0o755), os.Symlink(program, link)); err != nil {
		t.Fatal(err)
	}
	if got, err := process.Installed(link, "install.sh"); err != nil || got != program {
		t.Errorf("got %s, %v; want %s", got, err, program)
	}
	_, err := process.Installed(filepath.Join(tree, "bin", "other"), "install.sh")
	if want := "other is not installed; run install.sh " + tree; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestAwaitReady(t *testing.T) {
	c := shell(t, `echo; exec sleep 3600`)
	calls := 0
	err := c.AwaitReady(t.Context(), func() bool { calls++; return calls == 3 })
	if err != nil || calls != 3 {
		t.Errorf("got %v after %d calls, want no error after 3", err, calls)
	}
	if err := c.AwaitReady(ended(t), func() bool { return false }); err == nil || !strings.Contains(err.Error(), "did not become ready") {
		t.Errorf("after the context's end: got %v", err)
	}
	c.Kill()
	err = c.AwaitReady(t.Context(), func() bool { t.Error("another server was asked"); return true })
	if err == nil || !strings.Contains(err.Error(), "ended while starting (signal: killed)") {
		t.Errorf("after the child's end: got %v", err)
	}
}

func TestStop(t *testing.T) {
	if err := shell(t, `trap 'exit 0' TERM; echo; while :; do sleep 0.01; done`).Stop(t.Context(), syscall.SIGTERM); err != nil {
		t.Errorf("status 0: got %v", err)
	}
	err := shell(t, `trap 'exit 7' TERM; echo; while :; do sleep 0.01; done`).Stop(t.Context(), syscall.SIGTERM)
	if err == nil || err.Error() != "ended: exit status 7" {
		t.Errorf("status 7: got %v", err)
	}
	c := shell(t, `trap '' TERM; echo; while :; do sleep 0.01; done`)
	if err := c.Stop(ended(t), syscall.SIGTERM); err == nil || !strings.Contains(err.Error(), "did not end in time") {
		t.Errorf("ignores the signal: got %v", err)
	}
	<-c.Exited()
}

// Another free port is selected where the first was taken meanwhile, but never instead of
// one that the caller named.
func TestOnPort(t *testing.T) {
	var taken []string
	start := func(successful int) func(string) (string, error) {
		taken = nil
		return func(address string) (string, error) {
			taken = append(taken, address)
			if len(taken) < successful {
				return "", errors.Join(process.ErrPortInUse, errors.New("bind"))
			}
			return address, nil
		}
	}
	got, err := process.OnPort(t.Context(), "127.0.0.1:0", start(3))
	if err != nil || len(taken) != 3 || got != taken[2] || strings.HasSuffix(got, ":0") {
		t.Errorf("got %s, %v after %v; want the third", got, err, taken)
	}
	if _, err := process.OnPort(t.Context(), "127.0.0.1:0", start(99)); !errors.Is(err, process.ErrPortInUse) || len(taken) != 5 {
		t.Errorf("got %v after %v, want the error after five", err, taken)
	}
	if _, err := process.OnPort(t.Context(), "127.0.0.1:9", start(2)); !errors.Is(err, process.ErrPortInUse) || len(taken) != 1 {
		t.Errorf("got %v after %v, want the error at the only port", err, taken)
	}
	failed := errors.New("failed")
	calls := 0
	_, err = process.OnPort(t.Context(), "127.0.0.1:0", func(string) (string, error) { calls++; return "", failed })
	if !errors.Is(err, failed) || calls != 1 {
		t.Errorf("got %v after %d calls, want the error of the only one", err, calls)
	}
}

// The command is a server's: what it writes is passed on, and the log's end remembered.
func TestServerCommand(t *testing.T) {
	t.Setenv("SECRET", "of the stack")
	var to strings.Builder
	log := process.NewLog(&to)
	c, err := process.Start(process.ServerCommand(ended(t), log, "/bin/sh", "-c", `i=0
while [ $i -lt 2000 ]; do i=$((i+1)); echo "line $i"; done; echo "$SECRET." >&2`), syscall.SIGKILL)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Err(); err != nil {
		t.Errorf("it ended with the context: %v", err)
	}
	if !strings.HasPrefix(to.String(), "line 1\n") || !strings.HasSuffix(to.String(), "line 2000\n.\n") {
		t.Errorf("got a log of %d bytes, want all lines", to.Len())
	}
	if tail := log.Tail(); len(tail) != 16<<10 || !strings.HasSuffix(to.String(), tail) {
		t.Errorf("got a tail of %d bytes, want the last 16 KiB", len(tail))
	}
}
