package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRunScores(t *testing.T) {
	in, out := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(in, "a.csv"), []byte("timestamp,value\n2026-01-01 00:00:00,1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var report strings.Builder
	if err := run([]string{"score", in, out}, &report); err != nil {
		t.Fatal(err)
	}
	written, err := os.ReadFile(filepath.Join(out, "a.csv"))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(written), "timestamp,value,anomaly_score\n2026-01-01 00:00:00,1,0\n"; got != want {
		t.Errorf("wrote %q, want %q", got, want)
	}
}

func TestRunRejects(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing")
	for _, args := range [][]string{
		nil, {"score", "one"}, {"other", "a", "b"}, {"nab", missing}, {"skab", missing}, {"score", missing, t.TempDir()},
	} {
		if err := run(args, &strings.Builder{}); err == nil {
			t.Errorf("%q: got no error, want one", args)
		}
	}
}
