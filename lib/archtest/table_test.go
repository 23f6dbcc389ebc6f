package archtest

import (
	"flag"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the table of packages in docs/ARCHITECTURE.md")

const (
	architecture = "../../docs/ARCHITECTURE.md"
	tableBegin   = "<!-- packages: begin -->\n"
	tableEnd     = "<!-- packages: end -->\n"
)

// TestArchitecture compares the table in docs/ARCHITECTURE.md with the packages.
func TestArchitecture(t *testing.T) {
	text, err := os.ReadFile(architecture)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, begins := strings.Cut(string(text), tableBegin)
	got, after, ends := strings.Cut(rest, tableEnd)
	if !begins || !ends {
		t.Fatalf("%s: got no marks %q and %q", architecture, tableBegin, tableEnd)
	}
	want := table(packages(t))
	if *update {
		if err := os.WriteFile(architecture, []byte(before+tableBegin+want+tableEnd+after), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the table differs; go test ./lib/archtest -update writes it (-want +got):\n%s", diff)
	}
}

// table lists what each package does and what else of the module its rule lets it import,
// except for packages that only tests import.
func table(all []Package) string {
	slices.SortFunc(all, func(a, b Package) int { return strings.Compare(a.ImportPath, b.ImportPath) })
	var out strings.Builder
	out.WriteString("| package | does | may import |\n| --- | --- | --- |\n")
	for _, p := range all {
		rule, _ := Find(Rules(), p.ImportPath)
		if !rule.Tests && !strings.HasSuffix(p.Name, "test") && !strings.Contains(p.ImportPath, "testdata/") {
			imports := "–"
			if len(rule.Internal) > 0 {
				imports = "`" + strings.Join(rule.Internal, "` `") + "`"
			}
			out.WriteString("| `" + p.ImportPath + "` | " + purpose(p.Doc) + " | " + imports + " |\n")
		}
	}
	return out.String()
}

// subject matches the beginning of a package comment.
var subject = regexp.MustCompile(`^(Package|Command) \S+ (is )?`)

// purpose returns the first sentence of a package comment without its subject and links,
// up to the colon before its details.
func purpose(doc string) string {
	doc, _, _ = strings.Cut(doc, ": ")
	return strings.TrimRight(strings.NewReplacer("|", `\|`, "[", "", "]", "").Replace(subject.ReplaceAllString(doc, "")), ".:")
}
