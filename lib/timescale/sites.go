package timescale

import (
	"context"
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
func (p *Pool) Sites(ctx context.Context, names []telemetry.SiteID, page directory.Page) ([]directory.Site, error) {
	return findAll(ctx, p, "sites", scanSite, `SELECT `+siteColumns+` FROM site
		WHERE name > $1 AND ($2::text[] IS NULL OR name = ANY ($2)) ORDER BY name LIMIT $3`, page.After, toStrings(names), page.Limit)
}

// Site returns a site, or telemetry.ErrNotFound.
func (p *Pool) Site(ctx context.Context, name telemetry.SiteID) (directory.Site, error) {
	return findOne(ctx, p, fmt.Sprintf("site %q", name), scanSite, `SELECT `+siteColumns+` FROM site WHERE name = $1`, string(name))
}

// SiteExists reports whether there is a site of that name. One that nobody created exists
// as well when a gateway of it has sent events, with a token of another issuer.
func (p *Pool) SiteExists(ctx context.Context, name telemetry.SiteID) (bool, error) {
	return findOne(ctx, p, fmt.Sprintf("site %q", name), pgx.RowTo[bool], `SELECT EXISTS (SELECT FROM site WHERE name = $1)
		OR EXISTS (SELECT FROM gateway WHERE site = $1)`, string(name))
}

// CreateSite adds a site. telemetry.ErrConflict: the name is in use, or there are
// directory.MaxSites.
func (p *Pool) CreateSite(ctx context.Context, s directory.Site, entry trail.Entry) (created directory.Site, err error) {
	err = p.change(ctx, entry, func(ctx context.Context, tx pgx.Tx) (err error) {
		if err := room(ctx, tx, "sites", "The platform has at most %d sites.", directory.MaxSites, "FROM site"); err != nil {
			return err
		}
		created, err = queryOne(ctx, tx, scanSite, `INSERT INTO site (name, title, time_zone) VALUES ($1, $2, $3) RETURNING `+siteColumns,
			string(s.Name), s.Title, s.TimeZone)
		return err
	})
	if err != nil {
		return directory.Site{}, fmt.Errorf("create site %q: %w", s.Name, err)
	}
	return created, nil
}

// ChangeSite sets a site's title and time zone. It expects the version from, 0 for any.
func (p *Pool) ChangeSite(
	ctx context.Context, s directory.Site, from directory.Version, entry trail.Entry,
) (changed directory.Site, err error) {
	err = p.change(ctx, entry, func(ctx context.Context, tx pgx.Tx) (err error) {
		changed, err = queryOne(ctx, tx, scanSite, `UPDATE site SET title = $2, time_zone = $3, version = version + 1, updated_at = now()
			WHERE name = $1 AND ($4::bigint = 0 OR version = $4) RETURNING `+siteColumns, string(s.Name), s.Title, s.TimeZone, int64(from))
		return versionConflict(ctx, tx, err, "SELECT FROM site WHERE name = $1", string(s.Name))
	})
	if err != nil {
		return directory.Site{}, fmt.Errorf("change site %q: %w", s.Name, err)
	}
	return changed, nil
}
