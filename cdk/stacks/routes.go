package stacks

import (
	"maps"
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2/awsapigatewayv2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsapigatewayv2authorizers"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsapigatewayv2integrations"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssecretsmanager"
	"github.com/aws/jsii-runtime-go"

	"github.com/insighthub/insighthub/cdk/config"
	"github.com/insighthub/insighthub/cdk/constructs"
)

// OpenRoutes are those that ask for no token: they give tokens out, or say how to ask.
func OpenRoutes() []string {
	return []string{
		"POST /v1/login", "POST /v1/refresh", "POST /v1/logout", "POST /v1/token",
		"GET /.well-known/jwks.json", "GET /.well-known/oauth-authorization-server",
		"GET /openapi.yaml", "GET /docs",
	}
}

// addRoutes leads every request to its function.
func (a *API) addRoutes(stage config.Stage) {
	ingest := awsapigatewayv2integrations.NewHttpLambdaIntegration(jsii.String("Ingest"), a.Ingest.Function, nil)
	access := awsapigatewayv2integrations.NewHttpLambdaIntegration(jsii.String("Access"), a.Access.Function, nil)
	resources := awsapigatewayv2integrations.NewHttpLambdaIntegration(jsii.String("Resources"), a.Resources.Function, nil)
	authorizer := awsapigatewayv2authorizers.NewHttpLambdaAuthorizer(jsii.String("Token"), a.Authorizer.Function, &awsapigatewayv2authorizers.HttpLambdaAuthorizerProps{
		ResponseTypes:   &[]awsapigatewayv2authorizers.HttpLambdaResponseType{awsapigatewayv2authorizers.HttpLambdaResponseType_SIMPLE},
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

// addICE tells the API where peers find each other.
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

// newDatabaseFunction is a function behind the API that uses the database.
func (a *API) newDatabaseFunction(props Props, data Data, id, name, description string, size config.Function, environment map[string]*string) constructs.GoFunction {
	all := map[string]*string{"DATABASE_SECRET_ARN": data.DatabaseSecret.SecretArn()}
	maps.Copy(all, environment)
	f := constructs.NewGoFunction(a.Stack, id, &constructs.GoFunctionProps{
		Name: name, Description: description, Stage: props.Stage, Size: size, Dir: props.Functions,
		Network: data.DatabaseNetwork, Environment: all,
	})
	data.DatabaseSecret.GrantRead(f.Role, nil)
	return f
}
