package localstack

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// program writes a shell script that stands for the local stack; $STATE is its state folder.
func program(t *testing.T, script string) (cfg Config, out string) {
	t.Helper()
	out = t.TempDir()
	path := filepath.Join(t.TempDir(), "local")
	head := "#!/bin/sh\nSTATE=" + State(out) + "\necho \"$@\"\n"
	if err := os.WriteFile(path, []byte(head+script), 0o755); err != nil {
		t.Fatal(err)
	}
	return Config{Program: path, Assembly: "assembly", Functions: "functions", Timescale: "timescale", Prometheus: "prometheus"}, out
}

const ready = `mkdir -p $STATE
echo '{"http":"http://127.0.0.1:1"}' >$STATE/new && mv $STATE/new $STATE/stack.json
`

func TestStartAndStop(t *testing.T) {
	cfg, out := program(t, "trap 'exit 3' TERM\n"+ready+"while :; do sleep 0.01; done\n")
	ctx, cancel := context.WithCancel(t.Context())
	p, info, err := cfg.Start(ctx, out, "-without", "detect")
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if info.HTTP != "http://127.0.0.1:1" || p.PID() == 0 {
		t.Errorf("got %+v, process %d", info, p.PID())
	}
	if err := p.Stop(); err != nil {
		t.Error(err)
	}
	if got := p.ExitCode(); got != 3 {
		t.Errorf("exit code %d, want 3: the end of the context must not kill the stack", got)
	}
	log, err := os.ReadFile(filepath.Join(out, "local.log"))
	if err != nil {
		t.Fatal(err)
	}
	want := "-assembly assembly -stage dev -state " + State(out) + " -http 127.0.0.1:0 -functions functions" +
		" -timescale timescale -prometheus prometheus -prometheus-http 127.0.0.1:0 -without detect"
	if got := strings.TrimSpace(string(log)); got != want {
		t.Errorf("got arguments %q, want %q", got, want)
	}
}

func TestStartFails(t *testing.T) {
	cfg, out := program(t, "exit 1\n")
	if _, _, err := cfg.Start(t.Context(), out); err == nil || !strings.Contains(err.Error(), "local.log") {
		t.Errorf("got %v, want an error that names the log", err)
	}
	// What an earlier stack left behind is not read.
	if err := os.MkdirAll(State(out), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(State(out), "stack.json"), []byte(`{}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := cfg.Start(t.Context(), out); err == nil {
		t.Error("got no error, want one with the stack.json of an earlier stack")
	}
	cfg.Program = "no-such-program"
	if _, _, err := cfg.Start(t.Context(), out); err == nil {
		t.Error("got no error, want one for a program that does not exist")
	}
}

func TestStartIsInterrupted(t *testing.T) {
	cfg, out := program(t, "trap exit TERM\nwhile :; do sleep 0.01; done\n")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := cfg.Start(ctx, out); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}
