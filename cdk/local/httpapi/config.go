package httpapi

import (
	"cmp"
	"context"
	"log/slog"
	"time"

	"github.com/insighthub/insighthub/cdk/local/lambda"
)

// Invoker invokes a function and waits for its result. An error means that the function
// did not run to its end: lambda.ErrThrottled, lambda.ErrTooLarge, ctx's, or another. It
// must not use the payload after it returned, and is called concurrently.
type Invoker interface {
	Invoke(ctx context.Context, payload []byte) (lambda.Result, error)
}

var _ Invoker = (*lambda.Function)(nil)

const (
	// MaxBodyBytes is API Gateway's limit of a request body.
	MaxBodyBytes = 10 << 20

	defaultTimeout    = 30 * time.Second // of an integration, and of reading a body
	defaultCacheSize  = 10_000
	defaultRegion     = "eu-central-1"
	defaultAccountID  = "000000000000"
	defaultAPIID      = "local"
	defaultStage      = "$default"
	defaultRouteValue = "$default"
)

// Config configures one API.
type Config struct {
	Routes []Route
	// APIID, AccountID, Region and Stage are passed to the functions; empty ones have
	// defaults. A Stage other than $default is also the first segment of every path, as
	// in AWS.
	APIID, AccountID, Region, Stage string
	StageVariables                  map[string]string
	// BodyTimeout limits the time to read a request body; 0 means 30 s.
	BodyTimeout time.Duration
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Log receives the cause of each 5xx response; nil discards it.
	Log *slog.Logger
}

// Route integrates requests with a function.
type Route struct {
	// Method is an HTTP method or ANY; empty for $default.
	Method string
	// Path is like /v1/{site}/{rest+}, or $default.
	Path     string
	Function Invoker
	// Authorizer is nil for a public route. Routes with the same pointer share its cache.
	Authorizer *Authorizer
	// Timeout limits the integration; 0 means 30 s.
	Timeout time.Duration
	// Throttle is nil for a route without a limit.
	Throttle *Throttle
}

// Authorizer configures a Lambda authorizer of type REQUEST with payload format 2.0.
type Authorizer struct {
	Function Invoker
	// IdentitySources are like $request.header.Authorization,
	// $request.querystring.token or $context.routeKey.
	IdentitySources []string
	// ResultTTL is how long a decision is cached; 0 disables the cache.
	ResultTTL time.Duration
	// SimpleResponses expects {"isAuthorized","context"}; otherwise the response is an
	// IAM policy.
	SimpleResponses bool
	// CacheSize limits the cached decisions; 0 means 10,000.
	CacheSize int
	// Timeout limits the invocation; 0 means 30 s.
	Timeout time.Duration
}

func (c Config) withDefaults() Config {
	c.BodyTimeout = cmp.Or(c.BodyTimeout, defaultTimeout)
	c.APIID = cmp.Or(c.APIID, defaultAPIID)
	c.AccountID = cmp.Or(c.AccountID, defaultAccountID)
	c.Region = cmp.Or(c.Region, defaultRegion)
	c.Stage = cmp.Or(c.Stage, defaultStage)
	c.Log = cmp.Or(c.Log, slog.New(slog.DiscardHandler))
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}
