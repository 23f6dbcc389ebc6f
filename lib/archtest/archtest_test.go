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

// packages reads every package of the module from the go command. The exports of the
// WebAssembly module are compiled by TinyGo alone.
func packages(t *testing.T) []Package {
	t.Helper()
	all := list(t, module+"/...")
	if len(all) < 10 {
		t.Fatalf("go list named %d packages, want the whole module", len(all))
	}
	return append(all, list(t, "-tags=tinygo", module+"/wasm")...)
}

func list(t *testing.T, args ...string) []Package {
	t.Helper()
	args = append([]string{"list", "-json=ImportPath,Name,Doc,Imports,TestImports,XTestImports"}, args...)
	cmd := exec.CommandContext(t.Context(), "go", args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	var all []Package
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p Package
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		p.ImportPath = strings.TrimPrefix(p.ImportPath, module+"/")
		all = append(all, p)
	}
	return all
}

func TestImports(t *testing.T) {
	all := packages(t)
	for _, p := range all {
		for _, v := range Violations(Rules(), module, p.ImportPath, p.Imports) {
			t.Error(v)
		}
	}
	for _, v := range Unused(Rules(), module, all) {
		t.Error(v)
	}
	for _, v := range Unreachable(Rules(), module, all) {
		t.Error(v)
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
		{"lib/a", "github.com/jackc/pgx/v5", []string{
			"lib/a must not import github.com/jackc/pgx/v5: only lib/timescale/..., loadtest/... may",
		}},
		{"lib/new", "fmt", []string{"lib/new has no rule in lib/archtest: say what it may import"}},
	} {
		if diff := cmp.Diff(c.want, Violations(rules, module, c.path, []string{c.imp})); diff != "" {
			t.Errorf("%s imports %s: %s", c.path, c.imp, diff)
		}
	}
}

func TestUnused(t *testing.T) {
	rules := []Rule{
		{Path: "lib/a", Internal: []string{"lib/b", "lib/c"}, External: []string{"example.com/good", "example.com/bad"}},
		{Path: "lib/b/...", External: []string{"*"}},
		{Path: "lib/gone"},
	}
	all := []Package{
		{ImportPath: "lib/a", Imports: []string{"fmt", module + "/lib/b", "example.com/good/sub"}},
		{ImportPath: "lib/b/sub", Imports: []string{"fmt"}},
	}
	want := []string{
		"lib/a: the permission to import lib/c is not used",
		"lib/a: the permission to import example.com/bad is not used",
		"lib/b/...: the permission to import * is not used",
		"lib/gone: the rule matches no package",
	}
	if diff := cmp.Diff(want, Unused(rules, module, all)); diff != "" {
		t.Error(diff)
	}
}

func TestUnreachable(t *testing.T) {
	imports := func(paths ...string) []string {
		for i, p := range paths {
			paths[i] = module + "/" + p
		}
		return paths
	}
	all := []Package{
		{ImportPath: "functions/x", Name: "main", Imports: imports("lib/a")},
		{ImportPath: "lib/a", Name: "a", Imports: imports("lib/b"), XTestImports: imports("lib/a/atest")},
		{ImportPath: "lib/b", Name: "b"},
		{ImportPath: "lib/a/atest", Name: "atest", Imports: imports("lib/forgotten/forgottentest")},
		{ImportPath: "lib/forgotten", Name: "forgotten", TestImports: imports("lib/a")},
		{ImportPath: "lib/forgotten/forgottentest", Name: "forgottentest"},
		{ImportPath: "lib/b/btest", Name: "btest"},
	}
	all = append(all, Package{ImportPath: "lib/wait", Name: "wait"}, Package{ImportPath: "lib/used", Name: "used"})
	all[0].Imports = append(all[0].Imports, module+"/lib/used")
	rules := []Rule{{Path: "lib/wait", Tests: true}, {Path: "lib/used", Tests: true}}
	want := []string{
		"lib/b/btest is imported by no test",
		"lib/forgotten is imported by no program",
		"lib/used is for tests, and a program imports it",
		"lib/wait is imported by no test",
	}
	if diff := cmp.Diff(want, Unreachable(rules, module, all)); diff != "" {
		t.Error(diff)
	}
}
