package prometheus_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// programs puts a server and a promtool of that version into dir/bin.
func programs(t *testing.T, dir, version string) string {
	t.Helper()
	bin := filepath.Join(dir, "bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"prometheus", "promtool"} {
		script := "#!/bin/sh\necho '" + name + ", version " + version + " (branch: x, revision: y)'\n"
		if err := os.WriteFile(filepath.Join(bin, name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return bin
}

// A newer server on the PATH takes the place of the unpacked one, whenever it
// comes; an older one does not, and a server that was built stays.
func TestInstallPrefersANewerServerOfThePath(t *testing.T) {
	needBinary(t)
	unpacked, err := os.ReadFile("../../../.local/prometheus/.stamp")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		have, path string
		stamp      string
		taken      bool
	}{
		"newer":                   {"2.42.0", "3.16.0", string(unpacked), true},
		"newer, by two digits":    {"2.9.0", "2.55.1", string(unpacked), true},
		"the same":                {"2.42.0", "2.42.0", string(unpacked), false},
		"older":                   {"2.53.0", "2.45.0", string(unpacked), false},
		"too old":                 {"2.42.0", "2.41.0", string(unpacked), false},
		"none there yet":          {"", "2.45.0", "", true},
		"newer than a built one":  {"3.16.0", "3.17.0", "prometheus 3 recipe 1 0123\n", false},
		"by a recipe of long ago": {"2.42.0", "2.42.0", "prometheus recipe 0\n", true},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "tree")
			if c.have != "" {
				programs(t, dir, c.have)
				if err := os.WriteFile(filepath.Join(dir, ".stamp"), []byte(c.stamp), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			path := programs(t, t.TempDir(), c.path)
			for range 2 { // a second time nothing is left to do
				cmd := exec.CommandContext(t.Context(), "./install.sh", dir)
				cmd.Env = append(os.Environ(), "PATH="+path+":"+os.Getenv("PATH"))
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Fatalf("%v\n%s", err, out)
				}
			}
			for _, program := range []string{"prometheus", "promtool"} {
				link, err := os.Readlink(filepath.Join(dir, "bin", program))
				if taken := err == nil && link == filepath.Join(path, program); taken != c.taken {
					t.Errorf("%s leads to %q; taken from the PATH: %v, want %v", program, link, taken, c.taken)
				}
			}
		})
	}
}
