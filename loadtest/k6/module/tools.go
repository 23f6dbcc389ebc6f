//go:build tools

// Package tools imports k6, so that go mod tidy keeps it in go.mod.
package tools

import _ "go.k6.io/k6"
