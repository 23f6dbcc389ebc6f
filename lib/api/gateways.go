package api

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/naming"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/token"
	"github.com/insighthub/insighthub/lib/trail"
)

// Gateways stores gateways. A gateway of another site is telemetry.ErrNotFound.
type Gateways interface {
	Gateways(ctx context.Context, site telemetry.SiteID, page directory.Page) ([]directory.Gateway, error)
	Gateway(ctx context.Context, site telemetry.SiteID, name telemetry.GatewayID) (directory.Gateway, error)
	// RegisterGateway adds a gateway with its first key, or registers one of the same
	// site that was created by its first events. telemetry.ErrConflict when the name or
	// the key is taken, telemetry.ErrNotFound when the site does not exist.
	RegisterGateway(ctx context.Context, g directory.Gateway, key directory.GatewayKey, entry trail.Entry) (directory.Gateway, error)
	// ChangeGateway sets the title, and RevokedAt unless it is zero: a revocation is
	// final.
	ChangeGateway(ctx context.Context, g directory.Gateway, from directory.Version, entry trail.Entry) (directory.Gateway, error)
}

// GatewayKeys stores the keys of gateways.
type GatewayKeys interface {
	GatewayKeys(ctx context.Context, site telemetry.SiteID, gateway telemetry.GatewayID) ([]directory.GatewayKey, error)
	// AddGatewayKey adds a key; the present keys expire at othersExpire or earlier. A
	// revoked gateway and a key that is taken are telemetry.ErrConflict.
	AddGatewayKey(ctx context.Context, site telemetry.SiteID, gateway telemetry.GatewayID,
		key directory.GatewayKey, othersExpire time.Time, entry trail.Entry) error
	// RemoveGatewayKey makes a key invalid at once.
	RemoveGatewayKey(ctx context.Context, site telemetry.SiteID, gateway telemetry.GatewayID, keyID string, entry trail.Entry) error
}

func (h *Handler) gatewayRoutes() []route {
	const all, one = "/v1/sites/{site}/gateways", "/v1/sites/{site}/gateways/{gateway}"
	return []route{
		{pattern: "GET " + all, role: directory.Viewer, serve: h.listGateways, parameters: pages()},
		{pattern: "POST " + all, role: directory.Admin, serve: h.registerGateway, create: true},
		{pattern: "GET " + one, role: directory.Viewer, serve: h.getGateway},
		{pattern: "PUT " + one, role: directory.Admin, serve: h.changeGateway},
		{pattern: "DELETE " + one, role: directory.Admin, serve: h.revokeGateway},
		{pattern: "GET " + one + "/keys", role: directory.Viewer, serve: h.listGatewayKeys},
		{pattern: "POST " + one + "/keys", role: directory.Admin, serve: h.rotateGatewayKey, create: true},
		{pattern: "DELETE " + one + "/keys/{key}", role: directory.Admin, serve: h.removeGatewayKey},
	}
}

type gatewayDocument struct {
	Name         telemetry.GatewayID `json:"name"`
	Site         telemetry.SiteID    `json:"site"`
	Title        string              `json:"title"`
	RegisteredAt *time.Time          `json:"registered_at"`
	RevokedAt    *time.Time          `json:"revoked_at"`
}

func viewGateway(g directory.Gateway) (any, directory.Version) {
	return gatewayDocument{g.Name, g.Site, g.Title, optionalTime(g.RegisteredAt), optionalTime(g.RevokedAt)}, g.Version
}

func (c *call) gateway() telemetry.GatewayID { return telemetry.GatewayID(c.PathValue("gateway")) }

func gatewayPath(site telemetry.SiteID, gateway telemetry.GatewayID) string {
	return "sites/" + string(site) + "/gateways/" + string(gateway)
}

func (h *Handler) listGateways(c *call) error {
	key := func(g directory.Gateway) string { return string(g.Name) }
	return list(c, "gateways of "+string(c.site()), viewGateway, key, func(p directory.Page) ([]directory.Gateway, error) {
		return h.config.Gateways.Gateways(c.Context(), c.site(), p)
	})
}

func (h *Handler) getGateway(c *call) error {
	g, err := h.config.Gateways.Gateway(c.Context(), c.site(), c.gateway())
	return respond(c, http.StatusOK, viewGateway, g, err)
}

// publicKey checks the JWK of a key that is to be registered.
func (c *call) publicKey(jwk json.RawMessage, f *fields) directory.GatewayKey {
	key, id, err := token.ParsePublicKey(jwk)
	f.require(err == nil, "key", "must be the public JWK of an ECDSA key: kty EC, crv P-256, x and y, and no d")
	if err != nil {
		return directory.GatewayKey{}
	}
	// Members that do not belong to the key are not stored.
	plain, err := token.MarshalPublicKey(key)
	f.require(err == nil, "key", "must be a key of P-256")
	return directory.GatewayKey{ID: id, JWK: plain, CreatedAt: c.now}
}

func (h *Handler) registerGateway(c *call) error {
	var request struct {
		Name  telemetry.GatewayID `json:"name" required:""`
		Title string              `json:"title"`
		Key   json.RawMessage     `json:"key" required:""`
	}
	var key directory.GatewayKey
	err := c.body(&request, func(f *fields) {
		newName(f, request.Name)
		f.require(!isUUID(string(request.Name)) && !strings.Contains(string(request.Name), "|"), "name",
			"must not be a UUID or have a |: the subjects of people have these forms")
		f.text("title", request.Title)
		key = c.publicKey(request.Key, f)
	})
	if err != nil {
		return err
	}
	if err := h.mayName(c, request.Name); err != nil {
		return err
	}
	entry := c.entry("gateway.register", gatewayPath(c.site(), request.Name), c.site(),
		map[string]string{"title": request.Title, "kid": key.ID})
	g, err := h.config.Gateways.RegisterGateway(c.Context(), directory.Gateway{
		Name: request.Name, Site: c.site(), Title: request.Title, RegisteredAt: c.now,
	}, key, entry)
	return respond(c, http.StatusCreated, viewGateway, g, err)
}

