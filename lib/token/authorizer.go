package token

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// AuthorizerConfig sets an Authorizer up.
type AuthorizerConfig struct {
	Verifier *Verifier    // required
	Log      *slog.Logger // required; tokens never reach it
	Refusals Refusals     // nil: the log alone tells of refusals
}

// Authorizer is a Lambda authorizer of an API Gateway HTTP API: type REQUEST,
// payload format 2.0, simple responses. Its answer depends on the Authorization
// header alone, which is the identity source: API Gateway keeps it for every route.
// It is a lambda.Handler over bytes, safe for concurrent use.
type Authorizer struct{ config AuthorizerConfig }

// NewAuthorizer returns an Authorizer.
func NewAuthorizer(config AuthorizerConfig) (*Authorizer, error) {
	if config.Verifier == nil || config.Log == nil {
		return nil, invalid("authorizer: want a verifier and a log")
	}
	return &Authorizer{config}, nil
}

// authorizerEvent is what of API Gateway's event decides.
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

// authorizerContext is what the functions behind the routes are told of the
// caller, as requestContext.authorizer.lambda.
type authorizerContext struct {
	Subject string                    `json:"subject"`
	Gateway telemetry.GatewayID       `json:"gateway,omitempty"`
	Site    telemetry.SiteID          `json:"site,omitempty"`
	Role    Role                      `json:"role,omitempty"`
	Grants  map[telemetry.SiteID]Role `json:"grants,omitempty"`
	// Expires is the Unix time in seconds from which on nothing of the platform
	// accepts the token, ClockSkew included. The functions compare it: an answer
	// that API Gateway keeps may outlive its token.
	Expires int64  `json:"expires"`
	TokenID string `json:"token_id"`
}

// Invoke answers one authorizer event. A request without a valid token is not
// authorized, which is no error; an error, which API Gateway turns into a 500 and
// does not keep, means that the platform can not tell.
func (a *Authorizer) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	var event authorizerEvent
	if err := json.Unmarshal(payload, &event); err != nil {
		// The decoder's words may hold some of the payload, and that the token.
		return nil, errors.New("authorizer: the payload is no authorizer event")
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
		}
	}
	response := authorizerResponse{}
	switch {
	case errors.Is(err, telemetry.ErrInvalid):
		a.config.Log.InfoContext(ctx, "not authorized", "request_id", event.RequestContext.RequestID, "reason", err.Error())
		if a.config.Refusals != nil {
			a.config.Refusals.Refused(refusal(&event, seen, err))
		}
	case err != nil:
		return nil, fmt.Errorf("authorizer: request %q: %w", event.RequestContext.RequestID, err)
	default:
		response = authorizerResponse{true, &authorizerContext{
			Subject: claims.Subject, Gateway: claims.Gateway, Site: claims.Site, Role: claims.Role, Grants: claims.Grants,
			Expires: claims.Expires.Add(ClockSkew).Unix(), TokenID: claims.ID,
		}}
	}
	out, err := json.Marshal(response)
	if err != nil {
		return nil, fmt.Errorf("authorizer: response: %w", err)
	}
	return out, nil
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
		return "", invalid("no bearer token")
	}
	return token, nil
}
