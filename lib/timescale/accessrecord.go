package timescale

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/insighthub/insighthub/lib/directory"
)

// accessKeyBytes is the size of a line's key.
const accessKeyBytes = 16

// accessKey tells the lines of one minute apart: it depends on all that the reads of a line
// have in common.
func accessKey(a *directory.Access) []byte {
	var b []byte
	for _, text := range []string{a.Subject, string(a.Role), string(a.Site), a.Operation, a.Selection, a.Source} {
		b = binary.BigEndian.AppendUint32(b, uint32(len(text)))
		b = append(b, text...)
	}
	b = binary.BigEndian.AppendUint32(b, uint32(a.Status))
	sum := sha256.Sum256(b)
	return sum[:accessKeyBytes]
}

// addAccess adds a line, or its count and range to the line that is there. A range that is
// open stays open.
const addAccess = `INSERT INTO access_record AS r
		(minute, key, first, last, count, subject, role, site, operation, selection, selected_from, selected_to, status, source, request_id)
	VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
	ON CONFLICT (minute, key) DO UPDATE SET count = r.count + excluded.count, first = least(r.first, excluded.first),
		last = greatest(r.last, excluded.last), request_id = excluded.request_id,
		selected_from = CASE WHEN r.selected_from < excluded.selected_from THEN r.selected_from
			WHEN r.selected_from IS NOT NULL THEN excluded.selected_from END,
		selected_to = CASE WHEN r.selected_to > excluded.selected_to THEN r.selected_to
			WHEN r.selected_to IS NOT NULL THEN excluded.selected_to END`

func accessValues(a *directory.Access) []any {
	return []any{
		a.Minute(), accessKey(a), a.First, a.Last, a.Count, a.Subject, string(a.Role), string(a.Site), a.Operation,
		a.Selection, orNull(a.From), orNull(a.To), a.Status, a.Source, a.RequestID,
	}
}

// AddAccesses adds lines to the access record, or their counts to the lines that are there.
func (p *Pool) AddAccesses(ctx context.Context, lines []directory.Access) error {
	// Transactions that share lines take their locks in one order.
	lines = slices.SortedFunc(slices.Values(lines), func(a, b directory.Access) int {
		return cmp.Or(a.Minute().Compare(b.Minute()), bytes.Compare(accessKey(&a), accessKey(&b)))
	})
	err := p.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		if len(lines) == 1 {
			_, err := conn.Exec(ctx, addAccess, accessValues(&lines[0])...)
			return err
		}
		batch := &pgx.Batch{} // one transaction
		for i := range lines {
			batch.Queue(addAccess, accessValues(&lines[i])...)
		}
		return conn.SendBatch(ctx, batch).Close()
	})
	if err != nil {
		return fmt.Errorf("%d lines of the access record: %w", len(lines), err)
	}
	return nil
}

// Accesses returns lines of the access record, the newest minute first.
func (p *Pool) Accesses(ctx context.Context, f directory.AccessFilter) ([]directory.Access, error) {
	scan := func(row pgx.CollectableRow) (a directory.Access, err error) {
		var from, to *time.Time
		err = row.Scan(&a.Key, &a.First, &a.Last, &a.Count, &a.Subject, &a.Account, &a.Role, &a.Site, &a.Operation, &a.Selection,
			&from, &to, &a.Status, &a.Source, &a.RequestID)
		if from != nil {
			a.From = *from
		}
		if to != nil {
			a.To = *to
		}
		return a, err
	}
	// A line begins in its minute. It is within the range if one of its reads may be.
	return findAll(ctx, p, "access record", scan, `SELECT r.key, r.first, r.last, r.count, r.subject,
			coalesce((SELECT a.name FROM account a WHERE a.id::text = r.subject), ''), r.role, r.site, r.operation, r.selection,
			r.selected_from, r.selected_to, r.status, r.source, r.request_id
		FROM access_record r
		WHERE ($1::text[] IS NULL OR r.site = ANY ($1)) AND ($2 = '' OR r.subject = $2) AND ($3 = '' OR r.operation = $3)
			AND ($4::timestamptz IS NULL OR r.minute > $4::timestamptz - interval '1 minute' AND r.last >= $4)
			AND ($5::timestamptz IS NULL OR r.minute < $5 AND r.first < $5)
			AND ($6::timestamptz IS NULL OR (r.minute, r.key) < ($6, $7))
		ORDER BY r.minute DESC, r.key DESC LIMIT $8`, customPlan,
		toStrings(f.Sites), f.Subject, f.Operation, orNull(f.From), orNull(f.To), orNull(f.Before), f.BeforeKey, f.Limit)
}

// DropAccesses drops the lines of the access record of the days before the last days; 0 is
// for ever. It returns the number of dropped chunks, or of deleted rows without the extension.
func (p *Pool) DropAccesses(ctx context.Context, days int) (dropped int, err error) {
	if days == 0 {
		return 0, nil
	}
	t := retainedTable{name: "access_record", timeColumn: "minute", days: days}
	var flavour Flavour
	err = p.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		return conn.QueryRow(ctx, `SELECT flavour, date_trunc('day', now() - make_interval(days => $1)) FROM database_choice`, days).
			Scan(&flavour, &t.since)
	})
	if err == nil && flavour == FlavourTimescale {
		// With the Timescale licence too: nothing that is derived from the lines delays it.
		dropped, err = p.dropChunks(ctx, t)
	} else if err == nil {
		dropped, err = p.deleteAccesses(ctx, t)
	}
	if err != nil {
		return dropped, fmt.Errorf("retention of %s before %v: %w", t.name, t.since, err)
	}
	return dropped, nil
}

// deleteAccesses deletes a part of the rows before the table's start; the next call deletes
// more.
func (p *Pool) deleteAccesses(ctx context.Context, t retainedTable) (deleted int, err error) {
	const most = 50_000
	err = p.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		tag, err := conn.Exec(ctx, `DELETE FROM access_record WHERE ctid = ANY (ARRAY(
			SELECT ctid FROM access_record WHERE minute < $1 LIMIT $2))`, t.since, most)
		deleted = int(tag.RowsAffected())
		return err
	})
	return deleted, err
}
