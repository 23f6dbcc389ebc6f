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

func orZero(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}

// orNull is null for no time.
func orNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// Gateways returns a site's gateways after page.After, in the order of their names.
func (p *Pool) Gateways(ctx context.Context, site telemetry.SiteID, page directory.Page) (gateways []directory.Gateway, err error) {
	err = p.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, `SELECT `+gatewayColumns+` FROM gateway WHERE site = $1 AND name > $2 ORDER BY name LIMIT $3`,
			string(site), page.After, page.Limit)
		if err != nil {
			return err
		}
		gateways, err = pgx.CollectRows(rows, scanGateway)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("gateways of site %q: %w", site, err)
	}
	return gateways, nil
}

// Gateway returns a gateway of a site, or telemetry.ErrNotFound.
func (p *Pool) Gateway(ctx context.Context, site telemetry.SiteID, name telemetry.GatewayID) (g directory.Gateway, err error) {
	err = p.do(ctx, func(ctx context.Context, conn *pgx.Conn) (err error) {
		g, err = one(ctx, conn, scanGateway, `SELECT `+gatewayColumns+` FROM gateway WHERE site = $1 AND name = $2`, string(site), string(name))
		return err
	})
	if err != nil {
		return directory.Gateway{}, fmt.Errorf("gateway %q: %w", name, err)
	}
	return g, nil
}

// RegisterGateway adds a gateway with its first key, or takes over one of the same
// site that so far has sent events only.
func (p *Pool) RegisterGateway(ctx context.Context, g directory.Gateway, key directory.GatewayKey, entry trail.Entry) (made directory.Gateway, err error) {
	err = p.change(ctx, entry, func(ctx context.Context, tx pgx.Tx) error {
		var there bool
		if err := tx.QueryRow(ctx, "SELECT EXISTS (SELECT FROM site WHERE name = $1)", string(g.Site)).Scan(&there); err != nil {
			return err
		}
		if !there {
			return telemetry.ErrNotFound
		}
		made, err = one(ctx, tx, scanGateway, `INSERT INTO gateway AS g (name, site, site_since, title, registered_at) VALUES ($1, $2, $4, $3, $4)
			ON CONFLICT (name) DO UPDATE SET title = $3, registered_at = $4, version = g.version + 1
			WHERE g.site = $2 AND g.registered_at IS NULL AND g.revoked_at IS NULL RETURNING `+gatewayColumns,
			string(g.Name), string(g.Site), g.Title, g.RegisteredAt)
		if err != nil {
			return taken(err)
		}
		return addKey(ctx, tx, g.Name, key)
	})
	if err != nil {
		return directory.Gateway{}, fmt.Errorf("register gateway %q: %w", g.Name, err)
	}
	return made, nil
}

// taken is for an insert that met a row it may not change.
func taken(err error) error {
	if isNotFound(err) {
		return telemetry.ErrConflict
	}
	return err
}

func addKey(ctx context.Context, tx pgx.Tx, gateway telemetry.GatewayID, key directory.GatewayKey) error {
	_, err := tx.Exec(ctx, `INSERT INTO gateway_key (kid, gateway_id, jwk, created_at, not_after) SELECT $2, id, $3, $4, $5 FROM gateway WHERE name = $1`,
		string(gateway), key.ID, string(key.JWK), key.CreatedAt, orNull(key.NotAfter))
	return err
}

// ChangeGateway sets a gateway's title, and that it is revoked.
func (p *Pool) ChangeGateway(ctx context.Context, g directory.Gateway, from directory.Version, entry trail.Entry) (now directory.Gateway, err error) {
	err = p.change(ctx, entry, func(ctx context.Context, tx pgx.Tx) error {
		now, err = one(ctx, tx, scanGateway, `UPDATE gateway SET title = $3, revoked_at = coalesce(revoked_at, $4), version = version + 1
			WHERE site = $1 AND name = $2 AND ($5 = 0 OR version = $5) RETURNING `+gatewayColumns,
			string(g.Site), string(g.Name), g.Title, orNull(g.RevokedAt), int64(from))
		return versioned(ctx, tx, err, "SELECT FROM gateway WHERE site = $1 AND name = $2", string(g.Site), string(g.Name))
	})
	if err != nil {
		return directory.Gateway{}, fmt.Errorf("change gateway %q: %w", g.Name, err)
	}
	return now, nil
}

// GatewayKeys returns a gateway's keys, the newest first.
func (p *Pool) GatewayKeys(ctx context.Context, site telemetry.SiteID, gateway telemetry.GatewayID) (keys []directory.GatewayKey, err error) {
	if _, err := p.Gateway(ctx, site, gateway); err != nil {
		return nil, err
	}
	err = p.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, `SELECT k.kid, k.jwk::text, k.created_at, k.not_after FROM gateway_key k JOIN gateway g ON g.id = k.gateway_id
			WHERE g.site = $1 AND g.name = $2 ORDER BY k.created_at DESC, k.kid LIMIT 100`, string(site), string(gateway))
		if err != nil {
			return err
		}
		keys, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (k directory.GatewayKey, err error) {
			var jwk string
			var notAfter *time.Time
			err = row.Scan(&k.ID, &jwk, &k.CreatedAt, &notAfter)
			k.JWK, k.NotAfter = json.RawMessage(jwk), orZero(notAfter)
			return k, err
		})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("keys of gateway %q: %w", gateway, err)
	}
	return keys, nil
}

// AddGatewayKey adds a key to a gateway that is not revoked; the others end at that time
// at the latest.
func (p *Pool) AddGatewayKey(ctx context.Context, site telemetry.SiteID, gateway telemetry.GatewayID, key directory.GatewayKey, others time.Time, entry trail.Entry) error {
	err := p.change(ctx, entry, func(ctx context.Context, tx pgx.Tx) error {
		// The version counts the rotation; the row's lock puts two at once in order.
		g, err := one(ctx, tx, scanGateway, `UPDATE gateway SET version = version + 1, registered_at = coalesce(registered_at, $3)
			WHERE site = $1 AND name = $2 RETURNING `+gatewayColumns, string(site), string(gateway), key.CreatedAt)
		if err != nil {
			return err
		}
		if !g.RevokedAt.IsZero() {
			return telemetry.ErrConflict
		}
		if _, err := tx.Exec(ctx, `UPDATE gateway_key SET not_after = least(coalesce(not_after, $2), $2)
			WHERE gateway_id = (SELECT id FROM gateway WHERE name = $1)`, string(gateway), others); err != nil {
			return err
		}
		return addKey(ctx, tx, gateway, key)
	})
	if err != nil {
		return fmt.Errorf("key of gateway %q: %w", gateway, err)
	}
	return nil
}

// RemoveGatewayKey ends a key now.
func (p *Pool) RemoveGatewayKey(ctx context.Context, site telemetry.SiteID, gateway telemetry.GatewayID, keyID string, entry trail.Entry) error {
	err := p.change(ctx, entry, func(ctx context.Context, tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `UPDATE gateway_key k SET not_after = least(coalesce(not_after, $4), $4) FROM gateway g
			WHERE g.id = k.gateway_id AND g.site = $1 AND g.name = $2 AND k.kid = $3`, string(site), string(gateway), keyID, entry.Time.Time())
		if err == nil && tag.RowsAffected() == 0 {
			return telemetry.ErrNotFound
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("key of gateway %q: %w", gateway, err)
	}
	return nil
}
