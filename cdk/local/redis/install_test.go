package redis_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A server of the PATH is used if it is new enough, also if it is Valkey's.
func TestInstallPrefersAServerOfThePath(t *testing.T) {
	for name, c := range map[string]struct{ program, prints string }{
		"redis":  {"redis-server", "Redis server v=7.2.4 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64 build=1"},
		"valkey": {"valkey-server", "Valkey server v=8.1.1 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64 build=1"},
	} {
		t.Run(name, func(t *testing.T) {
			path := t.TempDir()
			program := filepath.Join(path, c.program)
			if err := os.WriteFile(program, []byte("#!/bin/sh\necho '"+c.prints+"'\n"), 0o755); err != nil {
				t.Fatal(err)
			}
			dir := filepath.Join(t.TempDir(), "tree")
			for range 2 { // a second time nothing is left to do
				cmd := exec.CommandContext(t.Context(), "./install.sh", dir)
				cmd.Env = append(os.Environ(), "PATH="+path+":"+os.Getenv("PATH"))
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Fatalf("%v\n%s", err, out)
				}
			}
			if link, err := os.Readlink(filepath.Join(dir, "bin", "redis-server")); err != nil || link != program {
				t.Errorf("got %q, %v, want a link to %s", link, err, program)
			}
		})
	}
}

// A server that is too old is not used: on a system other than Debian the script says what to do.
func TestInstallRejectsAnOldServer(t *testing.T) {
	path := t.TempDir()
	for name, prints := range map[string]string{
		"redis-server": "Redis server v=6.2.7 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64 build=1", "valkey-server": "",
	} {
		if err := os.WriteFile(filepath.Join(path, name), []byte("#!/bin/sh\necho '"+prints+"'\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	// apt-get fails, so the test downloads nothing.
	if err := os.WriteFile(filepath.Join(path, "apt-get"), []byte("#!/bin/sh\nexit 100\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "tree")
	cmd := exec.CommandContext(t.Context(), "./install.sh", dir)
	cmd.Env = append(os.Environ(), "PATH="+path+":"+os.Getenv("PATH"))
	out, err := cmd.CombinedOutput()
	if err == nil {
		t.Fatalf("the script succeeded:\n%s", out)
	}
	if strings.Contains(string(out), "from the PATH") {
		t.Errorf("the old server was used:\n%s", out)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("an incomplete tree was left")
	}
}
