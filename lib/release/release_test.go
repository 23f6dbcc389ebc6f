package release

import (
	"os"
	"regexp"
	"runtime/debug"
	"testing"
)

func TestVersion(t *testing.T) {
	t.Parallel()
	revision := []debug.BuildSetting{{Key: "vcs", Value: "git"}, {Key: "vcs.revision", Value: "0123456789abcdef0123"}}
	for want, info := range map[string]*debug.BuildInfo{
		Number:                   {Main: debug.Module{Version: "(devel)"}},
		Number + "+0123456789ab": {Main: debug.Module{Version: "(devel)"}, Settings: revision},
		"1.2.3":                  {Main: debug.Module{Version: "v1.2.3"}, Settings: revision},
	} {
		if got := versionOf(info); got != want {
			t.Errorf("%+v: got %s, want %s", info, got, want)
		}
	}
	// A product and its version, each a token of RFC 9110.
	if got := UserAgent("insighthub"); !regexp.MustCompile(`^insighthub/[-+.0-9A-Za-z]+$`).MatchString(got) {
		t.Errorf("got %q", got)
	}
}

func TestNumberIsTheContracts(t *testing.T) {
	t.Parallel()
	contract, err := os.ReadFile("../../docs/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`(?m)^  version: ` + regexp.QuoteMeta(Number) + `$`).Match(contract) {
		t.Errorf("docs/openapi.yaml has another version than %s", Number)
	}
}
