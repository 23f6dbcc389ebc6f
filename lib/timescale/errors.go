package timescale

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// Retryable is a failure after which the same call may succeed: the database
// was away, overloaded or chose this transaction to end a deadlock. It is
// telemetry.ErrUnavailable to errors.Is. Only this package makes one.
type Retryable struct { //nolint:errname // it says what may be done about it
	cause error
}

// Error describes the cause.
func (r *Retryable) Error() string { return "unavailable: " + r.cause.Error() }

// Unwrap makes a Retryable telemetry.ErrUnavailable as well as its cause.
func (r *Retryable) Unwrap() []error { return []error{telemetry.ErrUnavailable, r.cause} }

// SQLSTATE codes that the writer itself acts on.
const (
	uniqueViolation       = "23505"
	insufficientPrivilege = "42501"
)

// classify turns a driver's error into one of the project's kinds. What it does
// not know stays as it is: internal.
func classify(err error) error {
	if err == nil || errors.Is(err, telemetry.ErrUnavailable) || errors.Is(err, telemetry.ErrInvalid) ||
		errors.Is(err, telemetry.ErrConflict) || errors.Is(err, telemetry.ErrNotFound) {
		return err
	}
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch {
		case transientState(pg.Code):
			return &Retryable{cause: err}
		case pg.Code == uniqueViolation || pg.Code == "23P01":
			return fmt.Errorf("%w: %w", telemetry.ErrConflict, err)
		case strings.HasPrefix(pg.Code, "22"), strings.HasPrefix(pg.Code, "23"):
			return fmt.Errorf("%w: %w", telemetry.ErrInvalid, err)
		default:
			return err
		}
	}
	if connectionLost(err) {
		return &Retryable{cause: err}
	}
	return err
}

// transientState reports whether a SQLSTATE may not come again on the next try
// (PostgreSQL 17, appendix A).
func transientState(code string) bool {
	switch code {
	case "40001", // serialization_failure
		"40P01", // deadlock_detected
		"55P03", // lock_not_available: lock_timeout
		"57014", // query_canceled: statement_timeout
		"57P01", // admin_shutdown
		"57P02", // crash_shutdown
		"57P03", // cannot_connect_now
		"57P05": // idle_session_timeout
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
	// pgconn has no name for what a call on a connection that died earlier returns.
	return strings.Contains(err.Error(), "conn closed")
}

func hasState(err error, code string) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return ok && pg.Code == code
}

func isNotFound(err error) bool { return errors.Is(err, telemetry.ErrNotFound) }
