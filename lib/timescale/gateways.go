package timescale

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/trail"
)

const gatewayColumns = "name, site, title, registered_at, revoked_at, version"

func scanGateway(row pgx.CollectableRow) (g directory.Gateway, err error) {
	var registered, revoked *time.Time
	err = row.Scan(&g.Name, &g.Site, &g.Title, &registered, &revoked, &g.Version)
	g.RegisteredAt, g.RevokedAt = orZero(registered), orZero(revoked)
	return g, err
}

// orZero returns the zero time for null.
func orZero(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}

// orNull returns null for the zero time.
func orNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// Gateways returns a site's gateways after page.After, in the order of their names.
func (p *Pool) Gateways(ctx context.Context, site telemetry.SiteID, page directory.Page) ([]directory.Gateway, error) {
	return findAll(ctx, p, fmt.Sprintf("gateways of site %q", site), scanGateway,
		`SELECT `+gatewayColumns+` FROM gateway WHERE site = $1 AND name > $2 ORDER BY name LIMIT $3`, string(site), page.After, page.Limit)
}

// Gateway returns a gateway of a site, or telemetry.ErrNotFound.
func (p *Pool) Gateway(ctx context.Context, site telemetry.SiteID, name telemetry.GatewayID) (directory.Gateway, error) {
	return findOne(ctx, p, fmt.Sprintf("gateway %q", name), scanGateway,
		`SELECT `+gatewayColumns+` FROM gateway WHERE site = $1 AND name = $2`, string(site), string(name))
}

// RegisterGateway adds a gateway with its first key. A gateway of the same site that
// has sent events but is not registered yet becomes registered. telemetry.ErrNotFound:
// there is no such site. telemetry.ErrConflict: the name is in use, or the site has
// directory.MaxGateways.
func (p *Pool) RegisterGateway(
	ctx context.Context, g directory.Gateway, key directory.GatewayKey, entry trail.Entry,
) (registered directory.Gateway, err error) {
	err = p.change(ctx, entry, func(ctx context.Context, tx pgx.Tx) error {
		if _, err := queryOne(ctx, tx, pgx.RowTo[string], "SELECT name FROM site WHERE name = $1", string(g.Site)); err != nil {
			return err
		}
		if err := room(ctx, tx, "gateways of "+string(g.Site), "A site has at most %d gateways.", directory.MaxGateways,
			"FROM gateway WHERE site = $1 AND name <> $2", string(g.Site), string(g.Name)); err != nil {
			return err
		}
		registered, err = queryOne(ctx, tx, scanGateway, `INSERT INTO gateway AS g (name, site, site_since, title, registered_at)
			VALUES ($1, $2, $4, $3, $4)
			ON CONFLICT (name) DO UPDATE SET title = $3, registered_at = $4, version = g.version + 1
			WHERE g.site = $2 AND g.registered_at IS NULL AND g.revoked_at IS NULL RETURNING `+gatewayColumns,
			string(g.Name), string(g.Site), g.Title, g.RegisteredAt)
		if isNotFound(err) { // the row exists and does not satisfy the WHERE clause
			return telemetry.ErrConflict
		}
		if err != nil {
			return err
		}
		return addKey(ctx, tx, g.Name, key)
	})
	if err != nil {
		return directory.Gateway{}, fmt.Errorf("register gateway %q: %w", g.Name, err)
	}
	return registered, nil
}

// addKey adds a key that no gateway of the same site has.
func addKey(ctx context.Context, tx pgx.Tx, gateway telemetry.GatewayID, key directory.GatewayKey) error {
	taken, err := queryOne(ctx, tx, pgx.RowTo[bool], `SELECT EXISTS (SELECT FROM gateway_key k
		JOIN gateway g ON g.id = k.gateway_id JOIN gateway own ON own.site = g.site
		WHERE k.kid = $1 AND own.name = $2)`, key.ID, string(gateway))
	if err != nil {
		return err
	}
	if taken {
		return telemetry.ErrConflict
	}
	_, err = tx.Exec(ctx, `INSERT INTO gateway_key (kid, gateway_id, jwk, created_at, not_after)
		SELECT $2, id, $3, $4, $5 FROM gateway WHERE name = $1`,
		string(gateway), key.ID, string(key.JWK), key.CreatedAt, orNull(key.NotAfter))
	return err
}

// ChangeGateway sets a gateway's title, and revokes it if g.RevokedAt is set. It expects
// the version from, 0 for any.
func (p *Pool) ChangeGateway(
	ctx context.Context, g directory.Gateway, from directory.Version, entry trail.Entry,
) (changed directory.Gateway, err error) {
	err = p.change(ctx, entry, func(ctx context.Context, tx pgx.Tx) error {
		changed, err = queryOne(ctx, tx, scanGateway,
			`UPDATE gateway SET title = $3, revoked_at = coalesce(revoked_at, $4), version = version + 1
			WHERE site = $1 AND name = $2 AND ($5::bigint = 0 OR version = $5) RETURNING `+gatewayColumns,
			string(g.Site), string(g.Name), g.Title, orNull(g.RevokedAt), int64(from))
		if err != nil {
			return versionConflict(ctx, tx, err, "SELECT FROM gateway WHERE site = $1 AND name = $2", string(g.Site), string(g.Name))
		}
		if g.RevokedAt.IsZero() {
			return nil
		}
		return denyGateway(ctx, tx, g.Name)
	})
	if err != nil {
		return directory.Gateway{}, fmt.Errorf("change gateway %q: %w", g.Name, err)
	}
	return changed, nil
}

