// Package processtest checks that a server dies with the process that started it.
// The test binary plays that process: it starts itself again, as a host.
package processtest

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// Folder is the environment variable that makes the test binary a host; it holds
// the folder that the host's server works in. TestMain looks for it.
const Folder = "INSIGHTHUB_TEST_HOST_FOLDER"

// Host starts a server, tells Orphan its process id, and waits to be killed.
// start's error ends it with status 1.
func Host(start func() (pid int, err error)) {
	pid, err := start()
	if err != nil {
		_, _ = os.Stdout.WriteString(err.Error())
		os.Exit(1)
	}
	_, _ = os.Stdout.WriteString(strconv.Itoa(pid) + "\n")
	select {}
}

// Orphan runs the test binary as a host in the folder, kills it as soon as its
// server runs, and returns the process id of the server, which may still be at
// its end.
func Orphan(t *testing.T, folder string) int {
	t.Helper()
	host := exec.CommandContext(t.Context(), os.Args[0]) //nolint:gosec // the test itself
	host.Env = append(host.Environ(), Folder+"="+folder)
	out, err := host.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := host.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 512)
	n, err := out.Read(line)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(line[:n])))
	if err != nil {
		t.Fatalf("the host's server: %s", line[:n])
	}
	if err := host.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = host.Wait()
	return pid
}
