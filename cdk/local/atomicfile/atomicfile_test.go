package atomicfile_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/insighthub/insighthub/cdk/local/atomicfile"
)

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestReplaces(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "a.json")
	for _, document := range []any{map[string]int{"a": 1}, []string{}} {
		if err := atomicfile.WriteJSON(path, document); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := read(t, path), "[]"; got != want {
		t.Errorf("content: got %q, want %q", got, want)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); got != 0o600 {
		t.Errorf("mode: got %o, want 600", got)
	}
	onlyFile(t, path)
}

func TestFailedWriteLeavesTheOldFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a")
	write := func(text string, err error) error {
		return atomicfile.Write(path, func(w io.Writer) error {
			_, _ = io.WriteString(w, text)
			return err
		})
	}
	if err := write("old", nil); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	if err := write("half", broken); !errors.Is(err, broken) {
		t.Errorf("error: got %v, want one that wraps %v", err, broken)
	}
	if got := read(t, path); got != "old" {
		t.Errorf("content: got %q, want %q", got, "old")
	}
	onlyFile(t, path)
	if err := atomicfile.WriteJSON(path, func() {}); err == nil {
		t.Error("a value without JSON: got no error")
	}
	if err := atomicfile.WriteJSON(filepath.Join(path, "below"), 1); err == nil {
		t.Error("a file as the folder: got no error")
	}
	// A rename that fails: the path is a folder that is not empty.
	if err := atomicfile.WriteJSON(filepath.Dir(path), 1); err == nil {
		t.Error("a folder as the file: got no error")
	}
}

// onlyFile checks that no temporary file is left.
func onlyFile(t *testing.T, path string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 1 {
		t.Errorf("files: got %v, want one", entries)
	}
}
