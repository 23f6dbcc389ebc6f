// Package release names the release that a program was built from, for the servers that it
// calls.
package release

import (
	"runtime/debug"
	"strings"
)

// Number is the release's, which is also that of the API's contract (docs/openapi.yaml).
const Number = "1.0.0"

// Version returns the version of this build: that of the module where a program was installed
// by its version, else Number, with the revision where the build knows it.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return Number
	}
	return versionOf(info)
}

// UserAgent returns the header's value for a program, such as "insighthub/1.0.0" (RFC 9110, 10.1.5).
func UserAgent(program string) string { return program + "/" + Version() }

func versionOf(info *debug.BuildInfo) string {
	if v := strings.TrimPrefix(info.Main.Version, "v"); v != "" && v != "(devel)" {
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && s.Value != "" {
			return Number + "+" + s.Value[:min(len(s.Value), 12)]
		}
	}
	return Number
}
