package access

import (
	"context"
	"crypto/ecdsa"
	"errors"
	"fmt"

	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/token"
	"github.com/insighthub/insighthub/lib/trail"
)

// GatewayToken issues an access token to the gateway that signed the assertion, for its
// site. audiences are those that the assertion may have: the issuer and the address of
// the token endpoint. client is the request's client_id, which must be empty or the
// gateway's name (RFC 7521, 4.2). The error is as for Login.
func (s *Service) GatewayToken(ctx context.Context, assertion, client string, audiences []string, source string) (string, error) {
	var site telemetry.SiteID
	var version directory.Version
	find := func(ctx context.Context, gateway telemetry.GatewayID, kid string) (*ecdsa.PublicKey, error) {
		if client != "" && client != string(gateway) {
			return nil, &Rejected{
				reason: "client_id differs from the gateway of the assertion", Explanation: "client_id must be its iss, or be left out",
			}
		}
		found, key, err := s.config.Gateways.GatewayKey(ctx, gateway, kid, s.config.Now())
		if err != nil {
			return nil, err
		}
		site, version = found.Site, found.Version
		public, id, err := token.ParsePublicKey(key.JWK)
		if err != nil {
			return nil, fmt.Errorf("key %q of gateway %q: %w", kid, gateway, asInternal(err))
		}
		if id != kid {
			return nil, fmt.Errorf("key %q of gateway %q is stored with the key of %q", kid, gateway, id)
		}
		return public, nil
	}
	failure := trail.Occurrence{Action: trail.RefusedAssertion, Source: source, Route: "POST /v1/token"}
	claims, err := token.VerifyAssertion(ctx, assertion, audiences, s.config.Now(), find)
	if rejected := rejectionOf(err); rejected != nil {
		return "", s.refuse(rejected, failure)
	}
	if err != nil {
		return "", fmt.Errorf("gateway token: %w", err)
	}
	err = s.config.Gateways.UseAssertion(ctx, claims.Gateway, claims.ID, claims.Expires)
	if errors.Is(err, telemetry.ErrConflict) {
		// Only who has an assertion that the gateway signed gets here.
		rejected := &Rejected{
			reason: "the assertion was used before", Explanation: "its jti was used before, and each assertion is valid for one token",
		}
		failure.Subject = string(claims.Gateway)
		return "", s.refuse(rejected, failure)
	}
	if err != nil {
		return "", fmt.Errorf("gateway token: %w", err)
	}
	identity := token.Identity{
		Subject: string(claims.Gateway), Gateway: claims.Gateway, Site: site, Role: token.Gateway, Version: int64(version),
	}
	access, _, err := s.config.Minter.Mint(ctx, identity, token.GatewayLifetime)
	if err != nil {
		return "", fmt.Errorf("issue a token for gateway %q: %w", claims.Gateway, asInternal(err))
	}
	s.config.Failures.Count(trail.Occurrence{
		Action: trail.GrantedToken, Reason: "assertion", Source: source, Route: failure.Route,
		Subject: string(claims.Gateway), Site: string(site),
	})
	return access, nil
}

// rejectionOf returns the rejection that an error of token.VerifyAssertion is, or nil.
func rejectionOf(err error) *Rejected {
	if rejected, ok := errors.AsType[*Rejected](err); ok {
		return rejected
	}
	if invalid, ok := errors.AsType[*token.RejectionError](err); ok {
		return &Rejected{reason: err.Error(), Explanation: invalid.Explanation}
	}
	return nil
}
