package timescale

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/insighthub/insighthub/lib/breaker"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// Retryable is a failure after which the same call may succeed: the database was
// unavailable or overloaded, or aborted this transaction to resolve a deadlock. For
// errors.Is it is telemetry.ErrUnavailable. Only this package creates one.
type Retryable struct { //nolint:errname // named after what the caller may do
	cause error
}

// Error describes the cause.
func (r *Retryable) Error() string { return "unavailable: " + r.cause.Error() }

// Unwrap returns telemetry.ErrUnavailable and the cause.
func (r *Retryable) Unwrap() []error { return []error{telemetry.ErrUnavailable, r.cause} }

// SQLSTATE codes (PostgreSQL 17, appendix A) that this package handles itself.
const (
	uniqueViolation       = "23505"
	exclusionViolation    = "23P01"
	insufficientPrivilege = "42501"
	invalidPassword       = "28P01"
)

// classify maps an error of the driver to one of the project's kinds of failure. Others
// are returned as they are: internal.
func classify(err error) error {
	if err == nil || errors.Is(err, telemetry.ErrUnavailable) || errors.Is(err, telemetry.ErrInvalid) ||
		errors.Is(err, telemetry.ErrConflict) || errors.Is(err, telemetry.ErrNotFound) {
		return err
	}
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch {
		case transientState(pg.Code):
			return &Retryable{cause: err}
		case pg.Code == uniqueViolation || pg.Code == exclusionViolation:
			return fmt.Errorf("%w: %w", telemetry.ErrConflict, err)
		case strings.HasPrefix(pg.Code, "22"), strings.HasPrefix(pg.Code, "23"):
			return fmt.Errorf("%w: %w", telemetry.ErrInvalid, err)
		default:
			return err
		}
	}
	if connectionLost(err) {
		return &Retryable{cause: explainTLS(err)}
	}
	// A value that the type of its column or parameter cannot hold; pgx exports no error
	// for it. The use-cases check what clients send, so this is the last line.
	if strings.Contains(err.Error(), "failed to encode args[") {
		return fmt.Errorf("%w: %w", telemetry.ErrInvalid, err)
	}
	return err
}

// transientState reports whether a statement that failed with this SQLSTATE may succeed
// when it is retried.
func transientState(code string) bool {
	switch code {
	case "40001", // serialization_failure
		"40P01",         // deadlock_detected
		"55P03",         // lock_not_available: lock_timeout
		"57014",         // query_canceled: statement_timeout
		"57P01",         // admin_shutdown
		"57P02",         // crash_shutdown
		"57P03",         // cannot_connect_now
		"57P05",         // idle_session_timeout
		invalidPassword: // the secret may just have been replaced
		return true
	}
	return strings.HasPrefix(code, "08") || // connection exception
		strings.HasPrefix(code, "53") // insufficient resources: disk, memory, connections
}

func connectionLost(err error) bool {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, net.ErrClosed) || pgconn.Timeout(err) || pgconn.SafeToRetry(err) {
		return true
	}
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return true
	}
	if _, ok := errors.AsType[net.Error](err); ok {
		return true
	}
	// pgconn exports no error for a call on a connection that was closed earlier.
	return strings.Contains(err.Error(), "conn closed")
}

// outcomeOf says what an error of the driver means for the circuit breaker. A statement that
// waited too long for a lock, or was too slow for its timeout, ran on a server that responds.
func outcomeOf(ctx context.Context, err error) breaker.Outcome {
	if err == nil {
		return breaker.Responded
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return breaker.Unknown
	}
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		if strings.HasPrefix(pg.Code, "57P") || strings.HasPrefix(pg.Code, "53") || strings.HasPrefix(pg.Code, "08") {
			return breaker.Failed
		}
		return breaker.Responded
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded) || pgconn.Timeout(err):
		return breaker.TimedOut
	case connectionLost(err):
		return breaker.Failed
	default:
		return breaker.Responded
	}
}

func hasState(err error, code string) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return ok && pg.Code == code
}

func isNotFound(err error) bool { return errors.Is(err, telemetry.ErrNotFound) }