// mayName reports whether the caller may register a gateway of that name at the path's site.
//
// A gateway's name identifies its events, so it is taken for all sites. Administrators of
// single sites must not find out by a conflict what another site calls its gateways: they give
// names that begin with their site, which nobody else gives, and the names of gateways that
// their site has already. The response to any other name does not depend on who has it.
func (h *Handler) mayName(c *call, name telemetry.GatewayID) error {
	site, own := naming.SiteOf(string(name))
	if own && site == string(c.site()) {
		return nil
	}
	if !c.caller.MayEverywhere(directory.Admin) {
		_, err := h.config.Gateways.Gateway(c.Context(), c.site(), name)
		if !errors.Is(err, telemetry.ErrNotFound) {
			return err
		}
		return unprocessable("name: must begin with %q, as in %q: names of another form are given by administrators of every site.",
			string(c.site())+naming.SiteSeparator, string(c.site())+naming.SiteSeparator+"gateway-1")
	}
	if !own || h.config.Sites == nil {
		return nil
	}
	switch _, err := h.config.Sites.Site(c.Context(), telemetry.SiteID(site)); {
	case err == nil:
		return unprocessable("name: belongs to the site %q.", site)
	case errors.Is(err, telemetry.ErrNotFound):
		return nil
	default:
		return err
	}
}

func (h *Handler) changeGateway(c *call) error {
	from, err := c.version()
	if err != nil {
		return err
	}
	var request struct {
		Title string `json:"title"`
	}
	if err := c.body(&request, func(f *fields) { f.text("title", request.Title) }); err != nil {
		return err
	}
	return h.saveGateway(c, directory.Gateway{Name: c.gateway(), Site: c.site(), Title: request.Title}, from, "gateway.change", request)
}

// revokeGateway makes a gateway unable to get tokens. Its events remain.
func (h *Handler) revokeGateway(c *call) error {
	from, err := c.version()
	if err != nil {
		return err
	}
	g, err := h.config.Gateways.Gateway(c.Context(), c.site(), c.gateway())
	if err != nil {
		return err
	}
	g.RevokedAt = c.now
	return h.saveGateway(c, g, from, "gateway.revoke", nil)
}

func (h *Handler) saveGateway(c *call, g directory.Gateway, from directory.Version, action trail.Action, detail any) error {
	g, err := h.config.Gateways.ChangeGateway(c.Context(), g, from, c.entry(action, gatewayPath(g.Site, g.Name), g.Site, detail))
	if !g.RevokedAt.IsZero() {
		err = h.deny(c, err)
	}
	return respond(c, http.StatusOK, viewGateway, g, err)
}

type gatewayKeyDocument struct {
	ID        string          `json:"kid"`
	Key       json.RawMessage `json:"key"`
	CreatedAt time.Time       `json:"created_at"`
	NotAfter  *time.Time      `json:"not_after"`
}

// viewGatewayKey gives every key version 1: a key does not change.
func viewGatewayKey(k directory.GatewayKey) (any, directory.Version) {
	return gatewayKeyDocument{k.ID, k.JWK, k.CreatedAt.UTC(), optionalTime(k.NotAfter)}, 1
}

func (h *Handler) listGatewayKeys(c *call) error {
	keys, err := h.config.GatewayKeys.GatewayKeys(c.Context(), c.site(), c.gateway())
	if err != nil {
		return err
	}
	return respondPage(c, "keys", directory.Page{}, keys, documentOf(viewGatewayKey), nil) // all on one page
}

const (
	defaultKeyGrace = 3600 // s
	maxKeyGrace     = 30 * 86400
)

// rotateGatewayKey adds a key; the present keys stay valid until the gateway has switched.
func (h *Handler) rotateGatewayKey(c *call) error {
	var request struct {
		Key   json.RawMessage `json:"key" required:""`
		Grace *int            `json:"others_end_after_seconds" nullable:""`
	}
	seconds := defaultKeyGrace
	var key directory.GatewayKey
	err := c.body(&request, func(f *fields) {
		if request.Grace != nil {
			seconds = *request.Grace
		}
		f.require(seconds >= 0 && seconds <= maxKeyGrace, "others_end_after_seconds", fmt.Sprintf("must be 0 to %d", maxKeyGrace))
		key = c.publicKey(request.Key, f)
	})
	if err != nil {
		return err
	}
	othersExpire := c.now.Add(time.Duration(seconds) * time.Second)
	entry := c.entry("gateway.rotate", gatewayPath(c.site(), c.gateway()), c.site(),
		map[string]any{"kid": key.ID, "others_end": othersExpire.UTC()})
	err = h.config.GatewayKeys.AddGatewayKey(c.Context(), c.site(), c.gateway(), key, othersExpire, entry)
	if seconds == 0 {
		err = h.deny(c, err)
	}
	return respond(c, http.StatusCreated, viewGatewayKey, key, err)
}

func (h *Handler) removeGatewayKey(c *call) error {
	if from, err := c.optionalVersion(); err != nil || from > 1 {
		return cmp.Or[error](err, directory.ErrVersion) // a key does not change: its version is 1
	}
	kid := c.PathValue("key")
	entry := c.entry("gateway.remove_key", gatewayPath(c.site(), c.gateway()), c.site(), map[string]string{"kid": kid})
	return c.noContent(h.deny(c, h.config.GatewayKeys.RemoveGatewayKey(c.Context(), c.site(), c.gateway(), kid, entry)))
}
