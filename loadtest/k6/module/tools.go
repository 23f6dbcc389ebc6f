//go:build tools

// Package tools names what is built here, so that go mod tidy keeps it.
package tools

import _ "go.k6.io/k6"
