//go:build autobahn

package hub_test

import (
	"encoding/json"
	"flag"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

var autobahn = flag.String("autobahn", "", "`program` wstest of the Autobahn suite; see signaling/conformance/autobahn.sh")

// TestAutobahn runs the Autobahn suite against the echo. Left out are messages of more than
// 64 KiB, which the protocol does not have, and compression, which the service does not offer.
func TestAutobahn(t *testing.T) {
	if *autobahn == "" {
		t.Fatal("run signaling/conformance/autobahn.sh, which installs the suite")
	}
	address := startEcho(t)
	dir := t.TempDir()
	spec, err := json.Marshal(map[string]any{
		"outdir": filepath.Join(dir, "out"), "servers": []any{map[string]any{"agent": "signaling", "url": "ws://" + address}},
		"cases": []string{"*"}, "exclude-agent-cases": map[string]any{},
		"exclude-cases": []string{
			"9.1.2", "9.1.3", "9.1.4", "9.1.5", "9.1.6", "9.2.2", "9.2.3", "9.2.4", "9.2.5", "9.2.6", "9.3.*", "9.4.*", "9.5.*", "9.6.*",
			"12.*", "13.*",
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "spec.json"), spec, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), *autobahn, "-m", "fuzzingclient", "-s", filepath.Join(dir, "spec.json"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("wstest: %v\n%s", err, out[max(0, len(out)-4000):])
	}
	raw, err := os.ReadFile(filepath.Join(dir, "out", "index.json"))
	if err != nil {
		t.Fatal(err)
	}
	var index map[string]map[string]struct{ Behavior, BehaviorClose string }
	if err := json.Unmarshal(raw, &index); err != nil {
		t.Fatal(err)
	}
	counts := map[string]int{}
	for _, name := range slices.Sorted(maps.Keys(index["signaling"])) {
		c := index["signaling"][name]
		counts[c.Behavior]++
		switch c.Behavior {
		case "OK":
		case "NON-STRICT", "INFORMATIONAL":
			t.Logf("%s: %s, close %s", name, c.Behavior, c.BehaviorClose)
		default:
			t.Errorf("%s: %s, close %s", name, c.Behavior, c.BehaviorClose)
		}
		if c.BehaviorClose != "OK" && c.BehaviorClose != "INFORMATIONAL" {
			t.Errorf("%s: the close is %s", name, c.BehaviorClose)
		}
	}
	t.Logf("%d cases: %v", len(index["signaling"]), counts)
	if counts["OK"] < 200 {
		t.Errorf("got %d cases that are OK, want the whole suite", counts["OK"])
	}
}
