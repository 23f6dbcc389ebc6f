package stacks

import (
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2/awsapigatewayv2"
	authorizers "github.com/aws/aws-cdk-go/awscdk/v2/awsapigatewayv2authorizers"
	integrations "github.com/aws/aws-cdk-go/awscdk/v2/awsapigatewayv2integrations"
	"github.com/aws/jsii-runtime-go"

	"github.com/insighthub/insighthub/cdk/config"
	"github.com/insighthub/insighthub/cdk/constructs"
)

// route is a route of the API.
type route struct {
	// Key is a method and a path.
	Key string
	// Function is the name of the function that serves it, functions/<name>.
	Function string
	// Open says that it requires no token.
	Open     bool
	Throttle config.Throttle
}

// routes returns all routes with their throttles. Each has one: a setting of the stage's
// default would let one route take what another needs.
func routes(t config.Throttles) []route {
	return []route{
		{"POST /v1/telemetry", "ingest", false, t.Telemetry},
		{"POST /v1/sites/{site}/exports", "api", false, t.Exports},
		{"ANY /v1/{path+}", "api", false, t.Resources},
		{"POST /v1/login", "access", true, t.Login},
		{"POST /v1/refresh", "access", true, t.Refresh},
		{"POST /v1/logout", "access", true, t.Logout},
		{"POST /v1/token", "access", true, t.Token},
		{"GET /.well-known/jwks.json", "access", true, t.Keys},
		{"GET /.well-known/oauth-authorization-server", "access", true, t.Keys},
		{"GET /openapi.yaml", "api", true, t.Contract},
		{"GET /docs", "api", true, t.Contract},
	}
}

// otherMethods returns a route for the other methods of each open path. Its function responds
// with 405 and Allow, where API Gateway would respond with 404 or, under /v1, demand a
// token. Nobody needs many of these.
func otherMethods(all []route) []route {
	var others []route
	for _, r := range all {
		if _, path, _ := strings.Cut(r.Key, " "); r.Open {
			r.Key, r.Throttle = "ANY "+path, config.Throttle{RequestsPerSecond: 1, Burst: 5}
			others = append(others, r)
		}
	}
	return others
}

// OpenRoutes returns the routes that require no token: those that issue tokens, and the
// documentation.
func OpenRoutes() []string {
	var open []string
	for _, r := range routes(config.Throttles{}) {
		if r.Open {
			open = append(open, r.Key)
		}
	}
	return open
}

// OtherMethods returns the routes of the other methods of the open paths.
func OtherMethods() []string {
	var keys []string
	for _, r := range otherMethods(routes(config.Throttles{})) {
		keys = append(keys, r.Key)
	}
	return keys
}

// addRoutes integrates every route with its function, and throttles it on the stage.
func (a *API) addRoutes(stage config.Stage) {
	functions := map[string]awsapigatewayv2.HttpRouteIntegration{
		"ingest": integrations.NewHttpLambdaIntegration(jsii.String("Ingest"), a.Ingest.Function, nil),
		"access": integrations.NewHttpLambdaIntegration(jsii.String("Access"), a.Access.Function, nil),
		"api":    integrations.NewHttpLambdaIntegration(jsii.String("Resources"), a.Resources.Function, nil),
	}
	authorizer := authorizers.NewHttpLambdaAuthorizer(jsii.String("Token"), a.Authorizer.Function, &authorizers.HttpLambdaAuthorizerProps{
		ResponseTypes:   &[]authorizers.HttpLambdaResponseType{authorizers.HttpLambdaResponseType_SIMPLE},
		IdentitySource:  jsii.Strings("$request.header.Authorization"),
		ResultsCacheTtl: constructs.Duration(stage.API.AuthorizerCache),
	})
	settings := map[string]any{}
	all := routes(stage.API.Throttles)
	for _, r := range append(all, otherMethods(all)...) {
		method, path, _ := strings.Cut(r.Key, " ")
		options := &awsapigatewayv2.AddRoutesOptions{
			Path: jsii.String(path), Methods: &[]awsapigatewayv2.HttpMethod{awsapigatewayv2.HttpMethod(method)},
			Integration: functions[r.Function],
		}
		if !r.Open {
			options.Authorizer = authorizer
		}
		for _, added := range *a.HTTP.AddRoutes(options) {
			// API Gateway rejects the settings of a route that does not exist yet.
			a.front.AddDependency(added.Node().DefaultChild().(awsapigatewayv2.CfnRoute))
		}
		settings[r.Key] = map[string]any{
			"ThrottlingRateLimit": r.Throttle.RequestsPerSecond, "ThrottlingBurstLimit": r.Throttle.Burst,
		}
	}
	a.front.SetRouteSettings(settings)
}

// addICE configures the STUN and TURN servers that the API names to WebRTC peers.
func (a *API) addICE(stage config.Stage, data Data) {
	ice := iceServers(stage, data.TurnSecret)
	add := func(variable, value string) {
		if value != "" {
			a.Resources.AddEnvironment(jsii.String(variable), jsii.String(value), nil)
		}
	}
	add("ICE_STUN", strings.Join(ice.stun, " "))
	add("ICE_TURN", strings.Join(ice.turn, " "))
	if ice.secret != nil {
		add("TURN_SECRET_ARN", *ice.secret)
	}
	data.allowTurnSecret(a.Stack, stage, a.Resources.Role)
}
