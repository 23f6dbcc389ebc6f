package token

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// SecretSource reads the key that tokens are signed with.
type SecretSource interface {
	// Get returns the current value of the secret with that ARN. It is called
	// again after a failure.
	Get(ctx context.Context, arn string) ([]byte, error)
}

// DefaultSecretTTL is how long an Authorizer keeps the key, and so the longest
// time for which a key that was rotated out still opens.
const DefaultSecretTTL = 5 * time.Minute

// AuthorizerConfig sets an Authorizer up.
type AuthorizerConfig struct {
	Secrets   SecretSource     // required
	SecretARN string           // required
	Now       func() time.Time // required
	Log       *slog.Logger     // required
	SecretTTL time.Duration    // 0: DefaultSecretTTL
}

// Authorizer is a Lambda authorizer of an API Gateway HTTP API: type REQUEST,
// payload format 2.0, simple responses. It is a lambda.Handler over bytes,
// safe for concurrent use.
type Authorizer struct {
	config AuthorizerConfig

	mu     sync.Mutex
	secret []byte
	read   time.Time // when the secret was
}

// NewAuthorizer returns an Authorizer; the error names everything that config lacks.
func NewAuthorizer(config AuthorizerConfig) (*Authorizer, error) {
	var problems []error
	for _, p := range []struct {
		lacking bool
		what    string
	}{
		{config.Secrets == nil, "no secret source"},
		{config.SecretARN == "", "no secret ARN"},
		{config.Now == nil, "no clock"},
		{config.Log == nil, "no log"},
		{config.SecretTTL < 0, "a negative SecretTTL"},
	} {
		if p.lacking {
			problems = append(problems, errors.New(p.what))
		}
	}
	if len(problems) > 0 {
		return nil, fmt.Errorf("authorizer: %w: %w", telemetry.ErrInvalid, errors.Join(problems...))
	}
	if config.SecretTTL == 0 {
		config.SecretTTL = DefaultSecretTTL
	}
	return &Authorizer{config: config}, nil
}

// authorizerEvent is what of API Gateway's event decides.
type authorizerEvent struct {
	Version        string            `json:"version"`
	Type           string            `json:"type"`
	IdentitySource []string          `json:"identitySource"`
	Headers        map[string]string `json:"headers"`
	RequestContext struct {
		RequestID string `json:"requestId"`
	} `json:"requestContext"`
}

// authorizerResponse is a simple response.
type authorizerResponse struct {
	IsAuthorized bool               `json:"isAuthorized"`
	Context      *authorizerContext `json:"context,omitempty"`
}

// authorizerContext is what the function behind the route is told of the
// caller, as requestContext.authorizer.lambda.
type authorizerContext struct {
	Gateway telemetry.GatewayID `json:"gateway"`
	Site    telemetry.SiteID    `json:"site"`
	Role    Role                `json:"role"`
}

// Invoke answers one authorizer event. A request without a valid token is not
// authorized, which is no error; an error, which API Gateway turns into a 500,
// means that the platform can not tell.
func (a *Authorizer) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	var event authorizerEvent
	if err := json.Unmarshal(payload, &event); err != nil {
		return nil, fmt.Errorf("authorizer: payload: %w", err)
	}
	if event.Version != "2.0" || event.Type != "REQUEST" {
		return nil, fmt.Errorf("authorizer: payload of version %q and type %q, want 2.0 and REQUEST", event.Version, event.Type)
	}
	claims, err := a.verify(ctx, bearer(event))
	switch {
	case errors.Is(err, telemetry.ErrInvalid):
		a.config.Log.InfoContext(ctx, "not authorized", "request_id", event.RequestContext.RequestID, "reason", err.Error())
		return marshal(authorizerResponse{})
	case err != nil:
		return nil, fmt.Errorf("authorizer: request %q: %w", event.RequestContext.RequestID, err)
	default:
		return marshal(authorizerResponse{true, &authorizerContext{claims.Gateway, claims.Site, claims.Role}})
	}
}

func marshal(r authorizerResponse) ([]byte, error) {
	out, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("authorizer: response: %w", err)
	}
	return out, nil
}

// verify checks the token under the current key.
func (a *Authorizer) verify(ctx context.Context, token string) (Claims, error) {
	if token == "" {
		return Claims{}, fmt.Errorf("%w: no bearer token", telemetry.ErrInvalid)
	}
	secret, err := a.currentSecret(ctx)
	if err != nil {
		return Claims{}, err
	}
	return Verify(secret, token, a.config.Now())
}

// currentSecret returns the key. When it can not be read anew the one at hand
// stays in use: tokens go on being checked, and callers are not locked out.
func (a *Authorizer) currentSecret(ctx context.Context) ([]byte, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.config.Now()
	if a.secret != nil && now.Sub(a.read) < a.config.SecretTTL {
		return a.secret, nil
	}
	secret, err := a.config.Secrets.Get(ctx, a.config.SecretARN)
	if err == nil {
		err = checkSecret(secret)
	}
	switch {
	case err == nil:
		a.secret, a.read = secret, now
	case a.secret != nil:
		a.config.Log.WarnContext(ctx, "the token secret can not be read anew, the last one stays in use", "error", err)
	default:
		// The sentinels of the source say nothing about the caller's token.
		return nil, fmt.Errorf("read the token secret: %v", err) //nolint:errorlint // see above
	}
	return a.secret, nil
}

// bearer returns the token of "Authorization: Bearer …", or "". The identity
// source of the authorizer is that header.
func bearer(event authorizerEvent) string {
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
	scheme, token, _ := strings.Cut(strings.TrimSpace(header), " ")
	if !strings.EqualFold(scheme, "bearer") { // RFC 9110, 11.1: in any case
		return ""
	}
	return strings.TrimSpace(token)
}
