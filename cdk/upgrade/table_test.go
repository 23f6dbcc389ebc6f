package upgrade

import (
	"compress/gzip"
	"encoding/json"
	"flag"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/insighthub/insighthub/cdk/local/process/processtest"
)

var update = flag.Bool("update", false, "write replacements.json from the CDK's command line, for the types that it lists")

// TestReplacementsAreAWSs compares the table with the database that the installed CDK
// command line uses for cdk diff (make cdk-tools installs it).
func TestReplacementsAreAWSs(t *testing.T) {
	aws := database(t)
	want := map[string]map[string]string{}
	for kind := range replacements() {
		properties, ok := aws[kind]
		if !ok {
			t.Errorf("%s: no type of AWS", kind)
			continue
		}
		want[kind] = properties
	}
	if *update {
		raw, err := json.MarshalIndent(want, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile("replacements.json", append(raw, '\n'), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, replacements()); diff != "" {
		t.Errorf("replacements.json (-AWS's +ours; go test ./cdk/upgrade -update writes it):\n%s", diff)
	}
}

// database returns, by type and property, whether a change replaces the resource.
func database(t *testing.T) map[string]map[string]string {
	t.Helper()
	const table = "../node_modules/aws-cdk/db.json.gz"
	processtest.NeedFile(t, table, "make cdk/node_modules/installed")
	file, err := os.Open(table)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	unpacked, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	var db struct {
		Schema struct {
			Resource struct {
				Entities []struct {
					CloudFormationType string `json:"cloudFormationType"`
					Properties         map[string]struct {
						CausesReplacement string `json:"causesReplacement"`
					} `json:"properties"`
				} `json:"entities"`
			} `json:"resource"`
		} `json:"schema"`
	}
	if err := json.NewDecoder(unpacked).Decode(&db); err != nil {
		t.Fatal(err)
	}
	all := map[string]map[string]string{}
	for _, e := range db.Schema.Resource.Entities {
		properties := map[string]string{}
		for name, p := range e.Properties {
			if p.CausesReplacement == "yes" || p.CausesReplacement == "maybe" {
				properties[name] = p.CausesReplacement
			}
		}
		all[e.CloudFormationType] = properties
	}
	return all
}
