// Package benchfile writes the results of a benchmark, and says where it ran.
package benchfile

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"runtime"
	"strings"
)

// Write writes a report as indented JSON.
func Write(path string, report any) error {
	raw, err := json.MarshalIndent(report, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(raw, '\n'), 0o644) //nolint:gosec // not a secret
}

// Machine returns the processor's model, or the platform where /proc/cpuinfo has none.
func Machine() string {
	raw, err := os.ReadFile("/proc/cpuinfo")
	if err == nil {
		for line := range strings.SplitSeq(string(raw), "\n") {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				return strings.TrimSpace(value)
			}
		}
	}
	return runtime.GOOS + "/" + runtime.GOARCH
}

// Commit returns the short hash of the checked-out commit, or "unknown".
func Commit(ctx context.Context) string {
	out, err := exec.CommandContext(ctx, "git", "rev-parse", "--short", "HEAD").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}
