package stacks

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsevents"
	"github.com/aws/aws-cdk-go/awscdk/v2/awseventstargets"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssqs"
	"github.com/aws/jsii-runtime-go"

	"github.com/insighthub/insighthub/cdk/constructs"
)

// addRefusals adds the bus on which the authorizer tells of the tokens that it refuses,
// and the function that writes them into the audit trail.
//
// An event goes through two hands: EventBridge gives it to Lambda, for a day if need be,
// and Lambda to the function, three times in three minutes. What either gives up goes
// to one queue, as it was.
func (a *API) addRefusals(props Props, data Data) {
	const undeliveredDays, attempts, hours, queuedHours = 14, 2, 24, 6
	bus := awsevents.NewEventBus(a.Stack, jsii.String("RefusedTokens"), &awsevents.EventBusProps{
		Description: jsii.String("Refused tokens: source insighthub.authorizer, detail-type refusals"),
	})
	a.Authorizer.AddEnvironment(jsii.String("EVENT_BUS"), bus.EventBusName(), nil)
	a.Authorizer.Allow([]string{"events:PutEvents"}, bus.EventBusArn())

	a.Undelivered = awssqs.NewQueue(a.Stack, jsii.String("UndeliveredRefusals"), &awssqs.QueueProps{
		Encryption:      awssqs.QueueEncryption_SQS_MANAGED,
		EnforceSSL:      jsii.Bool(true),
		RetentionPeriod: awscdk.Duration_Days(jsii.Number(undeliveredDays)),
		RemovalPolicy:   constructs.RemovalPolicy(props.Stage.Removal),
	})
	a.Refusals = constructs.NewGoFunction(a.Stack, "Refusals", &constructs.GoFunctionProps{
		Name:        "refusals",
		Description: "Writes refused tokens into the audit trail",
		Stage:       props.Stage,
		Size:        props.Stage.API.Refusals,
		Dir:         props.Functions,
		Network:     data.DatabaseNetwork,
		Environment: map[string]*string{"DATABASE_SECRET_ARN": data.DatabaseSecret.SecretArn()},
		Undelivered: a.Undelivered,
	})
	data.DatabaseSecret.GrantRead(a.Refusals.Role, nil)
	awsevents.NewRule(a.Stack, jsii.String("RefusedTokensRule"), &awsevents.RuleProps{
		Description: jsii.String("Refused tokens go into the audit trail"),
		EventBus:    bus,
		EventPattern: &awsevents.EventPattern{
			Source:     jsii.Strings("insighthub.authorizer"),
			DetailType: jsii.Strings("refusals"),
		},
		Targets: &[]awsevents.IRuleTarget{awseventstargets.NewLambdaFunction(a.Refusals.Function, &awseventstargets.LambdaFunctionProps{
			DeadLetterQueue: a.Undelivered,
			RetryAttempts:   jsii.Number(185), // the most that EventBridge makes
			MaxEventAge:     awscdk.Duration_Hours(jsii.Number(hours)),
		})},
	})
	a.Refusals.ConfigureAsyncInvoke(&awslambda.EventInvokeConfigOptions{
		RetryAttempts: jsii.Number(attempts), MaxEventAge: awscdk.Duration_Hours(jsii.Number(queuedHours)),
	})
}

// watchRefusals watches the way into the audit trail.
func (a *API) watchRefusals(alarms constructs.Alarms) {
	alarms.AddFunction("Refusals", a.Refusals)
	alarms.Add("RefusalsUndelivered", constructs.Watch{
		Metric:      a.Undelivered.MetricApproximateNumberOfMessagesVisible(constructs.EveryMinute("Maximum")),
		Description: "Refused tokens are not in the audit trail: their events wait in the queue UndeliveredRefusals. See docs/AUDIT.md.",
	})
}
