package timescale

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// findAll returns the rows of a query. Errors begin with what, the object of the query.
func findAll[T any](ctx context.Context, p *Pool, what string, scan pgx.RowToFunc[T], sql string, args ...any) (all []T, err error) {
	err = p.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, sql, args...)
		if err != nil {
			return err
		}
		all, err = pgx.CollectRows(rows, scan)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return all, nil
}

// findOne returns the row of a query, or telemetry.ErrNotFound.
func findOne[T any](ctx context.Context, p *Pool, what string, scan pgx.RowToFunc[T], sql string, args ...any) (found T, err error) {
	err = p.do(ctx, func(ctx context.Context, conn *pgx.Conn) (err error) {
		found, err = queryOne(ctx, conn, scan, sql, args...)
		return err
	})
	if err != nil {
		return found, fmt.Errorf("%s: %w", what, err)
	}
	return found, nil
}

// querier is a connection or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// queryOne is findOne on a given connection or in a transaction.
func queryOne[T any](ctx context.Context, q querier, scan pgx.RowToFunc[T], sql string, args ...any) (T, error) {
	var zero T
	rows, err := q.Query(ctx, sql, args...)
	if err != nil {
		return zero, err
	}
	v, err := pgx.CollectExactlyOneRow(rows, scan)
	if errors.Is(err, pgx.ErrNoRows) {
		return zero, telemetry.ErrNotFound
	}
	return v, err
}

// versionConflict explains why an UPDATE with a condition on the version changed no
// row: it returns directory.ErrVersion where the query exists finds the row, and
// telemetry.ErrNotFound otherwise. Other errors are returned as they are.
func versionConflict(ctx context.Context, tx pgx.Tx, err error, exists string, args ...any) error {
	if !errors.Is(err, telemetry.ErrNotFound) {
		return err
	}
	var found bool
	if err := tx.QueryRow(ctx, "SELECT EXISTS ("+exists+")", args...).Scan(&found); err != nil {
		return err
	}
	if found {
		return directory.ErrVersion
	}
	return telemetry.ErrNotFound
}

// toStrings converts names to the type that the driver encodes; nil stays nil.
func toStrings[T ~string](names []T) []string {
	if names == nil {
		return nil
	}
	out := make([]string, len(names))
	for i, name := range names {
		out[i] = string(name)
	}
	return out
}

// seconds returns a duration that the database has as a number of seconds.
func seconds(s float64) time.Duration {
	return time.Duration(s * float64(time.Second)).Round(time.Microsecond)
}
