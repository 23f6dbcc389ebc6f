package stacks

import (
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2/awsapigatewayv2"
	authorizers "github.com/aws/aws-cdk-go/awscdk/v2/awsapigatewayv2authorizers"
	integrations "github.com/aws/aws-cdk-go/awscdk/v2/awsapigatewayv2integrations"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssecretsmanager"
	"github.com/aws/jsii-runtime-go"

	"github.com/insighthub/insighthub/cdk/config"
	"github.com/insighthub/insighthub/cdk/constructs"
)

// OpenRoutes returns the routes that require no token: those that issue tokens, and the
// documentation.
func OpenRoutes() []string {
	return []string{
		"POST /v1/login", "POST /v1/refresh", "POST /v1/logout", "POST /v1/token",
		"GET /.well-known/jwks.json", "GET /.well-known/oauth-authorization-server",
		"GET /openapi.yaml", "GET /docs",
	}
}

// addRoutes integrates every route with its function.
func (a *API) addRoutes(stage config.Stage) {
	ingest := integrations.NewHttpLambdaIntegration(jsii.String("Ingest"), a.Ingest.Function, nil)
	access := integrations.NewHttpLambdaIntegration(jsii.String("Access"), a.Access.Function, nil)
	resources := integrations.NewHttpLambdaIntegration(jsii.String("Resources"), a.Resources.Function, nil)
	authorizer := authorizers.NewHttpLambdaAuthorizer(jsii.String("Token"), a.Authorizer.Function, &authorizers.HttpLambdaAuthorizerProps{
		ResponseTypes:   &[]authorizers.HttpLambdaResponseType{authorizers.HttpLambdaResponseType_SIMPLE},
		IdentitySource:  jsii.Strings("$request.header.Authorization"),
		ResultsCacheTtl: constructs.Duration(stage.API.AuthorizerCache),
	})
	add := func(route string, integration awsapigatewayv2.HttpRouteIntegration, authorizer awsapigatewayv2.IHttpRouteAuthorizer) {
		method, path, _ := strings.Cut(route, " ")
		a.HTTP.AddRoutes(&awsapigatewayv2.AddRoutesOptions{
			Path: jsii.String(path), Methods: &[]awsapigatewayv2.HttpMethod{awsapigatewayv2.HttpMethod(method)},
			Integration: integration, Authorizer: authorizer,
		})
	}
	add("POST /v1/telemetry", ingest, authorizer)
	add("ANY /v1/{path+}", resources, authorizer)
	for _, route := range OpenRoutes() {
		integration := awsapigatewayv2.HttpRouteIntegration(access)
		if strings.HasSuffix(route, ".yaml") || strings.HasSuffix(route, "/docs") {
			integration = resources
		}
		add(route, integration, nil)
	}
}

// addICE configures the STUN and TURN servers that the API names to WebRTC peers.
func (a *API) addICE(ice config.ICE) {
	add := func(variable, value string) {
		if value != "" {
			a.Resources.AddEnvironment(jsii.String(variable), jsii.String(value), nil)
		}
	}
	add("ICE_STUN", strings.Join(ice.STUN, " "))
	add("ICE_TURN", strings.Join(ice.TURN, " "))
	add("TURN_SECRET_ARN", ice.SecretARN)
	if ice.SecretARN != "" {
		secret := awssecretsmanager.Secret_FromSecretCompleteArn(a.Stack, jsii.String("Turn"), jsii.String(ice.SecretARN))
		secret.GrantRead(a.Resources.Role, nil)
	}
}
