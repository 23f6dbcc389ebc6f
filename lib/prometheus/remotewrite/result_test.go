package remotewrite

import "testing"

func TestDuplicate(t *testing.T) {
	t.Parallel()
	for reason, want := range map[string]bool{
		"out of order sample":                       true,
		"duplicate sample for timestamp 1700000000": true,
		"err-mimir-sample-out-of-order":             true,
		"err-mimir-sample-duplicate-timestamp":      true,
		"out of bounds":                             false,
		"too old sample":                            false,
		"err-mimir-sample-timestamp-too-old":        false,
		"label name too long":                       false,
	} {
		if got := duplicate(reason); got != want {
			t.Errorf("%s: got %t, want %t", reason, got, want)
		}
	}
}
