package apifuzz_test

import (
	"flag"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/insighthub/insighthub/loadtest/apifuzz"
)

var update = flag.Bool("update", false, "write docs/ROLES.md")

const head = `# Who may do what

Generated from ` + "`x-role`" + ` in [openapi.yaml](openapi.yaml) by go test ./loadtest/apifuzz -update. "make fuzz-api" requests each
operation as each caller and compares the outcome. Here is the site of the path, elsewhere another one. 404 is the same
response, to the byte, for what does not exist and for what the caller may not see.

`

// TestRolesDocument: each operation has an x-role, and docs/ROLES.md is made of them.
func TestRolesDocument(t *testing.T) {
	table, err := apifuzz.Table()
	if err != nil {
		t.Fatal(err)
	}
	const path = "../../docs/ROLES.md"
	if *update {
		if err := os.WriteFile(path, []byte(head+table), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(head+table, string(got)); diff != "" {
		t.Errorf("docs/ROLES.md is not up to date, go test ./loadtest/apifuzz -update writes it (-want +got):\n%s", diff)
	}
}
