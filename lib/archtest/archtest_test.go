package archtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const module = "github.com/insighthub/insighthub"

// TestImports reads the imports of every package of the module from the go command.
func TestImports(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports", module+"/...")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	dec := json.NewDecoder(bytes.NewReader(out))
	seen := 0
	for {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		seen++
		path := strings.TrimPrefix(p.ImportPath, module+"/")
		for _, v := range Violations(Rules(), module, path, p.Imports) {
			t.Error(v)
		}
	}
	if seen < 10 {
		t.Errorf("go list named only %d packages", seen)
	}
}

func TestViolations(t *testing.T) {
	rules := []Rule{{Path: "lib/a", Internal: []string{"lib/telemetry"}, External: []string{"example.com/good"}}}
	for _, c := range []struct {
		path, imp string
		want      []string
	}{
		{"lib/a", "fmt", nil},
		{"lib/a", module + "/lib/telemetry", nil},
		{"lib/a", "example.com/good/sub", nil},
		{"lib/a", module + "/lib/b", []string{"lib/a must not import lib/b"}},
		{"lib/a", "example.com/bad", []string{"lib/a must not import example.com/bad"}},
		{"lib/a", "github.com/jackc/pgx/v5", []string{"lib/a must not import github.com/jackc/pgx/v5: only lib/timescale/..., loadtest/... may"}},
		{"lib/new", "fmt", []string{"lib/new has no rule in lib/archtest: say what it may import"}},
	} {
		if diff := cmp.Diff(c.want, Violations(rules, module, c.path, []string{c.imp})); diff != "" {
			t.Errorf("%s imports %s: %s", c.path, c.imp, diff)
		}
	}
}
