package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestUpToDate checks that the committed files are generated from the present contract.
func TestUpToDate(t *testing.T) {
	t.Parallel()
	contract, err := os.ReadFile("../openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	files, err := generate(contract)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		if got, err := os.ReadFile(filepath.Join("..", name)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("docs/%s is not up to date with openapi.yaml: run go generate ./docs (%v)", name, err)
		}
	}
}

// TestPageIsSelfContained checks that the page loads and runs nothing, and that each of its
// links has a target on it.
func TestPageIsSelfContained(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("../api.html")
	if err != nil {
		t.Fatal(err)
	}
	page := string(raw)
	for _, bad := range []string{"<script", "<link", "<img", " src=", " style=", "url(", "@import", " onclick"} {
		if strings.Contains(page, bad) {
			t.Errorf("the page has %q, want none", bad)
		}
	}
	ids := make(map[string]bool)
	for _, m := range regexp.MustCompile(` id="([^"]*)"`).FindAllStringSubmatch(page, -1) {
		if ids[m[1]] {
			t.Errorf("id %s is repeated", m[1])
		}
		ids[m[1]] = true
	}
	links := regexp.MustCompile(`href="([^"]*)"`).FindAllStringSubmatch(page, -1)
	for _, m := range links {
		if target, inside := strings.CutPrefix(m[1], "#"); m[1] != "openapi.yaml" && (!inside || !ids[target]) {
			t.Errorf("link %s has no target", m[1])
		}
	}
	if len(links) < 100 {
		t.Errorf("got %d links, want 100 or more", len(links))
	}
}

func TestNoContract(t *testing.T) {
	t.Parallel()
	for _, contract := range []string{"", "paths: [", "paths: {/a: {get: {tags: [none]}}}"} {
		if _, err := generate([]byte(contract)); err == nil {
			t.Errorf("%q: got no error, want one", contract)
		}
	}
}
