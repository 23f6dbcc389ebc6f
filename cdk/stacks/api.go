package stacks

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsapigatewayv2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslogs"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssqs"
	cdkconstructs "github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"github.com/insighthub/insighthub/cdk/config"
	"github.com/insighthub/insighthub/cdk/constructs"
)

// API is the stack of the HTTP API and the functions behind it.
type API struct {
	Stack      awscdk.Stack
	HTTP       awsapigatewayv2.HttpApi
	Ingest     constructs.GoFunction
	Authorizer constructs.GoFunction
	// Access issues tokens, Resources serves everything else.
	Access    constructs.GoFunction
	Resources constructs.GoFunction
	Tokens    Tokens
	// Refusals writes rejected tokens to the audit trail; Undelivered is the dead-letter
	// queue of the events that it could not write.
	Refusals    constructs.GoFunction
	Undelivered awssqs.Queue

	front awsapigatewayv2.CfnStage
}

// NewAPI adds the stack to scope.
func NewAPI(scope cdkconstructs.Construct, props Props, data Data, telemetry Telemetry) API {
	stage := props.Stage
	stack := newStack(scope, props, "Api", "the HTTP API for gateways and users")
	a := API{Stack: stack}

	a.HTTP, a.front = newHTTPAPI(stack, stage)
	a.Tokens = newTokens(stack, stage, a.HTTP.ApiEndpoint())
	a.Authorizer = newFunction(stack, props, function{
		ID: "Authorizer", Name: "authorizer",
		Description: "Verifies the caller's token",
		Size:        stage.API.Authorizer,
		Environment: with(a.Tokens.Environment, "STATE_BUCKET", data.States.BucketName()),
	})
	a.Tokens.AllowVerify(a.Authorizer)
	data.allowReadDenials(a.Authorizer)
	a.Ingest = newIngest(stack, props, data, telemetry)

	a.Access = data.newFunction(stack, props, function{
		ID: "Access", Name: "access",
		Description: "Issues tokens",
		Size:        stage.API.Access,
		Environment: with(a.Tokens.Environment, "STATE_BUCKET", data.States.BucketName()),
	})
	a.Tokens.AllowSign(a.Access)
	data.allowPublishDenials(a.Access)
	a.Resources = data.newFunction(stack, props, function{
		ID: "Resources", Name: "api",
		Description: "Serves the resources of the API",
		Size:        stage.API.Resources,
		Environment: map[string]*string{
			"EXPORT_BUCKET": data.Exports.BucketName(),
			"STATE_BUCKET":  data.States.BucketName(),
		},
	})
	data.allowPublishNames(a.Resources)
	data.allowPublishDenials(a.Resources)
	a.addICE(stage, data)
	a.Resources.Allow([]string{"s3:PutObject", "s3:GetObject", "s3:AbortMultipartUpload"},
		data.Exports.ArnForObjects(jsii.String("exports/*")))
	a.addRefusals(props, data)
	a.addRoutes(stage)

	output(stack, "ApiUrl", a.HTTP.ApiEndpoint(), "Base URL of the API")
	output(stack, "TokenIssuer", a.Tokens.Environment["TOKEN_ISSUER"], "Issuer (iss) of the platform's tokens")
	return a
}

func newIngest(stack awscdk.Stack, props Props, data Data, telemetry Telemetry) constructs.GoFunction {
	settings := props.Stage.Ingest
	ingest := newFunction(stack, props, function{
		ID: "Ingest", Name: "ingest",
		Description: "Accepts the events of gateways and puts them on the stream",
		Size:        settings.Function,
		Environment: map[string]*string{
			"STREAM_NAME":        telemetry.Stream.StreamName(),
			"STATE_BUCKET":       data.States.BucketName(),
			"RECORD_COMPRESSION": jsii.String(string(settings.Compression)),
			"RETENTION_DAYS":     number(settings.RetentionDays),
			"MAX_FUTURE_SECONDS": seconds(settings.MaxFuture),
			"MAX_INFLATED_BYTES": number(settings.MaxInflatedBytes),
		},
	})
	ingest.Allow([]string{"kinesis:PutRecords"}, telemetry.Stream.StreamArn())
	data.allowReadNames(ingest)
	data.allowReadDenials(ingest)
	return ingest
}

// newHTTPAPI adds an API and its default stage, which throttles requests and logs each of them.
func newHTTPAPI(stack awscdk.Stack, stage config.Stage) (awsapigatewayv2.HttpApi, awsapigatewayv2.CfnStage) {
	api := awsapigatewayv2.NewHttpApi(stack, jsii.String("Http"), &awsapigatewayv2.HttpApiProps{
		ApiName:            jsii.String("insighthub-" + string(stage.Name)),
		Description:        jsii.String("IoT InsightHub " + string(stage.Name)),
		CreateDefaultStage: jsii.Bool(false),
	})
	front := awsapigatewayv2.NewHttpStage(stack, jsii.String("Front"), &awsapigatewayv2.HttpStageProps{
		HttpApi:    api,
		StageName:  jsii.String("$default"),
		AutoDeploy: jsii.Bool(true),
		Throttle: &awsapigatewayv2.ThrottleSettings{
			RateLimit:  jsii.Number(stage.API.RequestsPerSecond),
			BurstLimit: jsii.Number(stage.API.Burst),
		},
	})
	logs := awslogs.NewLogGroup(stack, jsii.String("AccessLogs"), &awslogs.LogGroupProps{
		Retention:     constructs.LogRetention(stage.Log.RetentionDays),
		RemovalPolicy: constructs.RemovalPolicy(stage.Removal),
	})
	// No token and no body; the gateway comes from the authorizer's response. Every value is
	// a string: one that is missing is "-", which is not JSON.
	settings := &awsapigatewayv2.CfnStage_AccessLogSettingsProperty{
		DestinationArn: logs.LogGroupArn(),
		Format: jsii.String(`{"requestId":"$context.requestId","time":"$context.requestTimeEpoch","route":"$context.routeKey",` +
			`"status":"$context.status","gateway":"$context.authorizer.gateway","ip":"$context.identity.sourceIp",` +
			`"latencyMs":"$context.responseLatency","integrationLatencyMs":"$context.integrationLatency",` +
			`"bytes":"$context.responseLength",` +
			`"error":"$context.error.message","authorizerError":"$context.authorizer.error"}`),
	}
	resource := front.Node().DefaultChild().(awsapigatewayv2.CfnStage)
	resource.SetAccessLogSettings(settings)
	return api, resource
}
