package template

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// integrationTimeout is the default and the maximum of an HTTP API.
const integrationTimeout = 30 * time.Second

func (p *Plan) addAPI(f *fields) {
	if t := f.text("ProtocolType"); t != "HTTP" {
		p.Skipped = append(p.Skipped, Skipped{f.id, "AWS::ApiGatewayV2::Api", NotEmulated, "its protocol is " + t})
		return
	}
	p.api(f, f.physical()).ID = f.id
	p.api(f, f.physical()).Name = f.text("Name")
	p.api(f, f.physical()).Endpoint = f.attribute("ApiEndpoint")
}

// api returns the API with an id, which may not have been read yet.
func (p *Plan) api(f *fields, id string) *API {
	for i := range p.APIs {
		if p.APIs[i].APIID == id {
			return &p.APIs[i]
		}
	}
	p.APIs = append(p.APIs, API{ID: f.id, APIID: id})
	return &p.APIs[len(p.APIs)-1]
}

func (p *Plan) addRoute(f *fields) {
	target := f.text("Target")
	integration, ok := f.r.integration(strings.TrimPrefix(target, "integrations/"))
	if !ok {
		if f.err == nil {
			f.fail("Target", fmt.Errorf("%w: the stack has no integration %q", ErrIntrinsic, target))
		}
		return
	}
	kind, uri := integration.text("IntegrationType"), integration.text("IntegrationUri")
	if kind != "AWS_PROXY" || !strings.Contains(uri, ":lambda:") {
		p.Skipped = append(p.Skipped, Skipped{f.id, "AWS::ApiGatewayV2::Route", NotEmulated, "its target is not a function"})
		return
	}
	switch kind := f.text("AuthorizationType"); kind {
	case "", "NONE", "CUSTOM":
	default:
		p.Skipped = append(p.Skipped, Skipped{f.id, "AWS::ApiGatewayV2::Route", NotEmulated, "its authorization is " + kind})
		return
	}
	r := Route{
		ID: f.id, Key: f.text("RouteKey"), FunctionARN: invoked(uri, f.r),
		PayloadFormat: integration.text("PayloadFormatVersion"),
		Timeout:       time.Duration(integration.integer("TimeoutInMillis", int(integrationTimeout.Milliseconds()))) * time.Millisecond,
		Authorizer:    f.text("AuthorizerId"),
	}
	if integration.err != nil {
		f.err = integration.err
	}
	a := p.api(f, f.text("ApiId"))
	a.Routes = append(a.Routes, r)
}

// integration returns an integration of the stack by its id.
func (r *resolver) integration(physical string) (*fields, bool) {
	for id, res := range r.stack.template.Resources {
		if res.Type != "AWS::ApiGatewayV2::Integration" {
			continue
		}
		if own, err := r.physicalID(id); err == nil && own == physical {
			return newFields(r, id), true
		}
	}
	return nil, false
}

// invoked returns the function's ARN from an integration's or authorizer's URI, which
// is that ARN or arn:aws:apigateway:…:lambda:path/2015-03-31/functions/ARN/invocations.
func invoked(uri string, r *resolver) string {
	if _, rest, ok := strings.Cut(uri, "/functions/"); ok {
		uri = strings.TrimSuffix(rest, "/invocations")
	}
	return functionARN(uri, r)
}

func (p *Plan) addAuthorizer(f *fields) {
	if kind := f.text("AuthorizerType"); kind != "REQUEST" {
		p.Skipped = append(p.Skipped, Skipped{f.id, "AWS::ApiGatewayV2::Authorizer", NotEmulated, "its type is " + kind})
		return
	}
	a := p.api(f, f.text("ApiId"))
	a.Authorizers = append(a.Authorizers, Authorizer{
		ID: f.id, AuthorizerID: f.physical(), Name: f.text("Name"), FunctionARN: invoked(f.text("AuthorizerUri"), f.r),
		PayloadFormat: f.text("AuthorizerPayloadFormatVersion"), SimpleResponses: f.boolean("EnableSimpleResponses"),
		IdentitySources: f.texts("IdentitySource"), CacheTTL: f.seconds("AuthorizerResultTtlInSeconds", 0),
	})
}

func (p *Plan) addStage(f *fields) {
	s := APIStage{ID: f.id, Name: f.text("StageName"), Default: f.throttle(f.get("DefaultRouteSettings"), "DefaultRouteSettings")}
	// The settings of a route replace the stage's default as a whole.
	if routes, ok := f.get("RouteSettings").(map[string]any); ok {
		s.Routes = make(map[string]Throttle)
		for key, settings := range routes {
			s.Routes[key] = f.throttle(settings, "RouteSettings."+key)
		}
	}
	a := p.api(f, f.text("ApiId"))
	a.Stages = append(a.Stages, s)
}

// throttle reads the limits in the settings of a route.
func (f *fields) throttle(settings any, path string) Throttle {
	t := Throttle{RateLimit: -1, BurstLimit: -1}
	object, _ := settings.(map[string]any)
	number := func(name string, into *float64) {
		if object[name] == nil {
			return
		}
		text, err := asText(object[name])
		if err == nil {
			*into, err = strconv.ParseFloat(text, 64)
		}
		if err != nil {
			f.fail(path+"."+name, fmt.Errorf("%v is not a number", object[name]))
		}
	}
	burst := -1.0
	number("ThrottlingRateLimit", &t.RateLimit)
	number("ThrottlingBurstLimit", &burst)
	t.BurstLimit = int(burst)
	return t
}
