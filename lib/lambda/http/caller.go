package http

import (
	"context"
	"time"

	"github.com/insighthub/insighthub/lib/denylist"
	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// Caller is the account or gateway that the authorizer has authenticated.
type Caller struct {
	// Subject is the account's id, or the gateway's name.
	Subject string `json:"subject"`
	// Gateway and Site are set when Role is Gateway.
	Gateway telemetry.GatewayID `json:"gateway"`
	Site    telemetry.SiteID    `json:"site"`
	Role    directory.Role      `json:"role"`
	// Grants are an account's roles by site.
	Grants map[telemetry.SiteID]directory.Role `json:"grants"`
	// Expires is when the token expires, in seconds since the Unix epoch.
	Expires int64  `json:"expires"`
	TokenID string `json:"token_id"`
	// Session, Version and Issued, in seconds since the Unix epoch, are those of the token;
	// see denylist.Token.
	Session string `json:"session"`
	Version int64  `json:"version"`
	Issued  int64  `json:"issued"`
}

func (c *Caller) expired(now time.Time) bool { return now.Unix() >= c.Expires }

func (c *Caller) token() denylist.Token {
	return denylist.Token{Subject: c.Subject, Session: c.Session, Version: c.Version, Issued: c.Issued}
}

// May reports whether the caller has at least the role at the site.
func (c *Caller) May(role directory.Role, site telemetry.SiteID) bool {
	need := rank(role)
	return need > 0 && (rank(c.Grants[site]) >= need || rank(c.Grants[directory.EverySite]) >= need)
}

// MayEverywhere reports whether the caller has at least the role at every site, as
// operations on the platform itself require.
func (c *Caller) MayEverywhere(role directory.Role) bool { return c.May(role, directory.EverySite) }

// Sites returns the sites at which the caller has at least the role; all reports
// whether that is every site.
func (c *Caller) Sites(role directory.Role) (sites []telemetry.SiteID, all bool) {
	if c.MayEverywhere(role) {
		return nil, true
	}
	for site := range c.Grants {
		if c.May(role, site) {
			sites = append(sites, site)
		}
	}
	return sites, false
}

// Greatest returns the caller's greatest role at the site, or at any site if site is empty;
// empty if there is none.
func (c *Caller) Greatest(site telemetry.SiteID) directory.Role {
	greatest := c.Role // of a gateway
	for at, role := range c.Grants {
		if (site == "" || at == site || at == directory.EverySite) && rank(role) > rank(greatest) {
			greatest = role
		}
	}
	return greatest
}

// rank orders the roles of accounts; it is 0 for any other role.
func rank(r directory.Role) int {
	switch r {
	case directory.Viewer:
		return 1
	case directory.Operator:
		return 2
	case directory.Admin:
		return 3
	default:
		return 0
	}
}

type callerKey struct{}

// WithCaller returns a context that carries the caller.
func WithCaller(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, &c)
}

// CallerOf returns the caller of a request; false if the route has no authorizer.
func CallerOf(ctx context.Context) (*Caller, bool) {
	c, ok := ctx.Value(callerKey{}).(*Caller)
	return c, ok
}
