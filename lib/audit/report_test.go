package audit

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestMain(m *testing.M) {
	flag.Bool("update", false, "rewrite the golden files")
	os.Exit(m.Run())
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if f := flag.Lookup("update"); f.Value.String() == "true" {
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got), -update rewrites it:\n%s", path, diff)
	}
}

func sample() Report {
	now := time.Date(2026, 11, 23, 14, 0, 0, 0, time.UTC)
	clock := func() time.Time { defer func() { now = now.Add(1500 * time.Millisecond) }(); return now }
	return Run(context.Background(), "http://127.0.0.1:8080", clock, []Check{
		func(context.Context) []Finding {
			return []Finding{
				{"health: prometheus", Pass, "it responds", "not shown for a pass"},
				{
					"health: late events", Warn, "0.0312 of the events of 5 minutes",
					"find out whether a gateway uploads its spool or its clock is slow",
				},
			}
		},
		func(context.Context) []Finding {
			return []Finding{{
				"rights: viewer", Fail,
				"1 of 53 endpoints differ from the table of rights: POST /v1/sites/{site}/alarm-rules: 422, not allowed, want 403",
				"decide who may do this: either the code or lib/audit/rights.go is wrong",
			}}
		},
		func(context.Context) []Finding {
			return []Finding{{"headers: a response", Fail, "Server: \x1b[31mevil\n" + strings.Repeat("x", 70), "remove banners"}}
		},
	})
}

func TestReport(t *testing.T) {
	t.Parallel()
	var table bytes.Buffer
	if err := sample().WriteTable(&table); err != nil {
		t.Fatal(err)
	}
	golden(t, "report.txt", table.Bytes())
	raw, err := json.MarshalIndent(sample(), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "report.json", append(raw, '\n'))
}

// When the context ends, checks that were not performed fail.
func TestRunOutOfTime(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := Run(ctx, "x", time.Now, []Check{func(context.Context) []Finding { return nil }})
	if r.Result != Fail || !strings.Contains(r.Findings[0].Found, "1 of 1 groups") {
		t.Errorf("got %+v, want one failure that counts the groups", r)
	}
}

// TestRightsAreComplete compares the table of rights with the contract: an endpoint that
// is in one of them only is not checked.
func TestRightsAreComplete(t *testing.T) {
	t.Parallel()
	file, err := os.Open(filepath.Join("..", "..", "docs", "openapi.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var contract []string
	path, method := "", regexp.MustCompile(`^    (get|put|post|delete|patch):`)
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if text, ok := strings.CutPrefix(lines.Text(), "  /"); ok {
			path = "/" + strings.TrimSuffix(text, ":")
		} else if found := method.FindStringSubmatch(lines.Text()); found != nil && path != "" {
			contract = append(contract, strings.ToUpper(found[1])+" "+path)
		}
	}
	var table []string
	for _, r := range Rights() {
		table = append(table, r.Method+" "+r.Path)
	}
	slices.Sort(contract)
	slices.Sort(table)
	if diff := cmp.Diff(contract, table); diff != "" {
		t.Errorf("contract and table of rights differ (-contract +table):\n%s", diff)
	}
}
