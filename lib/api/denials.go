package api

import (
	"context"
	"fmt"
)

// Denials publishes which access tokens are no longer accepted.
type Denials interface {
	// Publish is called after something was taken away from an account or a gateway. It may be
	// repeated. The error wraps telemetry.ErrUnavailable: the change is in the database, and
	// the tokens that were issued before are still accepted.
	Publish(ctx context.Context) error
}

// deny publishes what the change that ended with err has taken away. The response is 503 if
// that fails, since the change is then half done: the roll-up publishes it within a minute
// after S3 is available again, and so does a repetition of the request.
func (h *Handler) deny(c *call, err error) error {
	if err != nil {
		return err
	}
	if err := h.config.Denials.Publish(c.Context()); err != nil {
		return &unpublishedError{fmt.Errorf("stored, but tokens that were issued before are still accepted: %w", err)}
	}
	return nil
}

// unpublishedError is the error of a change that is stored.
type unpublishedError struct{ error }

// Unwrap returns the cause.
func (e *unpublishedError) Unwrap() error { return e.error }
