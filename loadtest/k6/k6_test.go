package k6

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// program finds a program that a test needs, or skips the test. make test does not install
// k6, which takes minutes to build.
func program(t *testing.T, name string, places ...string) string {
	t.Helper()
	for _, place := range append(places, name) {
		if path, err := exec.LookPath(place); err == nil {
			if path, err = filepath.Abs(path); err != nil {
				t.Fatal(err)
			}
			return path
		}
	}
	if name == "node" && (os.Getenv("CI") == "true" || os.Getenv("INSIGHTHUB_TEST_REQUIRED") == "1") {
		t.Fatalf("%s is not on the PATH", name)
	}
	t.Skipf("%s is not installed", name)
	return ""
}

func scripts(t *testing.T) []string {
	t.Helper()
	all, err := filepath.Glob("*.js")
	if err != nil || len(all) != 2 {
		t.Fatalf("got scripts %v and error %v, want two", all, err)
	}
	return all
}

// The modules of the scripts that need no k6 have tests in JavaScript: the report, the
// machines and the target.
func TestPartsInJavaScript(t *testing.T) {
	node := program(t, "node")
	files, err := filepath.Glob("lib/*.test.js")
	if err != nil || len(files) == 0 {
		t.Fatalf("got tests %v and error %v, want some", files, err)
	}
	if out, err := exec.CommandContext(t.Context(), node, append([]string{"--test"}, files...)...).CombinedOutput(); err != nil {
		t.Errorf("node --test: %v\n%s", err, out)
	}
	more, err := filepath.Glob("lib/*.js")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range append(more, scripts(t)...) {
		if out, err := exec.CommandContext(t.Context(), node, "--check", file).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", file, err, out)
		}
	}
}

// k6 accepts the scripts, they have thresholds, and they reject another target than this
// machine.
func TestScriptsInK6(t *testing.T) {
	k6 := program(t, "k6", "../../.local/k6/bin/k6")
	for _, script := range scripts(t) {
		inspect := func(env ...string) ([]byte, error) {
			cmd := exec.CommandContext(t.Context(), k6, "inspect", "--include-system-env-vars", script)
			cmd.Env = append(env, "HOME="+t.TempDir())
			return cmd.CombinedOutput()
		}
		raw, err := inspect()
		if err != nil {
			t.Errorf("%s: %v\n%s", script, err, raw)
			continue
		}
		var options struct {
			Scenarios    map[string]json.RawMessage `json:"scenarios"`
			Thresholds   map[string][]string        `json:"thresholds"`
			MaxRedirects int                        `json:"maxRedirects"`
		}
		if err := json.Unmarshal(raw, &options); err != nil {
			t.Fatalf("%s: %v\n%s", script, err, raw)
		}
		if len(options.Scenarios) < 2 || len(options.Thresholds) < 5 || options.MaxRedirects != 0 {
			t.Errorf("%s: got options %s, want scenarios, thresholds and no redirects", script, raw)
		}
		for _, name := range []string{"http_req_failed", "checks"} {
			if len(options.Thresholds[name]) == 0 {
				t.Errorf("%s: got no threshold of %s, want one", script, name)
			}
		}
		if out, err := inspect("TARGET=https://example.org"); err == nil || !bytes.Contains(out, []byte("not this machine")) {
			t.Errorf("%s: got error %v with another target, want one\n%s", script, err, out)
		}
		if out, err := inspect("SECONDS=x"); err == nil {
			t.Errorf("%s: got no error for SECONDS=x, want one\n%s", script, out)
		}
	}
}

func TestCheckTarget(t *testing.T) {
	for _, c := range []struct {
		address, allowed, host string
		ok                     bool
	}{
		{"http://127.0.0.1:8080", "", "127.0.0.1", true},
		{"http://localhost:8080/", "", "localhost", true},
		{"http://[::1]:80", "", "::1", true},
		{"https://api.example.org", "API.example.org", "api.example.org", true},
		{"https://api.example.org", "", "", false},
		{"https://api.example.org", "example.org", "", false},
		{"http://api.example.org", "api.example.org", "", false},
		{"http://127.0.0.1@example.org", "", "", false},
		{"http://10.1.2.3", "", "", false},
		{"http://localhost.example.org", "", "", false},
		{"http://127.0.0.1/stage", "", "", false},
		{"http://127.0.0.1?a=b", "", "", false},
		{"ftp://127.0.0.1", "", "", false},
		{"127.0.0.1:8080", "", "", false},
		{"", "", "", false},
	} {
		host, err := checkTarget(c.address, c.allowed)
		if (err == nil) != c.ok || host != c.host {
			t.Errorf("checkTarget(%q, %q): got %q and error %v, want %q and success %v", c.address, c.allowed, host, err, c.host, c.ok)
		}
		if err != nil && !errors.Is(err, telemetry.ErrInvalid) {
			t.Errorf("checkTarget(%q, %q): got %v, want an error that wraps ErrInvalid", c.address, c.allowed, err)
		}
	}
}

