package token

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/insighthub/insighthub/lib/denylist"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// AuthorizerConfig configures an Authorizer.
type AuthorizerConfig struct {
	Verifier *Verifier
	Log      *slog.Logger // tokens are never logged
	Refusals Refusals     // optional; every rejection is logged too
	// Denials may be unavailable for a long time. Then the token is accepted, since the
	// functions behind the routes, which look too, know better what it is about. Default:
	// nothing is denied.
	Denials denylist.Denials
}

// Authorizer is a Lambda authorizer of an API Gateway HTTP API: type REQUEST,
// payload format 2.0, simple responses. Its response depends on the Authorization
// header alone, which is the identity source: API Gateway caches it for every route.
// It is a lambda.Handler over bytes, safe for concurrent use.
type Authorizer struct{ config AuthorizerConfig }

// NewAuthorizer returns an Authorizer.
func NewAuthorizer(config AuthorizerConfig) *Authorizer {
	config.Denials = cmp.Or[denylist.Denials](config.Denials, denylist.Nothing{})
	return &Authorizer{config}
}

// authorizerEvent has the members of API Gateway's event that the authorizer reads.
type authorizerEvent struct {
	Version        string            `json:"version"`
	Type           string            `json:"type"`
	IdentitySource []string          `json:"identitySource"`
	Headers        map[string]string `json:"headers"`
	RouteKey       string            `json:"routeKey"`
	RequestContext struct {
		RequestID string `json:"requestId"`
		HTTP      struct {
			SourceIP string `json:"sourceIp"`
		} `json:"http"`
	} `json:"requestContext"`
}

// authorizerResponse is a simple response.
type authorizerResponse struct {
	IsAuthorized bool               `json:"isAuthorized"`
	Context      *authorizerContext `json:"context,omitempty"`
}

// authorizerContext identifies the caller to the functions behind the routes, as
// requestContext.authorizer.lambda.
type authorizerContext struct {
	Subject string                    `json:"subject"`
	Gateway telemetry.GatewayID       `json:"gateway,omitempty"`
	Site    telemetry.SiteID          `json:"site,omitempty"`
	Role    Role                      `json:"role,omitempty"`
	Grants  map[telemetry.SiteID]Role `json:"grants,omitempty"`
	// Expires is the Unix time in seconds from which on the platform does not accept
	// the token, ClockSkew included. The functions compare it, since a response in API
	// Gateway's cache may outlive its token.
	Expires int64  `json:"expires"`
	TokenID string `json:"token_id"`
	// Session, Version and Issued (Unix seconds) are for the deny list, which the functions
	// read too: a response in API Gateway's cache may outlive what it was issued for.
	Session string `json:"session,omitempty"`
	Version int64  `json:"version,omitempty"`
	Issued  int64  `json:"issued"`
}

// Invoke handles one authorizer event. A request without a valid token is not
// authorized, which is not an error. An error means that the token could not be
// verified; API Gateway then responds 500 and caches nothing.
func (a *Authorizer) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	var event authorizerEvent
	if err := json.Unmarshal(payload, &event); err != nil {
		// The decoder's error may quote the payload, and so the token.
		return nil, errors.New("authorizer: the payload is not an authorizer event")
	}
	if event.Version != "2.0" || event.Type != "REQUEST" {
		return nil, errors.New("authorizer: want a payload of version 2.0 and type REQUEST")
	}
	text, err := bearer(event)
	var claims Claims
	var seen compact
	if err == nil {
		if claims, seen, err = a.config.Verifier.verify(ctx, text); err != nil {
			err = fmt.Errorf("verify a token: %w", err)
		} else if a.denied(ctx, claims) {
			err = reject(denied)
		}
	}
	response := authorizerResponse{}
	var rejected *RejectionError
	switch {
	case errors.As(err, &rejected):
		a.config.Log.InfoContext(ctx, "not authorized", "request_id", event.RequestContext.RequestID, "reason", err.Error())
		if a.config.Refusals != nil {
			a.config.Refusals.Refused(refusal(&event, seen, rejected.Reason))
		}
	case err != nil:
		return nil, fmt.Errorf("authorizer: request %q: %w", event.RequestContext.RequestID, err)
	default:
		response = authorizerResponse{true, &authorizerContext{
			Subject: claims.Subject, Gateway: claims.Gateway, Site: claims.Site, Role: claims.Role, Grants: claims.Grants,
			Expires: claims.Expires.Add(ClockSkew).Unix(), TokenID: claims.ID,
			Session: claims.Session, Version: claims.Version, Issued: claims.IssuedAt.Unix(),
		}}
	}
	out, err := json.Marshal(response)
	if err != nil {
		return nil, fmt.Errorf("authorizer: response: %w", err)
	}
	return out, nil
}

func (a *Authorizer) denied(ctx context.Context, c Claims) bool {
	denied, err := a.config.Denials.Denied(ctx, denylist.Token{
		Subject: c.Subject, Session: c.Session, Version: c.Version, Issued: c.IssuedAt.Unix(),
	})
	return denied && err == nil
}

// bearer returns the token of "Authorization: Bearer …" (RFC 6750, 2.1).
func bearer(event authorizerEvent) (string, error) {
	header := ""
	if len(event.IdentitySource) > 0 {
		header = event.IdentitySource[0]
	} else {
		for name, value := range event.Headers {
			if strings.EqualFold(name, "authorization") {
				header = value
			}
		}
	}
	scheme, token, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "bearer") || token == "" { // RFC 9110, 11.1: in any case
		return "", reject(noBearer)
	}
	return token, nil
}
