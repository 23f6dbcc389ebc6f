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
	return source{}, fmt.Errorf("identity source %q: unknown", text)
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

// verdict is an authorizer's answer.
type verdict struct {
	// allowed is the answer of a simple response; policy that of the other kind,
	// which depends on what is asked for.
	allowed bool
	policy  *policy
	context []byte // JSON object
}

// authorize returns the authorizer's context, or the status with which to refuse.
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
	v, err := r.cache.get(ctx, identity, e.at, func() (verdict, error) {
		// Others may be waiting for the answer: it must not end with this client.
		return a.askAuthorizer(context.WithoutCancel(ctx), e, identity)
	})
	if err != nil {
		a.cfg.Log.Error("authorizer", "request", e.id, "route", r.key, "error", err)
		return nil, http.StatusInternalServerError
	}
	if !v.allowed && (v.policy == nil || !v.policy.allows(e.arn())) {
		return nil, http.StatusForbidden
	}
	return v.context, 0
}

func (a *API) askAuthorizer(ctx context.Context, e *event, identity []string) (verdict, error) {
	payload := a.buffer()
	defer a.put(payload)
	*payload = e.appendAuthorizerRequest((*payload)[:0], identity)
	answer, status := a.invoke(ctx, e, e.route.Authorizer.Function, e.route.cache.timeout, *payload)
	if status != 0 {
		return verdict{}, errors.New("the authorizer failed")
	}
	if e.route.Authorizer.SimpleResponses {
		return parseSimple(answer)
	}
	return parsePolicy(answer)
}

// parseSimple reads {"isAuthorized":bool,"context":{…}}.
func parseSimple(answer []byte) (verdict, error) {
	var simple struct {
		IsAuthorized *bool           `json:"isAuthorized"`
		Context      json.RawMessage `json:"context"`
	}
	if err := json.Unmarshal(answer, &simple); err != nil {
		return verdict{}, fmt.Errorf("answer of the authorizer: %w", err)
	}
	if simple.IsAuthorized == nil {
		return verdict{}, errors.New("answer of the authorizer: no isAuthorized")
	}
	object, err := objectOf(simple.Context)
	return verdict{allowed: *simple.IsAuthorized, context: object}, err
}

// objectOf returns a JSON object without white space; null and nothing become {}.
func objectOf(raw json.RawMessage) ([]byte, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return []byte("{}"), nil
	}
	if raw[0] != '{' {
		return nil, errors.New("answer of the authorizer: the context is not an object")
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, raw); err != nil {
		return nil, fmt.Errorf("answer of the authorizer: %w", err)
	}
	return compact.Bytes(), nil
}

// texts is one string or a list of them.
type texts []string

// UnmarshalJSON implements json.Unmarshaler.
func (t *texts) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '"' {
		*t = texts{""}
		return json.Unmarshal(data, &(*t)[0])
	}
	return json.Unmarshal(data, (*[]string)(t))
}

type statement struct {
	Effect   string `json:"Effect"`
	Action   texts  `json:"Action"`
	Resource texts  `json:"Resource"`
}

// policy is the part of an IAM policy that authorizers use: no conditions.
type policy struct{ Statement []statement }

func parsePolicy(answer []byte) (verdict, error) {
	var document struct {
		PolicyDocument *policy         `json:"policyDocument"`
		Context        json.RawMessage `json:"context"`
	}
	if err := json.Unmarshal(answer, &document); err != nil {
		return verdict{}, fmt.Errorf("answer of the authorizer: %w", err)
	}
	if document.PolicyDocument == nil {
		return verdict{}, errors.New("answer of the authorizer: no policyDocument")
	}
	object, err := objectOf(document.Context)
	return verdict{policy: document.PolicyDocument, context: object}, err
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

func (t texts) match(text string) bool {
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
