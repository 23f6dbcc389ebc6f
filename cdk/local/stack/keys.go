package stack

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/insighthub/insighthub/cdk/local/kms"
	"github.com/insighthub/insighthub/cdk/local/stackfile"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/token"
)

// The functions' variables of the signing keys, and of the issuer and the audience of tokens.
const (
	signingKeys   = "SIGNING_KEYS"
	tokenIssuer   = "TOKEN_ISSUER"
	tokenAudience = "TOKEN_AUDIENCE"
)

// startKeys starts the emulator of KMS with the keys of the template. They are created
// once, so that tokens stay valid after a restart.
func (s *Stack) startKeys(ctx context.Context) error {
	store, err := kms.New(kms.Config{
		File: s.cfg.path("kms.json"), Region: s.plan.Region, AccountID: s.plan.Account, Now: s.cfg.Now,
	})
	if err != nil {
		return err
	}
	for _, k := range s.plan.Keys {
		if err := store.Ensure(k.KeyID); err != nil {
			return fmt.Errorf("%s: %w", k, err)
		}
	}
	if s.endpoints.kms, err = s.serveLocal(ctx, "kms", store.Handler()); err != nil {
		return err
	}
	s.info.KMS = s.endpoints.kms
	s.printf("kms        %d keys, at %s", len(s.plan.Keys), s.endpoints.kms)
	for _, f := range s.plan.Functions {
		if f.Env[signingKeys] == "" {
			continue
		}
		keys, err := token.ParseSigningKeys(f.Env[signingKeys])
		if err != nil {
			return fmt.Errorf("%s: %s: %w", f, signingKeys, err)
		}
		s.info.SigningKey, s.info.Issuer, s.info.Audience = keys[0].Key, s.localise(f.Env[tokenIssuer]), f.Env[tokenAudience]
		break
	}
	return nil
}

// localise replaces the first API's address in the value of a function's variable by the
// local one: the issuer of tokens is often that address.
func (s *Stack) localise(value string) string {
	if len(s.plan.APIs) == 0 || s.plan.APIs[0].Endpoint == "" {
		return value
	}
	return strings.ReplaceAll(value, s.plan.APIs[0].Endpoint, s.info.HTTP)
}

// gatewayToken mints a token of a gateway, without its registration.
func gatewayToken(ctx context.Context, info stackfile.Info, gateway telemetry.GatewayID, site telemetry.SiteID,
	now func() time.Time,
) (string, error) {
	minter, err := info.Minter(now)
	if err != nil {
		return "", err
	}
	text, _, err := minter.Mint(ctx, token.Identity{
		Subject: string(gateway), Gateway: gateway, Site: site, Role: token.Gateway,
	}, token.MaxLifetime)
	return text, err
}
