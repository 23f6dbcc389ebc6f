package api

import (
	"errors"
	"fmt"
	"testing"

	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// TestRejectionOf checks the status of each error, and that failures of the platform are
// not rejections: their texts stay in the log.
func TestRejectionOf(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err  error
		want int // 0: no rejection
	}{
		{badRequest("x"), 400},
		{unprocessable("x"), 422},
		{roleRequired(directory.Admin, ""), 403},
		{telemetry.ErrNotFound, 404},
		{telemetry.ErrConflict, 409},
		{directory.ErrVersion, 412},
		{telemetry.ErrInvalid, 422},
		{telemetry.ErrUnavailable, 0},
		{errors.New("x"), 0},
	} {
		got := 0
		if r := rejectionOf(fmt.Errorf("wrapped: %w", c.err)); r != nil {
			got = r.Status
		}
		if got != c.want {
			t.Errorf("%v: got %d, want %d", c.err, got, c.want)
		}
	}
}
