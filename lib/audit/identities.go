package audit

import (
	"context"
	"fmt"
	"time"

	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/token"
)

// Identity is one of the callers as which the API is checked.
type Identity string

// The identities. Roles are at every site; Stranger is an administrator of another site
// than the requested one, the most powerful caller without rights there.
const (
	Nobody          Identity = "nobody"
	AsViewer        Identity = "viewer"
	AsOperator      Identity = "operator"
	AsAdministrator Identity = "admin"
	AsGateway       Identity = "gateway"
	Stranger        Identity = "admin of another site"
)

// Identities lists all of them.
func Identities() []Identity {
	return []Identity{Nobody, AsViewer, AsOperator, AsAdministrator, AsGateway, Stranger}
}

// ownSite does not exist. The self-check's gateway and the Stranger belong to it.
const ownSite telemetry.SiteID = "audit-elsewhere"

// grants returns the grants of an identity; nil unless it is a person.
func (i Identity) grants() map[telemetry.SiteID]token.Role {
	switch i {
	case AsViewer:
		return map[telemetry.SiteID]token.Role{token.EverySite: token.Viewer}
	case AsOperator:
		return map[telemetry.SiteID]token.Role{token.EverySite: token.Operator}
	case AsAdministrator:
		return map[telemetry.SiteID]token.Role{token.EverySite: token.Admin}
	case Stranger:
		return map[telemetry.SiteID]token.Role{ownSite: token.Admin}
	default:
		return nil
	}
}

func (i Identity) claims() token.Identity {
	if i == AsGateway {
		return token.Identity{Subject: "audit", Gateway: "audit", Site: ownSite, Role: token.Gateway}
	}
	return token.Identity{Subject: "audit", Grants: i.grants()}
}

// Tokens gets a token for each identity, and removes what it created for that.
type Tokens interface {
	// Open returns a token of each identity for which it can get one.
	Open(ctx context.Context) (map[Identity]string, error)
	// Close removes or disables what Open created, and returns a sentence about what
	// remains.
	Close(ctx context.Context) (string, error)
}

// MinterConfig configures the minting of tokens.
type MinterConfig token.MinterConfig

// mintedLifetime is the lifetime of the self-check's own tokens.
const mintedLifetime = 5 * time.Minute

// mint returns a token as the platform would issue it at a time.
func (c MinterConfig) mint(ctx context.Context, who token.Identity, at time.Time) (string, error) {
	c.Now = func() time.Time { return at }
	m, err := token.NewMinter(token.MinterConfig(c))
	if err != nil {
		return "", err
	}
	text, _, err := m.Mint(ctx, who, mintedLifetime)
	return text, err
}

// GatewayToken returns a token of the self-check's gateway.
func (c MinterConfig) GatewayToken(ctx context.Context) (string, error) {
	return c.mint(ctx, AsGateway.claims(), c.Now())
}

// Minted gets tokens by signing them with the platform's key: it creates nothing, and they
// expire within five minutes.
type Minted struct{ MinterConfig }

var _ Tokens = Minted{}

// Open implements Tokens.
func (m Minted) Open(ctx context.Context) (map[Identity]string, error) {
	tokens := make(map[Identity]string)
	for _, id := range Identities() {
		if id == Nobody {
			continue
		}
		text, err := m.mint(ctx, id.claims(), m.Now())
		if err != nil {
			return nil, fmt.Errorf("token of the %s: %w", id, err)
		}
		tokens[id] = text
	}
	return tokens, nil
}

// Close implements Tokens.
func (m Minted) Close(context.Context) (string, error) {
	return fmt.Sprintf("nothing was created: tokens were signed, and expire within %v", mintedLifetime), nil
}
