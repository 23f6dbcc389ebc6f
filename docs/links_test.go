package docs_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const root = ".."

var (
	fence   = regexp.MustCompile("(?ms)^[ \t]*```.*?^[ \t]*```[ \t]*$")
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ +(.+?) *$`)
	// quoted matches a path of the repository in backticks, with or without a pattern.
	quoted = regexp.MustCompile("`((?:cdk|docs|functions|lib|loadtest|wasm|web)/[A-Za-z0-9_./*-]+)`")
	marks  = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
	symbol = regexp.MustCompile(`\.[A-Z]\w*$`) // of a package, as in lib/kpi.Config
)

// documents returns the text of each Markdown file of the repository by its path.
func documents(t *testing.T) map[string]string {
	t.Helper()
	all := make(map[string]string)
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		switch name := entry.Name(); {
		case entry.IsDir() && (name == "node_modules" || name == "build" || strings.HasPrefix(name, ".") && path != root):
			return fs.SkipDir
		case !entry.IsDir() && strings.HasSuffix(name, ".md"):
			text, err := os.ReadFile(path)
			all[path] = fence.ReplaceAllString(string(text), "")
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 10 {
		t.Fatalf("got %d documents, want those of the repository", len(all))
	}
	return all
}

// TestLinks checks that relative links lead to files and headings that exist.
func TestLinks(t *testing.T) {
	all := documents(t)
	for path, text := range all {
		for _, match := range link.FindAllStringSubmatch(text, -1) {
			target, anchor, _ := strings.Cut(match[1], "#")
			if strings.Contains(target, ":") {
				continue // an absolute URL
			}
			file := path
			if target != "" {
				file = filepath.Join(filepath.Dir(path), target)
			}
			if _, err := os.Stat(file); err != nil {
				t.Errorf("%s: got a link to %s, want a file that exists", path, match[1])
			} else if anchor != "" && !hasAnchor(all[file], anchor) {
				t.Errorf("%s: got a link to %s, want a heading that exists", path, match[1])
			}
		}
	}
}

// hasAnchor reports whether a heading has the anchor that GitHub derives from its text.
func hasAnchor(text, anchor string) bool {
	for _, match := range heading.FindAllStringSubmatch(text, -1) {
		if strings.ReplaceAll(marks.ReplaceAllString(strings.ToLower(match[1]), ""), " ", "-") == anchor {
			return true
		}
	}
	return false
}

// TestPaths checks that the packages, folders and files that documents name in backticks exist.
func TestPaths(t *testing.T) {
	for path, text := range documents(t) {
		for _, match := range quoted.FindAllStringSubmatch(text, -1) {
			pattern := symbol.ReplaceAllString(strings.TrimSuffix(match[1], "/..."), "")
			if found, err := filepath.Glob(filepath.Join(root, pattern)); err != nil || len(found) == 0 {
				t.Errorf("%s: got `%s`, want a path that exists", path, match[1])
			}
		}
	}
}

// namedTest matches a test in backticks, as in lib/kpi.TestCountersByHand.
var namedTest = regexp.MustCompile("`((?:cdk|docs|functions|lib|loadtest|wasm)[a-z0-9/]*)\\.((?:Test|Fuzz)\\w+)`")

// TestNamedTests checks that the tests that documents name exist.
func TestNamedTests(t *testing.T) {
	named := 0
	for path, text := range documents(t) {
		for _, match := range namedTest.FindAllStringSubmatch(text, -1) {
			named++
			if !hasTest(t, filepath.Join(root, match[1]), match[2]) {
				t.Errorf("%s: got `%s.%s`, want a test that exists", path, match[1], match[2])
			}
		}
	}
	if named < 50 {
		t.Errorf("got %d named tests, want those of CASES.md at least", named)
	}
}

// hasTest reports whether a test file of the folder declares the function.
func hasTest(t *testing.T, folder, name string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "\nfunc "+name+"(t *testing.T)") ||
			strings.Contains(string(text), "\nfunc "+name+"(f *testing.F)") {
			return true
		}
	}
	return false
}
