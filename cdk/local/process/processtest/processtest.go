// Package processtest finds the servers that tests run, and tests that a server ends with
// the process that started it. The test binary plays that process: it starts itself as a
// host.
package processtest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/insighthub/insighthub/lib/eventually"
)

// Folder is the environment variable that makes the test binary a host; it holds
// the folder that the host's server works in. TestMain looks for it.
const Folder = "INSIGHTHUB_TEST_HOST_FOLDER"

// Host starts a server, writes its process id for Orphan, and waits to be killed.
// It exits with status 1 if start fails.
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
// server runs, and returns the process id of the server, which may still run.
func Orphan(t *testing.T, folder string) int {
	t.Helper()
	host := exec.CommandContext(t.Context(), os.Args[0])
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

// Gone waits until none of the processes runs.
func Gone(t *testing.T, pids ...int) {
	t.Helper()
	for _, pid := range pids {
		eventually.True(t, "the end of process "+strconv.Itoa(pid), func() bool { return !Alive(pid) })
	}
}

// Alive reports whether a process runs. One that has ended, and whose parent has not
// waited for it, does not: its command line is empty.
func Alive(pid int) bool {
	cmdline, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
	return err == nil && len(cmdline) > 0
}

// Local returns a path in .local of the module in which the test runs, where install.sh
// scripts unpack servers.
func Local(tb testing.TB, elements ...string) string {
	tb.Helper()
	dir, err := os.Getwd()
	if err != nil {
		tb.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return filepath.Join(append([]string{dir, ".local"}, elements...)...)
		}
		if dir == filepath.Dir(dir) {
			tb.Fatal("the test runs outside of a module")
		}
		dir = filepath.Dir(dir)
	}
}

// Program returns the path of a server: that of the environment variable, else the one that
// the script unpacks to .local/FOLDER/bin, else that of the PATH. Without any it does as
// NeedFile.
func Program(tb testing.TB, variable, folder, name, script string) string {
	tb.Helper()
	if path := os.Getenv(variable); path != "" {
		return path
	}
	path := Local(tb, folder, "bin", name)
	if _, err := os.Stat(path); err == nil {
		return path
	}
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	missing(tb, name+" is not installed: run "+script+" .local/"+folder+", or set "+variable+" to the server's path")
	return ""
}

// NeedFile skips the test where a file of an installed server is missing, and fails it
// where INSIGHTHUB_TEST_REQUIRED is 1 or CI is true. install says how to get it.
func NeedFile(tb testing.TB, file, install string) {
	tb.Helper()
	if _, err := os.Stat(file); err != nil {
		missing(tb, file+" is missing: "+install)
	}
}

func missing(tb testing.TB, message string) {
	tb.Helper()
	if os.Getenv("CI") == "true" || os.Getenv("INSIGHTHUB_TEST_REQUIRED") == "1" {
		tb.Fatal(message)
	}
	tb.Skip(message)
}