// denyGateway denies the access tokens that the gateway has. The caller has raised its version.
func denyGateway(ctx context.Context, tx pgx.Tx, gateway telemetry.GatewayID) error {
	return denyVersions(ctx, tx, "SELECT name, version FROM gateway WHERE name = $1", string(gateway))
}

// GatewayKeys returns a gateway's keys, the newest first.
func (p *Pool) GatewayKeys(ctx context.Context, site telemetry.SiteID, gateway telemetry.GatewayID) ([]directory.GatewayKey, error) {
	if _, err := p.Gateway(ctx, site, gateway); err != nil {
		return nil, err
	}
	return findAll(ctx, p, fmt.Sprintf("keys of gateway %q", gateway), func(row pgx.CollectableRow) (k directory.GatewayKey, err error) {
		var jwk string
		var notAfter *time.Time
		err = row.Scan(&k.ID, &jwk, &k.CreatedAt, &notAfter)
		k.JWK, k.NotAfter = json.RawMessage(jwk), orZero(notAfter)
		return k, err
	}, `SELECT k.kid, k.jwk::text, k.created_at, k.not_after FROM gateway_key k JOIN gateway g ON g.id = k.gateway_id
		WHERE g.site = $1 AND g.name = $2 ORDER BY k.created_at DESC, k.kid LIMIT $3`,
		string(site), string(gateway), directory.MaxGatewayKeys)
}

// AddGatewayKey adds a key to a gateway that is not revoked (telemetry.ErrConflict) and has
// fewer than directory.MaxGatewayKeys, of which fewer than directory.MaxValidKeys are valid.
// Its other keys expire at the time others at the latest.
func (p *Pool) AddGatewayKey(
	ctx context.Context, site telemetry.SiteID, gateway telemetry.GatewayID, key directory.GatewayKey, others time.Time, entry trail.Entry,
) error {
	err := p.change(ctx, entry, func(ctx context.Context, tx pgx.Tx) error {
		// A rotation counts as a version; the row lock serializes concurrent rotations.
		g, err := queryOne(ctx, tx, scanGateway, `UPDATE gateway SET version = version + 1, registered_at = coalesce(registered_at, $3)
			WHERE site = $1 AND name = $2 RETURNING `+gatewayColumns, string(site), string(gateway), key.CreatedAt)
		if err != nil {
			return err
		}
		if !g.RevokedAt.IsZero() {
			return telemetry.ErrConflict
		}
		const keys = "FROM gateway_key k JOIN gateway g ON g.id = k.gateway_id WHERE g.name = $1"
		if err := room(ctx, tx, "keys of "+string(gateway), "A gateway has at most %d keys, expired ones included.",
			directory.MaxGatewayKeys, keys, string(gateway)); err != nil {
			return err
		}
		if err := room(ctx, tx, "keys of "+string(gateway), "A gateway has at most %d keys that are valid. Remove one first.",
			directory.MaxValidKeys, keys+" AND (k.not_after IS NULL OR k.not_after > $2)", string(gateway), key.CreatedAt); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `UPDATE gateway_key SET not_after = least(coalesce(not_after, $2), $2)
			WHERE gateway_id = (SELECT id FROM gateway WHERE name = $1)`, string(gateway), others); err != nil {
			return err
		}
		if err := addKey(ctx, tx, gateway, key); err != nil {
			return err
		}
		if others.After(key.CreatedAt) {
			return nil // the other keys are valid for some time, and so are their tokens
		}
		return denyGateway(ctx, tx, gateway)
	})
	if err != nil {
		return fmt.Errorf("key of gateway %q: %w", gateway, err)
	}
	return nil
}

// RemoveGatewayKey makes a key expire now. It counts as a version of the gateway: which key a
// token was issued for is not known, so that all present tokens are denied.
func (p *Pool) RemoveGatewayKey(
	ctx context.Context, site telemetry.SiteID, gateway telemetry.GatewayID, keyID string, entry trail.Entry,
) error {
	err := p.change(ctx, entry, func(ctx context.Context, tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `UPDATE gateway_key k SET not_after = least(coalesce(not_after, $4), $4) FROM gateway g
			WHERE g.id = k.gateway_id AND g.site = $1 AND g.name = $2 AND k.kid = $3`,
			string(site), string(gateway), keyID, entry.Time.Time())
		if err == nil && tag.RowsAffected() == 0 {
			return telemetry.ErrNotFound
		}
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, "UPDATE gateway SET version = version + 1 WHERE site = $1 AND name = $2",
			string(site), string(gateway)); err != nil {
			return err
		}
		return denyGateway(ctx, tx, gateway)
	})
	if err != nil {
		return fmt.Errorf("key of gateway %q: %w", gateway, err)
	}
	return nil
}
