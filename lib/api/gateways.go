package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/token"
	"github.com/insighthub/insighthub/lib/trail"
)

// Gateways keeps gateways. A gateway of another site is telemetry.ErrNotFound.
type Gateways interface {
	Gateways(ctx context.Context, site telemetry.SiteID, page directory.Page) ([]directory.Gateway, error)
	Gateway(ctx context.Context, site telemetry.SiteID, name telemetry.GatewayID) (directory.Gateway, error)
	// RegisterGateway adds a gateway with its first key, or takes over one of the
	// same site that so far has sent events only. telemetry.ErrConflict when the name or the
	// key is taken, telemetry.ErrNotFound when there is no such site.
	RegisterGateway(ctx context.Context, g directory.Gateway, key directory.GatewayKey, entry trail.Entry) (directory.Gateway, error)
	// ChangeGateway sets the title, and RevokedAt if it is not zero: a revoked gateway
	// stays so.
	ChangeGateway(ctx context.Context, g directory.Gateway, from directory.Version, entry trail.Entry) (directory.Gateway, error)
}

// GatewayKeys keeps the keys of gateways.
type GatewayKeys interface {
	GatewayKeys(ctx context.Context, site telemetry.SiteID, gateway telemetry.GatewayID) ([]directory.GatewayKey, error)
	// AddGatewayKey adds a key; those at hand are good until others at most. A revoked
	// gateway and a key that is taken are telemetry.ErrConflict.
	AddGatewayKey(ctx context.Context, site telemetry.SiteID, gateway telemetry.GatewayID, key directory.GatewayKey, others time.Time, entry trail.Entry) error
	// RemoveGatewayKey ends a key now.
	RemoveGatewayKey(ctx context.Context, site telemetry.SiteID, gateway telemetry.GatewayID, keyID string, entry trail.Entry) error
}

