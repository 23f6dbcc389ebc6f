// Command page generates the page of the contract, docs/api.html, and the digests of
// both, docs/generated.go. go generate runs it in docs.
package main

import (
	"fmt"
	"os"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "page:", err)
		os.Exit(1)
	}
}

func run() error {
	contract, err := os.ReadFile("openapi.yaml")
	if err != nil {
		return err
	}
	files, err := generate(contract)
	if err != nil {
		return err
	}
	for name, content := range files {
		if err := os.WriteFile(name, content, 0o644); err != nil { //nolint:gosec // documentation
			return err
		}
	}
	return nil
}
