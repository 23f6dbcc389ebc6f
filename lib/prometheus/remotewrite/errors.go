package remotewrite

import (
	"fmt"
	"time"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// RetryError says that the receiver was unavailable, and that a later write of the rest
// (from Result.Settled on) may succeed. It wraps telemetry.ErrUnavailable and, when there
// was no response, the network's error.
type RetryError struct {
	// Status is that of the last response: 429 or 5xx, or 0 when there was none.
	Status int
	// Wait is the shortest time to wait: the receiver's Retry-After, or the client's own
	// next wait.
	Wait time.Duration
	// Attempts made of the request that failed.
	Attempts int
	// Err is the last failure.
	Err error
}

func (e *RetryError) Error() string {
	return fmt.Sprintf("remote write: %d attempts, wait %s: %v", e.Attempts, e.Wait, e.Err)
}

// Unwrap returns telemetry.ErrUnavailable and the last failure.
func (e *RetryError) Unwrap() []error { return []error{telemetry.ErrUnavailable, e.Err} }

// StatusError is a response that rejects the request for another reason than its samples
// (401, 403, 404, a redirect …), or that names no samples. A retry of the request will not
// succeed; the configuration or the access must change.
type StatusError struct {
	Status int
	// Message is the beginning of the response body.
	Message string
}

func (e *StatusError) Error() string { return fmt.Sprintf("status %d: %s", e.Status, e.Message) }
