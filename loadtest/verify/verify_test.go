package verify

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCompare(t *testing.T) {
	a, b, c, d := Key{"g", "d", "a"}, Key{"g", "d", "b"}, Key{"g", "d", "c"}, Key{"g", "d", "d"}
	acked := map[Key]Sums{a: {3, 6, 9}, b: {2, 4, 4}, c: {1, 1, 1}}
	stored := map[Key]Sums{a: {3, 6, 9}, b: {1, 2, 2}, c: {1, 1, 2}, d: {4, 1, 1}}
	want := Finding{Acknowledged: 6, Stored: 9, Lost: 1, Unacknowledged: 4, Different: 1, Series: 3}
	if diff := cmp.Diff(want, Compare(acked, stored)); diff != "" {
		t.Error(diff)
	}
}
