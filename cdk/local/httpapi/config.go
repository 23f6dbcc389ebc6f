package httpapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/insighthub/insighthub/cdk/local/lambda"
)

// Invoker runs a function and waits for its outcome. An error means that the
// function was not run to its end: lambda.ErrThrottled, lambda.ErrTooLarge,
// ctx's, or another. The payload must not be used after the return. It is
// called by many goroutines at a time.
type Invoker interface {
	Invoke(ctx context.Context, payload []byte) (lambda.Result, error)
}

var _ Invoker = (*lambda.Function)(nil)

const (
	// MaxBodyBytes is API Gateway's bound on a request's body.
	MaxBodyBytes = 10 << 20

	defaultTimeout    = 30 * time.Second // of a function, and of a body
	defaultCacheSize  = 10_000
	defaultRegion     = "eu-central-1"
	defaultAccountID  = "000000000000"
	defaultAPIID      = "local"
	defaultStage      = "$default"
	defaultRouteValue = "$default"
)

// Config describes one API.
type Config struct {
	Routes []Route
	// APIID, AccountID, Region and Stage are passed on to the functions; empty
	// ones are filled with local values. A Stage other than $default is also
	// the first segment of every path, as in AWS.
	APIID, AccountID, Region, Stage string
	StageVariables                  map[string]string
	// BodyTimeout bounds the time in which a body has to come; 0 means 30 s.
	BodyTimeout time.Duration
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Log receives why a request was answered with 5xx; nil discards it.
	Log *slog.Logger
}

// Route leads requests to a function.
type Route struct {
	// Method is an HTTP method or ANY; it is empty for $default.
	Method string
	// Path is like /v1/{site}/{rest+}, or $default.
	Path     string
	Function Invoker
	// Authorizer is nil for an open route. Routes share its cache when they
	// share the pointer.
	Authorizer *Authorizer
	// Timeout bounds the integration; 0 means 30 s.
	Timeout time.Duration
}

// Authorizer describes a Lambda authorizer of the request type, with payload
// format 2.0.
type Authorizer struct {
	Function Invoker
	// IdentitySources are like $request.header.Authorization,
	// $request.querystring.token or $context.routeKey.
	IdentitySources []string
	// ResultTTL is how long an answer is kept; 0 keeps none.
	ResultTTL time.Duration
	// SimpleResponses takes {"isAuthorized","context"}; otherwise the answer is
	// an IAM policy.
	SimpleResponses bool
	// CacheSize bounds the answers kept; 0 means 10,000.
	CacheSize int
	// Timeout bounds the call; 0 means 30 s.
	Timeout time.Duration
}

func (c *Config) complete() error {
	var problems []error
	for i, r := range c.Routes {
		if r.Function == nil {
			problems = append(problems, fmt.Errorf("route %d (%s %s): no function", i, r.Method, r.Path))
		}
		if r.Path != defaultRouteValue && (!strings.HasPrefix(r.Path, "/") || r.Method == "") {
			problems = append(problems, fmt.Errorf("route %d (%s %s): want a method and a path", i, r.Method, r.Path))
		}
		if a := r.Authorizer; a != nil {
			if a.Function == nil {
				problems = append(problems, fmt.Errorf("route %d (%s %s): authorizer without function", i, r.Method, r.Path))
			}
			for _, source := range a.IdentitySources {
				if _, err := parseSource(source); err != nil {
					problems = append(problems, fmt.Errorf("route %d (%s %s): %w", i, r.Method, r.Path, err))
				}
			}
		}
	}
	if c.BodyTimeout == 0 {
		c.BodyTimeout = defaultTimeout
	}
	for field, value := range map[*string]string{
		&c.APIID: defaultAPIID, &c.AccountID: defaultAccountID, &c.Region: defaultRegion, &c.Stage: defaultStage,
	} {
		if *field == "" {
			*field = value
		}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return errors.Join(problems...)
}
