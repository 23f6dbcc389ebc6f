package stack

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"

	"github.com/insighthub/insighthub/cdk/local/httpapi"
	"github.com/insighthub/insighthub/cdk/local/template"
)

// startFront serves the first API of the plan on l, and the others on free ports.
func (s *Stack) startFront(ctx context.Context, l net.Listener) error {
	if len(s.plan.APIs) == 0 {
		return fmt.Errorf("local stack: the stage %s has no HTTP API: %w", s.cfg.Stage, l.Close())
	}
	for i, api := range s.plan.APIs {
		handler, err := s.api(api)
		if err != nil {
			return err
		}
		if i == 0 {
			handler = s.page(handler)
		} else {
			if l, err = s.listen(ctx, "127.0.0.1:0"); err != nil {
				return err
			}
		}
		url := s.serve("api", l, handler)
		for _, r := range api.Routes {
			s.printf("route      %s at %s", r.Key, url)
		}
	}
	return nil
}

// api returns the emulator of an API with its routes, authorizers and first stage.
func (s *Stack) api(api template.API) (http.Handler, error) {
	authorizers := make(map[string]*httpapi.Authorizer)
	for _, a := range api.Authorizers {
		f, err := s.function(a.FunctionARN)
		if err != nil {
			return nil, err
		}
		authorizers[a.AuthorizerID] = &httpapi.Authorizer{
			Function: f, IdentitySources: a.IdentitySources, ResultTTL: a.CacheTTL, SimpleResponses: a.SimpleResponses,
		}
	}
	config := httpapi.Config{
		APIID: api.APIID, AccountID: s.plan.Account, Region: s.plan.Region, Now: s.cfg.Now, Log: s.log,
	}
	var stage template.APIStage
	if len(api.Stages) > 0 {
		stage = api.Stages[0]
	}
	config.Stage = stage.Name
	for _, r := range api.Routes {
		f, err := s.function(r.FunctionARN)
		if err != nil {
			return nil, err
		}
		route := httpapi.Route{Path: r.Key, Function: f, Timeout: r.Timeout}
		if !s.cfg.Unthrottled {
			route.Throttle = throttleOf(stage, r.Key)
		}
		if method, path, ok := strings.Cut(r.Key, " "); ok {
			route.Method, route.Path = method, path
		}
		if r.Authorizer != "" {
			if route.Authorizer = authorizers[r.Authorizer]; route.Authorizer == nil {
				return nil, fmt.Errorf("route %s: no authorizer %s", r, r.Authorizer)
			}
		}
		config.Routes = append(config.Routes, route)
	}
	handler, err := httpapi.New(config)
	if err != nil {
		return nil, fmt.Errorf("api %s: %w", api, err)
	}
	return handler, nil
}

// throttleOf returns the limits of a route on a stage.
func throttleOf(stage template.APIStage, key string) *httpapi.Throttle {
	limits, own := stage.Routes[key]
	if !own {
		limits = stage.Default
	}
	if stage.Name == "" { // the template has no stage, and so no limits
		return nil
	}
	return &httpapi.Throttle{RatePerSecond: limits.RateLimit, Burst: limits.BurstLimit}
}