func (h *Handler) gatewayRoutes() []route {
	const list, one = "/v1/sites/{site}/gateways", "/v1/sites/{site}/gateways/{gateway}"
	return []route{
		{pattern: "GET " + list, role: directory.Viewer, serve: h.listGateways},
		{pattern: "POST " + list, role: directory.Admin, serve: h.registerGateway, create: true},
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

func documentOfGateway(g directory.Gateway) gatewayDocument {
	return gatewayDocument{g.Name, g.Site, g.Title, optional(g.RegisteredAt), optional(g.RevokedAt)}
}

// optional is null for no time.
func optional(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

func (c *call) site() telemetry.SiteID       { return telemetry.SiteID(c.PathValue("site")) }
func (c *call) gateway() telemetry.GatewayID { return telemetry.GatewayID(c.PathValue("gateway")) }

func gatewayPath(site telemetry.SiteID, gateway telemetry.GatewayID) string {
	return "sites/" + string(site) + "/gateways/" + string(gateway)
}

func (h *Handler) listGateways(c *call) error {
	list := "gateways of " + string(c.site())
	p, err := c.page(list)
	if err != nil {
		return err
	}
	gateways, err := h.config.Gateways.Gateways(c.Context(), c.site(), p)
	if err != nil {
		return err
	}
	return answerPage(c, list, p, gateways, documentOfGateway, func(g directory.Gateway) string { return string(g.Name) })
}

func (h *Handler) getGateway(c *call) error {
	g, err := h.config.Gateways.Gateway(c.Context(), c.site(), c.gateway())
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, documentOfGateway(g), g.Version)
}

// publicKey checks a JWK that somebody registers.
func (c *call) publicKey(jwk json.RawMessage, f *fields) directory.GatewayKey {
	key, id, err := token.ParsePublicKey(jwk)
	f.want(err == nil, "key", "want the public JWK of an ECDSA key: kty EC, crv P-256, x and y, and no d")
	if err != nil {
		return directory.GatewayKey{}
	}
	// Only what is known to be a key is kept.
	plain, err := token.MarshalPublicKey(key)
	f.want(err == nil, "key", "want a key of P-256")
	return directory.GatewayKey{ID: id, JWK: plain, CreatedAt: c.now}
}

func (h *Handler) registerGateway(c *call) error {
	var request struct {
		Name  telemetry.GatewayID `json:"name"`
		Title string              `json:"title"`
		Key   json.RawMessage     `json:"key"`
	}
	if err := c.body(&request); err != nil {
		return err
	}
	var f fields
	f.want(telemetry.ValidName(request.Name) == nil, "name", "want a name of 1 to 128 bytes")
	f.text("title", request.Title)
	key := c.publicKey(request.Key, &f)
	if err := f.err(); err != nil {
		return err
	}
	entry := c.entry("gateway.register", gatewayPath(c.site(), request.Name), c.site(), map[string]string{"title": request.Title, "kid": key.ID})
	g, err := h.config.Gateways.RegisterGateway(c.Context(), directory.Gateway{
		Name: request.Name, Site: c.site(), Title: request.Title, RegisteredAt: c.now,
	}, key, entry)
	if err != nil {
		return err
	}
	return c.answer(http.StatusCreated, documentOfGateway(g), g.Version)
}

func (h *Handler) changeGateway(c *call) error {
	from, err := c.version()
	if err != nil {
		return err
	}
	var request struct {
		Title string `json:"title"`
	}
	if err := c.body(&request); err != nil {
		return err
	}
	var f fields
	f.text("title", request.Title)
	if err := f.err(); err != nil {
		return err
	}
	return h.saveGateway(c, directory.Gateway{Name: c.gateway(), Site: c.site(), Title: request.Title}, from, "gateway.change", request)
}

// revokeGateway ends a gateway: it gets no token any more. What it sent stays.
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
	if err != nil {
		return changed(err)
	}
	return c.answer(http.StatusOK, documentOfGateway(g), g.Version)
}

type gatewayKeyDocument struct {
	ID        string          `json:"kid"`
	Key       json.RawMessage `json:"key"`
	CreatedAt time.Time       `json:"created_at"`
	NotAfter  *time.Time      `json:"not_after"`
}

func documentOfKey(k directory.GatewayKey) gatewayKeyDocument {
	return gatewayKeyDocument{k.ID, k.JWK, k.CreatedAt.UTC(), optional(k.NotAfter)}
}

func (h *Handler) listGatewayKeys(c *call) error {
	keys, err := h.config.GatewayKeys.GatewayKeys(c.Context(), c.site(), c.gateway())
	if err != nil {
		return err
	}
	items := make([]gatewayKeyDocument, len(keys))
	for i, k := range keys {
		items[i] = documentOfKey(k)
	}
	return c.answerList("keys", items, "")
}

const (
	defaultKeyGrace = 3600 // s
	maxKeyGrace     = 30 * 86400
)

// rotateGatewayKey adds a key; the gateway has some time to change over.
func (h *Handler) rotateGatewayKey(c *call) error {
	var request struct {
		Key   json.RawMessage `json:"key"`
		Grace *int            `json:"others_end_after_seconds"`
	}
	if err := c.body(&request); err != nil {
		return err
	}
	seconds := defaultKeyGrace
	if request.Grace != nil {
		seconds = *request.Grace
	}
	var f fields
	f.want(seconds >= 0 && seconds <= maxKeyGrace, "others_end_after_seconds", fmt.Sprintf("want 0 to %d", maxKeyGrace))
	key := c.publicKey(request.Key, &f)
	if err := f.err(); err != nil {
		return err
	}
	others := c.now.Add(time.Duration(seconds) * time.Second)
	entry := c.entry("gateway.rotate", gatewayPath(c.site(), c.gateway()), c.site(), map[string]any{"kid": key.ID, "others_end": others.UTC()})
	if err := h.config.GatewayKeys.AddGatewayKey(c.Context(), c.site(), c.gateway(), key, others, entry); err != nil {
		return err
	}
	return c.answer(http.StatusCreated, documentOfKey(key), 1)
}

func (h *Handler) removeGatewayKey(c *call) error {
	kid := c.PathValue("key")
	entry := c.entry("gateway.remove_key", gatewayPath(c.site(), c.gateway()), c.site(), map[string]string{"kid": printable(kid)})
	if err := h.config.GatewayKeys.RemoveGatewayKey(c.Context(), c.site(), c.gateway(), kid, entry); err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}