// fake returns a Config whose k6 is a shell script.
func fake(t *testing.T, script string) Config {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "k6")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	return Config{
		Program: path, Folder: ".", Scripts: []string{"ingest", "api"}, Out: filepath.Join(dir, "out"), Limit: time.Minute,
		URL: "http://127.0.0.1:1", AdminName: "admin", AdminPassword: "a secret",
		Stdout: new(bytes.Buffer), Stderr: new(bytes.Buffer),
	}
}

func TestConfigIsChecked(t *testing.T) {
	for name, spoil := range map[string]func(*Config){
		"no script":         func(c *Config) { c.Scripts = nil },
		"unknown script":    func(c *Config) { c.Scripts = []string{"gone"} },
		"script elsewhere":  func(c *Config) { c.Scripts = []string{"../k6/ingest"} },
		"setting":           func(c *Config) { c.Settings = []string{"rate"} },
		"setting of ours":   func(c *Config) { c.Settings = []string{"TARGET=https://example.org"} },
		"no time":           func(c *Config) { c.Limit = 0 },
		"another host":      func(c *Config) { c.URL = "https://example.org" },
		"no administrator":  func(c *Config) { c.AdminPassword = "" },
		"filling elsewhere": func(c *Config) { c.Events = 1 },
	} {
		c := fake(t, "echo started >&2\nexit 1")
		spoil(&c)
		if err := Run(t.Context(), c); !errors.Is(err, telemetry.ErrInvalid) {
			t.Errorf("%s: got %v, want an error that wraps ErrInvalid", name, err)
		}
		if out := c.Stderr.(*bytes.Buffer).String(); out != "" {
			t.Errorf("%s: got output %q of k6, want none", name, out)
		}
	}
}

// Both scripts run although the first misses a threshold, the second report includes the
// first, and k6 does not inherit the environment.
func TestRunReportsMissedThresholds(t *testing.T) {
	t.Setenv("AWS_SECRET_ACCESS_KEY", "not for k6")
	c := fake(t, `case "$*" in version) echo k6 v1; exit;; esac
env >"$OUT/env"
echo "$*" >"$OUT/arguments"
for script; do :; done
case $script in
*ingest.js) echo '{}' >"$OUT/ingest.json"; exit 99;;
*) echo '{"site":"s","accepted":3}' >"$OUT/api.json"; echo "with $REPORT_WITH, facts $FACTS, reads $READS";;
esac
`)
	c.Settings = []string{"READS=7"}
	err := Run(t.Context(), c)
	if !errors.Is(err, ErrThresholds) || !strings.HasSuffix(err.Error(), ": ingest") {
		t.Errorf("got error %v, want one that names ingest", err)
	}
	printed := c.Stdout.(*bytes.Buffer).String()
	for _, want := range []string{
		"with " + filepath.Join(c.Out, "ingest.json") + ",", `facts {"date":"`, `"target":"127.0.0.1"`, "reads 7", "report.html",
	} {
		if !strings.Contains(printed, want) {
			t.Errorf("got output %q, want %q in it", printed, want)
		}
	}
	env, err := os.ReadFile(filepath.Join(c.Out, "env"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(env), "AWS_") || !strings.Contains(string(env), "ADMIN_PASSWORD=a secret\n") {
		t.Errorf("got environment\n%s\nwant the administrator and nothing of this process", env)
	}
	arguments, err := os.ReadFile(filepath.Join(c.Out, "arguments"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(arguments), "secret") || !strings.Contains(string(arguments), "--no-usage-report") {
		t.Errorf("got arguments %s, want no password and no usage report", arguments)
	}
}

func TestRunEndsWithAScriptThatFails(t *testing.T) {
	c := fake(t, `echo "$*" >&2; exit 107`)
	err := Run(t.Context(), c)
	if err == nil || errors.Is(err, ErrThresholds) || !strings.Contains(err.Error(), "ingest.js") {
		t.Errorf("got error %v, want one that names ingest.js", err)
	}
	if ran := c.Stderr.(*bytes.Buffer).String(); strings.Contains(ran, "api.js") {
		t.Errorf("got runs %s, want no run of api.js after the failure", ran)
	}
}

// An interrupted run lets k6 run its teardown.
func TestRunIsInterrupted(t *testing.T) {
	c := fake(t, `case "$*" in version) exit;; esac
trap 'echo taken back >"$OUT/back"; exit 105' INT
: >"$OUT/started"
while :; do sleep 0.01; done
`)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for ctx.Err() == nil {
			if _, err := os.Stat(filepath.Join(c.Out, "started")); err == nil {
				cancel()
			}
			time.Sleep(time.Millisecond)
		}
	}()
	if err := Run(ctx, c); !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v, want %v", err, context.Canceled)
	}
	if _, err := os.Stat(filepath.Join(c.Out, "back")); err != nil {
		t.Error(err)
	}
}

// The stack.json of a stack that was killed is not a running stack.
func TestKilledStackIsNotRunning(t *testing.T) {
	if _, ok := running(t.Context(), t.TempDir()); ok {
		t.Error("got a running stack in an empty folder, want none")
	}
	state := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "true")
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(map[string]any{"http": "http://127.0.0.1:1", "pids": map[string]int{"local": cmd.Process.Pid}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(state, "stack.json"), raw, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, ok := running(t.Context(), state); ok {
		t.Error("got a running stack whose process has ended, want none")
	}
}
