package audit

import (
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"

	"github.com/insighthub/insighthub/lib/trail"
)

// VerifySegment verifies the entries of an archived part of the trail, lines that zstd compressed,
// as trail.VerifyLines does.
func VerifySegment(r io.Reader, v *trail.Verifier) error {
	expanded, err := zstd.NewReader(r)
	if err != nil {
		return fmt.Errorf("archived trail: %w", err)
	}
	defer expanded.Close()
	return trail.VerifyLines(expanded, v)
}
