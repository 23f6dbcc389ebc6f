package httpapi

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// segmentKind orders the segments from the most to the least specific.
type segmentKind int

const (
	literal segmentKind = iota
	parameter
	greedy
)

type segment struct {
	kind segmentKind
	text string // of a literal, or the parameter's name
}

// route is a parsed Route.
type route struct {
	Route
	key      string
	segments []segment
	cache    *cache // of the authorizer
	sources  []source
	bucket   *bucket // nil without a limit
}

type pathParameter struct{ name, value string }

// router holds the routes, the more specific first: the first match wins.
type router struct {
	routes   []*route
	fallback *route
}

func newRouter(routes []*route) (*router, error) {
	r := &router{}
	for _, candidate := range routes {
		switch {
		case candidate.Path != defaultRouteValue:
			r.routes = append(r.routes, candidate)
		case r.fallback != nil:
			return nil, fmt.Errorf("route %s is repeated", defaultRouteValue)
		default:
			r.fallback = candidate
		}
	}
	slices.SortStableFunc(r.routes, compareRoutes)
	for i := 1; i < len(r.routes); i++ {
		if compareRoutes(r.routes[i-1], r.routes[i]) == 0 && r.routes[i-1].key == r.routes[i].key {
			return nil, fmt.Errorf("route %s is repeated", r.routes[i].key)
		}
	}
	return r, nil
}

// newRoute parses a route. It returns one even with an error, which names it.
func newRoute(given Route, caches map[*Authorizer]*cache) (*route, error) {
	r := &route{Route: given, key: strings.TrimSpace(given.Method + " " + given.Path)}
	r.Timeout = cmp.Or(r.Timeout, defaultTimeout)
	r.bucket = newBucket(*cmp.Or(given.Throttle, new(Unthrottled())))
	var problems []error
	if given.Path == defaultRouteValue {
		r.key = defaultRouteValue
	} else {
		var err error
		if r.segments, err = parsePath(given.Path); err != nil {
			problems = append(problems, err)
		}
		if given.Method == "" {
			problems = append(problems, errors.New("method: empty"))
		}
	}
	if a := given.Authorizer; a != nil {
		if caches[a] == nil {
			caches[a] = newCache(a)
		}
		r.cache = caches[a]
		for _, text := range a.IdentitySources {
			s, err := parseSource(text)
			if err != nil {
				problems = append(problems, err)
			}
			r.sources = append(r.sources, s)
		}
	}
	return r, errors.Join(problems...)
}

func parsePath(path string) ([]segment, error) {
	rest, ok := strings.CutPrefix(path, "/")
	if !ok {
		return nil, fmt.Errorf("path %q does not start with /", path)
	}
	parts := strings.Split(rest, "/")
	segments := make([]segment, len(parts))
	for i, part := range parts {
		name, isParameter := strings.CutPrefix(part, "{")
		if !isParameter {
			segments[i] = segment{kind: literal, text: part}
			continue
		}
		name, closed := strings.CutSuffix(name, "}")
		segments[i] = segment{kind: parameter, text: name}
		if proxy, ok := strings.CutSuffix(name, "+"); ok {
			segments[i] = segment{kind: greedy, text: proxy}
			if i != len(parts)-1 {
				return nil, fmt.Errorf("path %s: {%s} is not the last segment", path, name)
			}
		}
		if !closed || segments[i].text == "" {
			return nil, fmt.Errorf("path %s: parameter %q is not {name} or {name+}", path, part)
		}
	}
	return segments, nil
}

// compareRoutes orders the more specific route first.
func compareRoutes(a, b *route) int {
	for i := range min(len(a.segments), len(b.segments)) {
		if d := int(a.segments[i].kind) - int(b.segments[i].kind); d != 0 {
			return d
		}
	}
	if d := len(b.segments) - len(a.segments); d != 0 {
		return d // both match only if the shorter one is greedy; the longer one is more specific
	}
	switch {
	case a.Method != methodAny && b.Method == methodAny:
		return -1
	case a.Method == methodAny && b.Method != methodAny:
		return 1
	default:
		return 0
	}
}

const methodAny = "ANY"

// match returns the route of a request, or nil, and its path parameters.
func (r *router) match(method, path string) (*route, []pathParameter) {
	parts := strings.Split(strings.TrimPrefix(path, "/"), "/")
	for _, candidate := range r.routes {
		if candidate.Method != methodAny && candidate.Method != method {
			continue
		}
		if parameters, ok := candidate.matchPath(parts); ok {
			return candidate, parameters
		}
	}
	return r.fallback, nil
}

func (r *route) matchPath(parts []string) ([]pathParameter, bool) {
	last := r.segments[len(r.segments)-1]
	if len(parts) < len(r.segments) || len(parts) > len(r.segments) && last.kind != greedy {
		return nil, false
	}
	for i, s := range r.segments {
		if s.kind == literal && s.text != parts[i] || s.kind != literal && parts[i] == "" {
			return nil, false
		}
	}
	var parameters []pathParameter
	for i, s := range r.segments {
		switch s.kind {
		case literal:
		case parameter:
			parameters = append(parameters, pathParameter{s.text, parts[i]})
		case greedy:
			parameters = append(parameters, pathParameter{s.text, strings.Join(parts[i:], "/")})
		}
	}
	return parameters, true
}
