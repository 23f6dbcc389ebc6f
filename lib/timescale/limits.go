package timescale

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/insighthub/insighthub/lib/directory"
)

// room returns a *directory.LimitError if the list has most rows already. The lock of the
// list, whose name is list, is held until the end of tx, which then adds one: concurrent
// additions do not pass the bound.
func room(ctx context.Context, tx pgx.Tx, list, of string, most int, rows string, args ...any) error {
	if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", list); err != nil {
		return fmt.Errorf("lock of %s: %w", list, err)
	}
	n, err := queryOne(ctx, tx, pgx.RowTo[int], fmt.Sprintf("SELECT count(*) FROM (SELECT %s LIMIT %d) AS r", rows, most), args...)
	if err != nil {
		return fmt.Errorf("count %s: %w", list, err)
	}
	if n >= most {
		return &directory.LimitError{Of: of, Most: most}
	}
	return nil
}
