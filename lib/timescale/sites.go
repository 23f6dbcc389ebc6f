package timescale

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/trail"
)

const siteColumns = "name, title, time_zone, version, created_at, updated_at"

func scanSite(row pgx.CollectableRow) (s directory.Site, err error) {
	err = row.Scan(&s.Name, &s.Title, &s.TimeZone, &s.Version, &s.CreatedAt, &s.Changed)
	return s, err
}

// Sites returns the sites with the given names (nil: all) after page.After, in the
// order of their names.
func (p *Pool) Sites(ctx context.Context, names []telemetry.SiteID, page directory.Page) (sites []directory.Site, err error) {
	err = p.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, `SELECT `+siteColumns+` FROM site WHERE name > $1 AND ($2::text[] IS NULL OR name = ANY ($2)) ORDER BY name LIMIT $3`,
			page.After, texts(names), page.Limit)
		if err != nil {
			return err
		}
		sites, err = pgx.CollectRows(rows, scanSite)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("sites: %w", err)
	}
	return sites, nil
}

// texts turns names into what the driver knows; nil stays nil.
func texts[T ~string](names []T) []string {
	if names == nil {
		return nil
	}
	out := make([]string, len(names))
	for i, name := range names {
		out[i] = string(name)
	}
	return out
}

// Site returns a site, or telemetry.ErrNotFound.
func (p *Pool) Site(ctx context.Context, name telemetry.SiteID) (s directory.Site, err error) {
	err = p.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		s, err = one(ctx, conn, scanSite, `SELECT `+siteColumns+` FROM site WHERE name = $1`, string(name))
		return err
	})
	if err != nil {
		return directory.Site{}, fmt.Errorf("site %q: %w", name, err)
	}
	return s, nil
}

// querier is a connection or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// one returns the row of a query, or telemetry.ErrNotFound.
func one[T any](ctx context.Context, q querier, scan pgx.RowToFunc[T], sql string, args ...any) (T, error) {
	var none T
	rows, err := q.Query(ctx, sql, args...)
	if err != nil {
		return none, err
	}
	v, err := pgx.CollectExactlyOneRow(rows, scan)
	if errors.Is(err, pgx.ErrNoRows) {
		return none, telemetry.ErrNotFound
	}
	return v, err
}

// versioned tells a row that is not there from one that has another version by now.
func versioned(ctx context.Context, tx pgx.Tx, err error, exists string, args ...any) error {
	if !errors.Is(err, telemetry.ErrNotFound) {
		return err
	}
	var there bool
	if err := tx.QueryRow(ctx, "SELECT EXISTS ("+exists+")", args...).Scan(&there); err != nil {
		return err
	}
	if there {
		return directory.ErrVersion
	}
	return telemetry.ErrNotFound
}

// CreateSite adds a site; telemetry.ErrConflict when there is one of that name.
func (p *Pool) CreateSite(ctx context.Context, s directory.Site, entry trail.Entry) (made directory.Site, err error) {
	err = p.change(ctx, entry, func(ctx context.Context, tx pgx.Tx) (err error) {
		made, err = one(ctx, tx, scanSite, `INSERT INTO site (name, title, time_zone) VALUES ($1, $2, $3) RETURNING `+siteColumns,
			string(s.Name), s.Title, s.TimeZone)
		return err
	})
	if err != nil {
		return directory.Site{}, fmt.Errorf("create site %q: %w", s.Name, err)
	}
	return made, nil
}

// ChangeSite changes a site's title and time zone from a version, 0 for any.
func (p *Pool) ChangeSite(ctx context.Context, s directory.Site, from directory.Version, entry trail.Entry) (now directory.Site, err error) {
	err = p.change(ctx, entry, func(ctx context.Context, tx pgx.Tx) (err error) {
		now, err = one(ctx, tx, scanSite, `UPDATE site SET title = $2, time_zone = $3, version = version + 1, updated_at = now()
			WHERE name = $1 AND ($4 = 0 OR version = $4) RETURNING `+siteColumns, string(s.Name), s.Title, s.TimeZone, int64(from))
		return versioned(ctx, tx, err, "SELECT FROM site WHERE name = $1", string(s.Name))
	})
	if err != nil {
		return directory.Site{}, fmt.Errorf("change site %q: %w", s.Name, err)
	}
	return now, nil
}
