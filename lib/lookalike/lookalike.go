// Package lookalike finds names that people cannot tell apart, by the skeletons of UTS 39, 4.
package lookalike

import (
	"strings"

	"github.com/mtibben/confusables"
)

// Alike reports whether two different names look the same.
func Alike(a, b string) bool { return a != b && skeleton(a) == skeleton(b) }

// skeleton ignores case, which is mapped in names, before and after the letters are replaced.
func skeleton(name string) string {
	return strings.ToLower(confusables.Skeleton(strings.ToLower(name)))
}
