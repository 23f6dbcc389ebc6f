package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestStarts(t *testing.T) {
	t.Parallel()
	state := t.TempDir()
	if err := printStarts(t.Context(), []string{"-state", state}, &bytes.Buffer{}); err == nil {
		t.Error("got no error without logs, want one")
	}
	if err := os.MkdirAll(filepath.Join(state, "logs"), 0o750); err != nil {
		t.Fatal(err)
	}
	const log = `{"level":"INFO","msg":"hello"}
{"type":"platform.initReport","record":{"metrics":{"durationMs":9.5}}}
{"type":"platform.initReport","record":{"metrics":{"durationMs":30}}}
{"type":"platform.initReport","record":{"metrics":{"durationMs":10.25}}}
`
	if err := os.WriteFile(filepath.Join(state, "logs", "api.log"), []byte(log), 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := printStarts(t.Context(), []string{"-state", state}, &out); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(strings.Fields(out.String()), " "); !strings.Contains(got, "api| 3| 10.2| 30.0|") {
		t.Errorf("got %s, want a row of api with 3 starts", got)
	}
}
