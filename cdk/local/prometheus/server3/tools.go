//go:build tools

// Package server3 pins the Prometheus that build3.sh builds, and all that it is
// built of. It is a module of its own: the server needs 240 modules that the
// platform has no use for.
package server3

import (
	_ "github.com/prometheus/prometheus/cmd/prometheus"
	_ "github.com/prometheus/prometheus/cmd/promtool"
)
