package gateway

import (
	"os"
	"regexp"
	"slices"
	"testing"
)

// TestDocumentedCodes: docs/LIVE.md lists the codes of errors that a gateway sends.
func TestDocumentedCodes(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/LIVE.md")
	if err != nil {
		t.Fatal(err)
	}
	line := regexp.MustCompile(`(?m)^Codes of errors: .*$`).Find(text)
	var got []string
	for _, m := range regexp.MustCompile("`([a-z_]+)`").FindAllSubmatch(line, -1) {
		got = append(got, string(m[1]))
	}
	want := []string{codeInvalid, codeUnknown, codeCamera, codeNoVideo, codeTooMany, codeInternal}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
