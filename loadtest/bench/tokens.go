package bench

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/insighthub/insighthub/cdk/local/stackfile"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/token"
)

// Tokens mints the tokens of a simulated fleet with the stack's own key, without registering
// gateways or calling the token endpoint. It is safe for concurrent use.
type Tokens struct {
	minter *token.Minter
	site   telemetry.SiteID

	mu     sync.Mutex
	minted map[string]bearer // by gateway
}

type bearer struct {
	text  string
	until time.Time
}

const mintTimeout = 10 * time.Second

// NewTokens returns Tokens for the gateways of a site.
func NewTokens(stack stackfile.Info, site string) (*Tokens, error) {
	minter, err := stack.Minter(time.Now)
	if err != nil {
		return nil, err
	}
	return &Tokens{minter: minter, site: telemetry.SiteID(site), minted: make(map[string]bearer)}, nil
}

// Get returns a token of a gateway. It is replaced after two thirds of its lifetime.
func (t *Tokens) Get(ctx context.Context, gateway string) (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if b := t.minted[gateway]; time.Now().Before(b.until) {
		return b.text, nil
	}
	text, err := t.Mint(ctx, gateway, token.GatewayLifetime)
	if err != nil {
		return "", err
	}
	t.minted[gateway] = bearer{text, time.Now().Add(token.GatewayLifetime * 2 / 3)}
	return text, nil
}

// Viewer returns a token of a person who may read the site, valid for an hour.
func (t *Tokens) Viewer(ctx context.Context) (string, error) {
	who := token.Identity{Subject: "bench", Grants: map[telemetry.SiteID]token.Role{t.site: token.Viewer}}
	text, _, err := t.minter.Mint(ctx, who, token.MaxLifetime)
	return text, err
}

// Mint returns a new token of a gateway, valid for ttl.
func (t *Tokens) Mint(ctx context.Context, gateway string, ttl time.Duration) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, mintTimeout)
	defer cancel()
	text, _, err := t.minter.Mint(ctx, token.Identity{
		Subject: gateway, Gateway: telemetry.GatewayID(gateway), Site: t.site, Role: token.Gateway,
	}, ttl)
	if err != nil {
		return "", fmt.Errorf("token of gateway %q: %w", gateway, err)
	}
	return text, nil
}
