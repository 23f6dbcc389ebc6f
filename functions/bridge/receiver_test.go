package main

import "testing"

// TestKnown: what a receiver has already is no loss; what it does not take is.
func TestKnown(t *testing.T) {
	t.Parallel()
	for reason, want := range map[string]bool{
		"out of order sample":                       true,
		"duplicate sample for timestamp 1700000000": true,
		"err-mimir-sample-out-of-order":             true,
		"out of bounds":                             false,
		"too old sample":                            false,
		"err-mimir-sample-timestamp-too-old":        false,
		"label name too long":                       false,
	} {
		if got := known(reason); got != want {
			t.Errorf("%s: %t", reason, got)
		}
	}
}
