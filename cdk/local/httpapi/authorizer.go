package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// source is one identity source: $request.header.Name,
// $request.querystring.name, $context.x or $stageVariables.name.
type source struct{ kind, name string }

const (
	sourceHeader   = "$request.header."
	sourceQuery    = "$request.querystring."
	sourceContext  = "$context."
	sourceVariable = "$stageVariables."
)

func parseSource(text string) (source, error) {
	for _, kind := range []string{sourceHeader, sourceQuery, sourceContext, sourceVariable} {
		name, ok := strings.CutPrefix(text, kind)
		if !ok || name == "" {
			continue
		}
		if kind == sourceContext && name != "routeKey" && name != "httpMethod" && name != "path" && name != "identity.sourceIp" {
			break
		}
		return source{kind: kind, name: name}, nil
	}
	return source{}, fmt.Errorf("unknown identity source %q", text)
}

func (s source) value(e *event) string {
	switch s.kind {
	case sourceHeader:
		return strings.Join(e.request.Header.Values(s.name), ",")
	case sourceQuery:
		return strings.Join(e.query[s.name], ",")
	case sourceVariable:
		return e.api.cfg.StageVariables[s.name]
	}
	switch s.name {
	case "routeKey":
		return e.route.key
	case "httpMethod":
		return e.request.Method
	case "path":
		return e.rawPath()
	default:
		return e.sourceIP
	}
}

// decision is the decision of an authorizer.
type decision struct {
	// allowed is the decision of a simple response; a policy decides for each ARN.
	allowed bool
	policy  *policy
	context []byte // JSON object
}

// authorize returns the authorizer's context, or the status of the error response.
func (a *API) authorize(ctx context.Context, e *event) (authorizerContext []byte, status int) {
	r := e.route
	if r.Authorizer == nil {
		return nil, 0
	}
	identity := make([]string, len(r.sources))
	for i, s := range r.sources {
		if identity[i] = s.value(e); identity[i] == "" {
			return nil, http.StatusUnauthorized
		}
	}
	d, err := r.cache.get(ctx, identity, e.at, func() (decision, error) {
		// Other requests may share the invocation: it must not end with this client.
		return a.invokeAuthorizer(context.WithoutCancel(ctx), e, identity)
	})
	if err != nil {
		a.cfg.Log.Error("authorizer failed", "request", e.id, "route", r.key, "error", err)
		return nil, http.StatusInternalServerError
	}
	if !d.allowed && (d.policy == nil || !d.policy.allows(e.arn())) {
		return nil, http.StatusForbidden
	}
	return d.context, 0
}

func (a *API) invokeAuthorizer(ctx context.Context, e *event, identity []string) (decision, error) {
	payload := a.buffer()
	defer a.put(payload)
	*payload = e.appendAuthorizerRequest((*payload)[:0], identity)
	response, status := a.invoke(ctx, e, e.route.Authorizer.Function, e.route.cache.timeout, *payload)
	if status != 0 {
		return decision{}, fmt.Errorf("invocation failed, status %d", status)
	}
	if e.route.Authorizer.SimpleResponses {
		return parseSimple(response)
	}
	return parsePolicy(response)
}

// parseSimple reads {"isAuthorized":bool,"context":{…}}.
func parseSimple(response []byte) (decision, error) {
	var simple struct {
		IsAuthorized *bool           `json:"isAuthorized"`
		Context      json.RawMessage `json:"context"`
	}
	if err := json.Unmarshal(response, &simple); err != nil {
		return decision{}, fmt.Errorf("response of the authorizer: %w", err)
	}
	if simple.IsAuthorized == nil {
		return decision{}, errors.New("response of the authorizer has no isAuthorized")
	}
	object, err := objectOf(simple.Context)
	return decision{allowed: *simple.IsAuthorized, context: object}, err
}

// objectOf returns a JSON object without white space, {} for null or no JSON.
func objectOf(raw json.RawMessage) ([]byte, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return []byte("{}"), nil
	}
	if raw[0] != '{' {
		return nil, errors.New("response of the authorizer: context is not an object")
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, raw); err != nil {
		return nil, fmt.Errorf("response of the authorizer: %w", err)
	}
	return compact.Bytes(), nil
}

// stringOrList is a string or a list of strings.
type stringOrList []string

// UnmarshalJSON implements json.Unmarshaler.
func (t *stringOrList) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '"' {
		*t = stringOrList{""}
		return json.Unmarshal(data, &(*t)[0])
	}
	return json.Unmarshal(data, (*[]string)(t))
}

type statement struct {
	Effect   string       `json:"Effect"`
	Action   stringOrList `json:"Action"`
	Resource stringOrList `json:"Resource"`
}

// policy is an IAM policy without conditions.
type policy struct{ Statement []statement }

func parsePolicy(response []byte) (decision, error) {
	var document struct {
		PolicyDocument *policy         `json:"policyDocument"`
		Context        json.RawMessage `json:"context"`
	}
	if err := json.Unmarshal(response, &document); err != nil {
		return decision{}, fmt.Errorf("response of the authorizer: %w", err)
	}
	if document.PolicyDocument == nil {
		return decision{}, errors.New("response of the authorizer has no policyDocument")
	}
	object, err := objectOf(document.Context)
	return decision{policy: document.PolicyDocument, context: object}, err
}

// allows reports whether a statement allows the resource and none denies it.
func (p *policy) allows(arn string) bool {
	allowed := false
	for _, s := range p.Statement {
		if !s.Action.match("execute-api:Invoke") || !s.Resource.match(arn) {
			continue
		}
		if s.Effect != "Allow" {
			return false
		}
		allowed = true
	}
	return allowed
}

func (t stringOrList) match(text string) bool {
	for _, pattern := range t {
		if wildcard(pattern, text) {
			return true
		}
	}
	return false
}

// wildcard matches * (any text) and ? (any byte).
func wildcard(pattern, text string) bool {
	star, mark := -1, 0
	p, i := 0, 0
	for i < len(text) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, i
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == text[i]):
			p++
			i++
		case star >= 0:
			mark++
			p, i = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}
